#include "app/sweep_grid.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"

enum { VALUES_BYTES = 1024 };
static const char SECTION[] = "sweep";

/* A line of the file: an option of a section, with its values. */
typedef struct setting {
  int section; /* 0: [sweep] */
  const gmf_option *option;
  char values[VALUES_BYTES]; /* as they stand there, with commas */
} setting;

typedef struct reading {
  setting *settings; /* owned [n] */
  int64_t n, capacity;
  char (*names)[GMF_SWEEP_NAME_BYTES]; /* owned [n_sections]; "" is the first */
  int64_t n_sections, names_capacity;
  bool found; /* some section of a sweep */
  char *text; /* owned [n_bytes]: name, NUL, settings, NUL of each point */
  int64_t n_bytes, text_capacity;
  int64_t n_points;
  gmf_config scratch; /* what values are tried on */
  gmf_error error;
} reading;

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Takes the next value off a list; false after the last. "a, b" has two, "" and "a," have an empty one at the end. */
static bool take_value(const char **list, char *out, size_t size)
{
  if (*list == NULL) return false;
  const char *begin = *list, *comma = strchr(begin, ',');
  const char *end = comma != NULL ? comma : begin + strlen(begin);
  *list = comma != NULL ? comma + 1 : NULL;
  while (begin < end && isspace((unsigned char)*begin)) begin++;
  while (end > begin && isspace((unsigned char)end[-1])) end--;
  snprintf(out, size, "%.*s", (int)(end - begin), begin);
  return true;
}

static gmf_status find_section(reading *r, const char *name, int *out)
{
  gmf_status status = GMF_OK;
  for (*out = 0; *out < r->n_sections; (*out)++)
    if (strcmp(r->names[*out], name) == 0) return GMF_OK;
  if (strlen(name) >= GMF_SWEEP_NAME_BYTES)
    GMF_TRY(gmf_fail(&r->error, GMF_ERR_CONFIG, "[%s %s]: the name is too long", SECTION, name));
  GMF_TRY(GMF_RESERVE(r->names, r->names_capacity, r->n_sections + 1, &r->error));
  snprintf(r->names[r->n_sections++], GMF_SWEEP_NAME_BYTES, "%s", name);
cleanup:
  return status;
}

/* Every value alone must be one that the option takes. */
static gmf_status check_values(reading *r, const gmf_option *option, const char *values)
{
  gmf_status status = GMF_OK;
  char value[VALUES_BYTES];
  while (take_value(&values, value, sizeof value))
    GMF_TRY(gmf_options_set(&GMF_OPTIONS, GMF_VERB_SWEEP, &r->scratch, option->name, value, GMF_ERR_CONFIG, &r->error));
cleanup:
  return status;
}

/* A key that stands twice in a section, as in a list over several lines, has the values of both; a line may end in a
 * comma. */
static gmf_status add_setting(reading *r, const char *section, const gmf_option *option, const char *line)
{
  gmf_status status = GMF_OK;
  int index = 0;
  setting *s = NULL;
  char values[VALUES_BYTES];
  size_t n = strlen(line);
  while (n > 0 && isspace((unsigned char)line[n - 1])) n--;
  if (n > 1 && line[n - 1] == ',') n--;
  snprintf(values, sizeof values, "%.*s", (int)n, line);
  GMF_TRY(check_values(r, option, values));
  GMF_TRY(find_section(r, section, &index));
  for (int64_t j = 0; j < r->n && s == NULL; j++)
    if (r->settings[j].section == index && r->settings[j].option == option) s = &r->settings[j];
  if (s == NULL) {
    GMF_TRY(GMF_RESERVE(r->settings, r->capacity, r->n + 1, &r->error));
    s = &r->settings[r->n++];
    *s = (setting){.section = index, .option = option};
  }
  size_t length = strlen(s->values);
  int needed = snprintf(s->values + length, sizeof s->values - length, "%s%s", length > 0 ? "," : "", values);
  if (needed >= (int)(sizeof s->values - length))
    GMF_TRY(gmf_fail(&r->error, GMF_ERR_CONFIG, "%s: the list of values is too long", option->name));
cleanup:
  return status;
}

static int read_key(void *user, const char *section, const char *name, const char *value)
{
  reading *r = user;
  size_t word = strlen(SECTION);
  if (r->error.status != GMF_OK) return 0;
  if (strncmp(section, SECTION, word) != 0 || (section[word] != '\0' && section[word] != ' ')) return 1;
  r->found = true;
  section += word + strspn(section + word, " ");
  const gmf_option *option = gmf_option_named(name);
  if (option != NULL && option->is_model) return add_setting(r, section, option, value) == GMF_OK;
  if (section[0] == '\0') return 1; /* of the whole run: app/config.c reads it */
  if (option == NULL)               /* for its message */
    return gmf_options_set(&GMF_OPTIONS, GMF_VERB_SWEEP, &r->scratch, name, value, GMF_ERR_CONFIG, &r->error) == GMF_OK;
  gmf_fail(&r->error, GMF_ERR_CONFIG, "%s is the same for all points: put it into [%s]", name, SECTION);
  return 0;
}

/* ---- combining --------------------------------------------------------------------------------------------------- */

static gmf_status append(reading *r, const char *text, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = (int64_t)strlen(text);
  GMF_TRY(GMF_RESERVE(r->text, r->text_capacity, r->n_bytes + n + 1, err));
  memcpy(r->text + r->n_bytes, text, (size_t)n + 1);
  r->n_bytes += n; /* the NUL stays for the next to write over */
cleanup:
  return status;
}

/* Whether a setting holds in a section: its own, and those of [sweep] that it does not have itself. */
static bool holds(const reading *r, const setting *s, int section)
{
  if (s->section == section) return true;
  for (int64_t j = 0; j < r->n && s->section == 0; j++)
    if (r->settings[j].section == section && r->settings[j].option == s->option) return false;
  return s->section == 0;
}

static int64_t count_values(const char *values)
{
  int64_t n = 1;
  for (; *values != '\0'; values++) n += *values == ',';
  return n;
}

/* One point: of every setting that holds the value whose number `index` has as a digit, the last setting's the lowest.
 */
static gmf_status write_point(reading *r, int section, int64_t index, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_values[256] = {0}, digits[256] = {0};
  for (int64_t j = r->n - 1; j >= 0; j--) {
    if (!holds(r, &r->settings[j], section)) continue;
    n_values[j] = count_values(r->settings[j].values);
    digits[j] = index % n_values[j];
    index /= n_values[j];
  }
  GMF_TRY(append(r, r->names[section], err));
  r->n_bytes++;
  GMF_TRY(append(r, "", err));
  for (int64_t j = 0; j < r->n; j++) {
    if (n_values[j] == 0) continue;
    char value[VALUES_BYTES];
    const char *list = r->settings[j].values;
    for (int64_t v = 0; v <= digits[j]; v++) take_value(&list, value, sizeof value);
    GMF_TRY(append(r, r->settings[j].option->name, err));
    GMF_TRY(append(r, "=", err));
    GMF_TRY(append(r, value, err));
    GMF_TRY(append(r, "\n", err));
  }
  r->n_bytes++;
  r->n_points++;
cleanup:
  return status;
}

/* [sweep] alone, or the sections with names. */
static gmf_status write_points(reading *r, const char *path, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (!r->found || r->n == 0)
    GMF_TRY(gmf_fail(err, GMF_ERR_CONFIG, "%s: names no points: a section [%s] with lists of values is needed", path,
                     SECTION));
  if (r->n > 256) GMF_TRY(gmf_fail(err, GMF_ERR_CONFIG, "%s: more than 256 lists of values", path));
  for (int s = r->n_sections > 1 ? 1 : 0; s < (int)r->n_sections; s++) {
    int64_t n = 1;
    for (int64_t j = 0; j < r->n && n <= GMF_SWEEP_MAX_POINTS; j++)
      if (holds(r, &r->settings[j], s)) n *= count_values(r->settings[j].values);
    if (r->n_points + n > GMF_SWEEP_MAX_POINTS)
      GMF_TRY(gmf_fail(err, GMF_ERR_CONFIG, "%s: more than %d points", path, GMF_SWEEP_MAX_POINTS));
    for (int64_t i = 0; i < n; i++) GMF_TRY(write_point(r, s, i, err));
  }
cleanup:
  return status;
}

/* Rank 0. */
static gmf_status read_points(const char *path, reading *r, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int unnamed = 0;
  gmf_options_defaults(&GMF_OPTIONS, &r->scratch);
  GMF_TRY(find_section(r, "", &unnamed));
  GMF_TRY(gmf_ini_status(path, ini_parse(path, read_key, r), &r->error, err));
  GMF_TRY(write_points(r, path, err));
cleanup:
  return status;
}

/* ---- for all ranks ----------------------------------------------------------------------------------------------- */

gmf_status gmf_sweep_grid_load(const gmf_grid *grid, const char *path, gmf_sweep_grid *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  reading *r = NULL;
  int64_t sizes[2] = {0};

  *out = (gmf_sweep_grid){.n = 0};
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(r, 1, err), err));
  GMF_TRY(gmf_agree(grid, grid->rank == 0 ? read_points(path, r, err) : GMF_OK, err));
  sizes[0] = r->n_bytes;
  sizes[1] = r->n_points;
  gmf_broadcast(grid, sizes, sizeof sizes);
  out->n = gmf_int(sizes[1]);
  status = GMF_NEW(out->text, sizes[0], err);
  if (status == GMF_OK) status = GMF_NEW(out->entries, out->n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  if (grid->rank == 0) memcpy(out->text, r->text, (size_t)sizes[0]);
  gmf_broadcast(grid, out->text, sizes[0]);
  const char *at = out->text;
  for (int i = 0; i < out->n; i++) {
    out->entries[i].name = at;
    at += strlen(at) + 1;
    out->entries[i].settings = at;
    at += strlen(at) + 1;
  }
cleanup:
  if (r != NULL) {
    gmf_free(r->settings);
    gmf_free(r->names);
    gmf_free(r->text);
  }
  gmf_free(r);
  if (status != GMF_OK) gmf_sweep_grid_free(out);
  return status;
}

void gmf_sweep_grid_free(gmf_sweep_grid *grid)
{
  GMF_FREE(grid->text);
  GMF_FREE(grid->entries);
}

/* What a sweep sets itself, and what train refuses for an algorithm without sweeps because it would mean nothing. */
static void leave_out(gmf_config *c)
{
  c->output[0] = c->log_json[0] = c->checkpoint[0] = '\0';
  c->max_time = 0;
  if (c->algorithm == GMF_ALGORITHM_ALS || c->algorithm == GMF_ALGORITHM_IALS) return;
  c->test[0] = c->fold_in[0] = '\0';
  c->early_stop = 0;
}

gmf_status gmf_sweep_grid_config(const gmf_sweep_grid *grid, int i, const gmf_config *base, int argc, char *const *argv,
                                 gmf_config *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_text_list ignored;
  gmf_error reason = {0};
  *out = *base;
  for (const char *line = grid->entries[i].settings; *line != '\0' && status == GMF_OK;) {
    char name[64], value[VALUES_BYTES];
    int length = (int)strcspn(line, "="), rest = (int)strcspn(line, "\n");
    snprintf(name, sizeof name, "%.*s", length, line);
    snprintf(value, sizeof value, "%.*s", rest - length - 1, line + length + 1);
    status = gmf_options_set(&GMF_OPTIONS, GMF_VERB_SWEEP, out, name, value, GMF_ERR_CONFIG, &reason);
    line += rest + 1;
  }
  if (status == GMF_OK)
    status = gmf_options_parse(&GMF_OPTIONS, GMF_VERB_SWEEP, argc, argv, 2, out, &ignored, NULL, &reason);
  leave_out(out);
  if (status == GMF_OK) status = gmf_config_resolve_train(out, &reason);
  if (status == GMF_OK) return GMF_OK;
  return gmf_fail(err, status, "point %d%s%s of the sweep: %s", i + 1, grid->entries[i].name[0] != '\0' ? ", " : "",
                  grid->entries[i].name, reason.text);
}
