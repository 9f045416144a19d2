/* gridmf-query MODEL info: sizes, options, the end of the training history, provenance. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/query_answer.h"

enum { N_SIZES = 5, MAX_GROUP = 32 };

typedef struct entry {
  const char *name;
  char text[32];
} entry;

/* What the shapes of the file say; the rest are its attributes. */
static void sizes_of(const gmf_model *model, entry *out)
{
  gmf_model_info info;
  gmf_model_get_info(model, &info);
  const entry sizes[N_SIZES] = {{"n_users", ""}, {"n_items", ""}, {"n_seen", ""}, {"has_bias", ""}, {"has_seen", ""}};
  memcpy(out, sizes, sizeof sizes);
  snprintf(out[0].text, sizeof out[0].text, "%" PRId64, info.n_users);
  snprintf(out[1].text, sizeof out[1].text, "%" PRId64, info.n_items);
  snprintf(out[2].text, sizeof out[2].text, "%" PRId64, info.n_seen);
  snprintf(out[3].text, sizeof out[3].text, "%s", info.has_bias ? "true" : "false");
  snprintf(out[4].text, sizeof out[4].text, "%s", info.has_seen ? "true" : "false");
}

/* Attributes of the root that repeat what stands there already. */
static bool is_repeated(const entry *sizes, const char *name)
{
  bool found = strcmp(name, "model") == 0;
  for (int s = 0; s < N_SIZES; s++) found = found || strcmp(name, sizes[s].name) == 0;
  return found;
}

static void put_json_value(const gmf_model_attribute *a, FILE *out)
{
  if (a->kind == GMF_VALUE_NUMBER)
    fputs(a->text, out);
  else
    gmf_put_json(out, a->text);
}

/* The attributes below "group/" as one object; nothing when there are none. */
static void put_json_group(const gmf_model *model, const char *group, FILE *out)
{
  char prefix[MAX_GROUP];
  int64_t n = 0;
  int length = snprintf(prefix, sizeof prefix, "%s/", group);
  for (int64_t j = 0; j < gmf_model_n_attributes(model); j++) {
    gmf_model_attribute a;
    gmf_model_get_attribute(model, j, &a);
    if (strncmp(a.name, prefix, (size_t)length) != 0) continue;
    if (n++ == 0)
      fprintf(out, ", \"%s\": {", group);
    else
      fputs(", ", out);
    gmf_put_json(out, a.name + length);
    fputs(": ", out);
    put_json_value(&a, out);
  }
  if (n > 0) fputc('}', out);
}

void gmf_info_json(const gmf_model *model, FILE *out)
{
  entry sizes[N_SIZES];
  gmf_model_info info;
  gmf_model_get_info(model, &info);
  sizes_of(model, sizes);
  fputs("\"model\": ", out);
  gmf_put_json(out, info.path);
  for (int s = 0; s < N_SIZES; s++) fprintf(out, ", \"%s\": %s", sizes[s].name, sizes[s].text);
  for (int64_t j = 0; j < gmf_model_n_attributes(model); j++) {
    gmf_model_attribute a;
    gmf_model_get_attribute(model, j, &a);
    if (strchr(a.name, '/') != NULL || is_repeated(sizes, a.name)) continue;
    fputs(", ", out);
    gmf_put_json(out, a.name);
    fputs(": ", out);
    put_json_value(&a, out);
  }
  put_json_group(model, "history", out);
  put_json_group(model, "provenance", out);
}

static gmf_status put_row(gmf_table *table, bool csv, const char *name, const char *text, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (csv) {
    gmf_put_csv(stdout, name);
    fputc(',', stdout);
    gmf_put_csv(stdout, text);
    fputc('\n', stdout);
    return GMF_OK;
  }
  GMF_TRY(gmf_table_add(table, name, err));
  GMF_TRY(gmf_table_add(table, text, err));
cleanup:
  return status;
}

static gmf_status print_rows(const gmf_query *q, const char *path, const entry *sizes, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_table table = {.n_columns = 2, .cut = 1 << 1};
  bool csv = q->config.format == GMF_FORMAT_CSV;

  if (csv) puts("name,value");
  GMF_TRY(put_row(&table, csv, "model", path, err));
  for (int s = 0; s < N_SIZES; s++) GMF_TRY(put_row(&table, csv, sizes[s].name, sizes[s].text, err));
  for (int64_t j = 0; j < gmf_model_n_attributes(q->model); j++) {
    gmf_model_attribute a;
    gmf_model_get_attribute(q->model, j, &a);
    if (!is_repeated(sizes, a.name)) GMF_TRY(put_row(&table, csv, a.name, a.text, err));
  }
  if (!csv) gmf_table_print(&table, q->width, stdout);
cleanup:
  gmf_table_free(&table);
  return status;
}

gmf_status gmf_query_info(gmf_query *query, gmf_error *err)
{
  entry sizes[N_SIZES];
  gmf_model_info info;
  gmf_model_get_info(query->model, &info);
  sizes_of(query->model, sizes);
  if (query->config.format != GMF_FORMAT_JSON) return print_rows(query, info.path, sizes, err);
  fputc('{', stdout);
  gmf_info_json(query->model, stdout);
  puts("}");
  return GMF_OK;
}
