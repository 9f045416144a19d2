/* `gridmf info FILE`: what a file holds. Rank 0 works; the others wait for its status. */
#include "cli/verbs.h"
#include "io/describe.h"

static void print_object(const char *title, json_t *object)
{
  const char *key = NULL;
  json_t *value = NULL;
  printf("%s\n", title);
  json_object_foreach(object, key, value)
  {
    if (json_is_string(value)) printf("  %-24s %s\n", key, json_string_value(value));
    if (json_is_integer(value)) printf("  %-24s %s\n", key, gmf_thousands(json_integer_value(value)));
    if (json_is_real(value)) printf("  %-24s %.9g\n", key, json_real_value(value));
  }
}

static gmf_status show(const char *path, bool json, gmf_error *err)
{
  json_t *root = NULL;
  gmf_status status = gmf_describe(path, &root, err);
  if (status != GMF_OK) return status;
  if (json) {
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    putchar('\n');
  } else {
    print_object(path, root);
    print_object("arrays", json_object_get(root, "arrays"));
    print_object("provenance", json_object_get(root, "provenance"));
  }
  json_decref(root);
  return GMF_OK;
}

gmf_status gmf_verb_info(gmf_run *run, gmf_error *err)
{
  gmf_status status = gmf_need_arguments(run, 1, "one file", err);
  if (status == GMF_OK && run->grid->rank == 0) status = show(run->arguments.values[0], run->config.json, err);
  return gmf_agree(run->grid, status, err);
}
