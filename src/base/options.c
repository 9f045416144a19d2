#include "base/options.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { WORD_BYTES = 64 };

/* ---- nearest names ----------------------------------------------------------------------------------------------- */

static int min3(int a, int b, int c)
{
  int m = a < b ? a : b;
  return m < c ? m : c;
}

/* Levenshtein's edit distance of two short words. */
static int edit_distance(const char *a, const char *b)
{
  int row[WORD_BYTES + 1];
  int n = (int)strnlen(b, WORD_BYTES);
  for (int j = 0; j <= n; j++) row[j] = j;
  for (int i = 1; a[i - 1] != '\0' && i <= WORD_BYTES; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= n; j++) {
      int substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = min3(row[j] + 1, row[j - 1] + 1, substitute);
    }
  }
  return row[n];
}

/* Calls the i-th word of "a|b|c" into out; false after the last. */
static bool nth_word(const char *words, int i, char *out, size_t size)
{
  for (; i > 0 && words != NULL; i--) {
    words = strchr(words, '|');
    if (words != NULL) words++;
  }
  if (words == NULL || *words == '\0') return false;
  snprintf(out, size, "%.*s", (int)strcspn(words, "|"), words);
  return true;
}

typedef struct nearest {
  const char *word; /* what was written */
  int distance;
  char name[WORD_BYTES];
} nearest;

static void consider(nearest *best, const char *name)
{
  int distance = edit_distance(best->word, name);
  size_t length = strlen(best->word);
  if (length >= 3 && strncmp(best->word, name, length) == 0) distance = distance > 1 ? 1 : distance;
  if (distance >= best->distance) return;
  best->distance = distance;
  snprintf(best->name, sizeof best->name, "%s", name);
}

/* A name further away than this has little to do with the word. */
static bool is_near(const nearest *best) { return best->distance <= 1 + (int)strlen(best->word) / 3; }

bool gmf_nearest_word(const char *words, const char *word, char *out, size_t size)
{
  nearest best = {word, WORD_BYTES, ""};
  char name[WORD_BYTES];
  for (int i = 0; nth_word(words, i, name, sizeof name); i++) consider(&best, name);
  if (!is_near(&best)) return false;
  snprintf(out, size, "%s", best.name);
  return true;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void *field(const gmf_option *o, void *config) { return (char *)config + o->offset; }
static const void *const_field(const gmf_option *o, const void *config) { return (const char *)config + o->offset; }

static int choice_index(const char *choices, const char *value)
{
  char word[WORD_BYTES];
  for (int i = 0; nth_word(choices, i, word, sizeof word); i++)
    if (strcmp(word, value) == 0) return i;
  return -1;
}

/* "512M", "4GiB", "1000": bytes. */
static bool parse_size(const char *text, int64_t *out)
{
  static const char units[] = "KMGTP";
  char *end = NULL;
  errno = 0;
  double value = strtod(text, &end);
  if (end == text || errno != 0 || !(value >= 0)) return false;
  if (*end != '\0') {
    const char *unit = strchr(units, *end & ~0x20);
    if (unit == NULL) return false;
    value *= pow(1024, (double)(unit - units + 1));
    end++;
    if (strcasecmp(end, "iB") == 0 || strcasecmp(end, "B") == 0) end += strlen(end);
  }
  if (*end != '\0' || value > 9e18) return false;
  *out = (int64_t)value;
  return true;
}

/* "3h55m", "10m", "90": seconds. */
static bool parse_duration(const char *text, double *out)
{
  double total = 0;
  if (*text == '\0') return false;
  while (*text != '\0') {
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || !(value >= 0)) return false;
    double unit = *end == 'd' ? 86400 : *end == 'h' ? 3600 : *end == 'm' ? 60 : *end == 's' || *end == '\0' ? 1 : 0;
    if (unit == 0) return false;
    total += value * unit;
    text = *end == '\0' ? end : end + 1;
  }
  *out = total;
  return isfinite(total);
}

static gmf_status bad_value(const gmf_option *o, const char *value, gmf_status wrong, const char *wanted,
                            gmf_error *err)
{
  return gmf_fail(err, wrong, "--%s %s: %s", o->name, value, wanted);
}

static gmf_status set_number(const gmf_option *o, void *config, const char *value, gmf_status wrong, gmf_error *err)
{
  char wanted[160], *end = NULL;
  errno = 0;
  if (o->kind == GMF_OPT_INT) {
    long long number = strtoll(value, &end, 10);
    bool whole = end != value && *end == '\0' && errno == 0;
    if (whole && (double)number >= o->min && (double)number <= o->max) {
      *(int64_t *)field(o, config) = number;
      return GMF_OK;
    }
    snprintf(wanted, sizeof wanted, "a whole number from %.0f to %.0f is needed", o->min, o->max);
  } else {
    double number = strtod(value, &end);
    bool finite = end != value && *end == '\0' && isfinite(number);
    if (finite && number >= o->min && number <= o->max) {
      *(double *)field(o, config) = number;
      return GMF_OK;
    }
    snprintf(wanted, sizeof wanted, "a number from %g to %g is needed", o->min, o->max);
  }
  return bad_value(o, value, wrong, wanted, err);
}

static gmf_status set_choice(const gmf_option *o, void *config, const char *value, gmf_status wrong, gmf_error *err)
{
  int i = choice_index(o->choices, value);
  if (i >= 0) {
    *(int *)field(o, config) = i;
    return GMF_OK;
  }
  char wanted[256], near[WORD_BYTES];
  bool found = gmf_nearest_word(o->choices, value, near, sizeof near);
  snprintf(wanted, sizeof wanted, "one of %s is needed%s%s%s", o->choices, found ? "; did you mean " : "",
           found ? near : "", found ? "?" : "");
  return bad_value(o, value, wrong, wanted, err);
}

static gmf_status set_flag(const gmf_option *o, void *config, const char *value, gmf_status wrong, gmf_error *err)
{
  int yes = choice_index("yes|true|on|1", value), no = choice_index("no|false|off|0", value);
  if (yes < 0 && no < 0) return bad_value(o, value, wrong, "yes or no is needed", err);
  *(bool *)field(o, config) = yes >= 0;
  return GMF_OK;
}

static gmf_status set_value(const gmf_option *o, void *config, const char *value, gmf_status wrong, gmf_error *err)
{
  switch (o->kind) {
    case GMF_OPT_FLAG: return set_flag(o, config, value, wrong, err);
    case GMF_OPT_INT:
    case GMF_OPT_REAL: return set_number(o, config, value, wrong, err);
    case GMF_OPT_CHOICE: return set_choice(o, config, value, wrong, err);
    case GMF_OPT_SIZE:
      if (parse_size(value, field(o, config))) return GMF_OK;
      return bad_value(o, value, wrong, "a size such as 512M or 4G is needed", err);
    case GMF_OPT_DURATION:
      if (parse_duration(value, field(o, config))) return GMF_OK;
      return bad_value(o, value, wrong, "a time such as 90s, 10m or 3h55m is needed", err);
    case GMF_OPT_TEXT:
      if (strlen(value) >= o->size) return bad_value(o, value, wrong, "is too long", err);
      snprintf(field(o, config), o->size, "%s", value);
      return GMF_OK;
    case GMF_OPT_LINES: {
      char *lines = field(o, config);
      size_t used = strlen(lines);
      if (value[0] == '\0' || strchr(value, '\n') != NULL)
        return bad_value(o, value, wrong, "a line of text is needed", err);
      if (used + strlen(value) + 2 > o->size) return bad_value(o, value, wrong, "was given too often", err);
      snprintf(lines + used, o->size - used, "%s%s", used > 0 ? "\n" : "", value);
      return GMF_OK;
    }
    case GMF_OPT_LIST: {
      gmf_text_list *list = field(o, config);
      if (list->n == GMF_LIST_MAX) return bad_value(o, value, wrong, "was given too often", err);
      list->values[list->n++] = value;
      return GMF_OK;
    }
  }
  return gmf_fail(err, GMF_ERR_INTERNAL, "--%s has an unknown kind", o->name);
}

/* The value of an option that was not given and has no default. */
static void unset(const gmf_option *o, void *config)
{
  if (o->kind == GMF_OPT_REAL) *(double *)field(o, config) = NAN;
  if (o->kind == GMF_OPT_CHOICE) *(int *)field(o, config) = -1;
  if (o->kind == GMF_OPT_TEXT || o->kind == GMF_OPT_LINES) *(char *)field(o, config) = '\0';
}

void gmf_options_defaults(const gmf_option_table *table, void *config)
{
  for (int i = 0; i < table->n; i++) {
    const gmf_option *o = &table->options[i];
    if (o->kind == GMF_OPT_LIST)
      memset(field(o, config), 0, sizeof(gmf_text_list));
    else if (o->def[0] == '\0')
      unset(o, config);
    else
      GMF_CHECK(set_value(o, config, o->def, GMF_ERR_INTERNAL, NULL) == GMF_OK);
  }
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static const gmf_option *find(const gmf_option_table *table, unsigned verb, const char *name, bool *negated)
{
  *negated = false;
  for (int i = 0; i < table->n; i++) {
    const gmf_option *o = &table->options[i];
    if ((o->verbs & verb) == 0) continue;
    if (strcmp(o->name, name) == 0) return o;
    if (o->kind == GMF_OPT_FLAG && strncmp(name, "no-", 3) == 0 && strcmp(o->name, name + 3) == 0) {
      *negated = true;
      return o;
    }
  }
  return NULL;
}

static gmf_status unknown_name(const gmf_option_table *table, unsigned verb, const char *name, gmf_status wrong,
                               gmf_error *err)
{
  nearest best = {name, WORD_BYTES, ""};
  for (int i = 0; i < table->n; i++)
    if ((table->options[i].verbs & verb) != 0) consider(&best, table->options[i].name);
  if (is_near(&best)) return gmf_fail(err, wrong, "unknown option --%s; did you mean --%s?", name, best.name);
  return gmf_fail(err, wrong, "unknown option --%s; --help lists the options", name);
}

gmf_status gmf_options_set(const gmf_option_table *table, unsigned verb, void *config, const char *name,
                           const char *value, gmf_status wrong, gmf_error *err)
{
  bool negated = false;
  const gmf_option *o = find(table, verb, name, &negated);
  if (o == NULL || negated) return unknown_name(table, verb, name, wrong, err);
  return set_value(o, config, value, wrong, err);
}

/* One option at argv[*i]; moves *i to the last word it used. */
static gmf_status parse_option(const gmf_option_table *table, unsigned verb, int argc, char *const *argv, int *i,
                               void *config, bool *given, gmf_error *err)
{
  char name[WORD_BYTES];
  const char *word = argv[*i];
  bool is_output = strcmp(word, "-o") == 0;
  const char *equals = strchr(word, '=');
  if (is_output)
    snprintf(name, sizeof name, "output");
  else if (word[1] != '-')
    return gmf_fail(err, GMF_ERR_USAGE,
                    "unknown option %s; long options begin with two dashes, and -o names the output", word);
  else
    snprintf(name, sizeof name, "%.*s", equals != NULL ? (int)(equals - word - 2) : (int)strlen(word) - 2, word + 2);

  bool negated = false;
  const gmf_option *o = find(table, verb, name, &negated);
  if (o == NULL) return unknown_name(table, verb, name, GMF_ERR_USAGE, err);
  if (given != NULL) given[o - table->options] = true;
  const char *value = !is_output && equals != NULL ? equals + 1 : NULL;
  if (o->kind == GMF_OPT_FLAG && value == NULL)
    value = negated ? "no" : "yes";
  else if (negated)
    return gmf_fail(err, GMF_ERR_USAGE, "--%s takes no value", name);
  if (value == NULL) {
    if (*i + 1 >= argc) return gmf_fail(err, GMF_ERR_USAGE, "--%s needs a value: %s", name, o->value);
    value = argv[++*i];
  }
  return set_value(o, config, value, GMF_ERR_USAGE, err);
}

gmf_status gmf_options_parse(const gmf_option_table *table, unsigned verb, int argc, char *const *argv, int first,
                             void *config, gmf_text_list *arguments, bool *given, gmf_error *err)
{
  gmf_status status = GMF_OK;
  bool only_arguments = false;
  arguments->n = 0;
  for (int i = first; i < argc; i++) {
    if (only_arguments || argv[i][0] != '-' || argv[i][1] == '\0') {
      if (argv[i][0] == '\0')
        GMF_TRY(
            gmf_fail(err, GMF_ERR_USAGE, "argument %d is empty; perhaps a variable of the shell that is not set", i));
      if (arguments->n == GMF_LIST_MAX) GMF_TRY(gmf_fail(err, GMF_ERR_USAGE, "more than %d arguments", GMF_LIST_MAX));
      arguments->values[arguments->n++] = argv[i];
    } else if (strcmp(argv[i], "--") == 0) {
      only_arguments = true;
    } else {
      GMF_TRY(parse_option(table, verb, argc, argv, &i, config, given, err));
    }
  }
cleanup:
  return status;
}

bool gmf_options_asked(int argc, char *const *argv, const char *name)
{
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
    if (strcmp(argv[i], name) == 0) return true;
  return false;
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

void gmf_option_text(const gmf_option *o, const void *config, char *out, size_t size)
{
  const void *value = const_field(o, config);
  out[0] = '\0';
  if (o->kind == GMF_OPT_REAL && isnan(*(const double *)value)) return;
  if (o->kind == GMF_OPT_CHOICE && *(const int *)value < 0) return;
  switch (o->kind) {
    case GMF_OPT_FLAG: snprintf(out, size, "%s", *(const bool *)value ? "yes" : "no"); break;
    case GMF_OPT_INT:
    case GMF_OPT_SIZE: snprintf(out, size, "%" PRId64, *(const int64_t *)value); break;
    case GMF_OPT_REAL: snprintf(out, size, "%.12g", *(const double *)value); break;
    case GMF_OPT_DURATION: snprintf(out, size, "%.12gs", *(const double *)value); break;
    case GMF_OPT_CHOICE: nth_word(o->choices, *(const int *)value, out, size); break;
    case GMF_OPT_TEXT:
    case GMF_OPT_LINES: snprintf(out, size, "%s", (const char *)value); break;
    case GMF_OPT_LIST: snprintf(out, size, "%d values", ((const gmf_text_list *)value)->n); break;
  }
}

/* "--[no-]binarize", "--factors K", "--lambda-scale none|count". */
static void signature(const gmf_option *o, char *out, size_t size)
{
  if (o->kind == GMF_OPT_FLAG)
    snprintf(out, size, "--[no-]%s", o->name);
  else
    snprintf(out, size, "%s--%s %s", strcmp(o->name, "output") == 0 ? "-o, " : "", o->name,
             o->kind == GMF_OPT_CHOICE ? o->choices : o->value);
}

void gmf_print_wrapped(FILE *out, const char *text, int indent, int width)
{
  int column = indent;
  while (*text != '\0') {
    int length = (int)strcspn(text, " ");
    if (column > indent && column + 1 + length > width) {
      fprintf(out, "\n%*s", indent, "");
      column = indent;
    } else if (column > indent) {
      fputc(' ', out);
      column++;
    }
    fprintf(out, "%.*s", length, text);
    column += length;
    text += length;
    while (*text == ' ') text++;
  }
  fputc('\n', out);
}

int gmf_help_width(void)
{
  enum { LEAST = 60, MOST = 110 };
  int width = gmf_terminal_width();
  return width == 0 || width > MOST ? MOST : width < LEAST ? LEAST : width;
}

void gmf_options_help(const gmf_option_table *table, unsigned verb, FILE *out)
{
  enum { INDENT = 30 };
  int width = gmf_help_width();
  for (int i = 0; i < table->n; i++) {
    const gmf_option *o = &table->options[i];
    char head[160], text[600];
    if ((o->verbs & verb) == 0) continue;
    signature(o, head, sizeof head);
    bool show_default = o->def[0] != '\0' && (o->kind != GMF_OPT_FLAG || strcmp(o->def, "yes") == 0);
    snprintf(text, sizeof text, "%s%s%s%s", o->help, show_default ? " (default " : "", show_default ? o->def : "",
             show_default ? ")" : "");
    int n = fprintf(out, "  %s", head);
    if (n >= INDENT) n = fprintf(out, "\n") - 1;
    fprintf(out, "%*s", INDENT - n, "");
    gmf_print_wrapped(out, text, INDENT, width);
  }
}

void gmf_options_man(const gmf_option_table *table, unsigned verb, FILE *out)
{
  for (int i = 0; i < table->n; i++) {
    const gmf_option *o = &table->options[i];
    if ((o->verbs & verb) == 0) continue;
    fprintf(out, ".It %sFl -%s%s", strcmp(o->name, "output") == 0 ? "Fl o , " : "",
            o->kind == GMF_OPT_FLAG ? "[no-]" : "", o->name);
    if (o->kind != GMF_OPT_FLAG) fprintf(out, " Ar %s", o->kind == GMF_OPT_CHOICE ? o->choices : o->value);
    fprintf(out, "\n%s.\n", o->help);
    if (o->kind == GMF_OPT_INT || o->kind == GMF_OPT_REAL) fprintf(out, "From %g to %g.\n", o->min, o->max);
    if (o->def != NULL && o->def[0] != '\0') fprintf(out, "Default: %s.\n", o->def);
  }
}

void gmf_options_words(const gmf_option_table *table, unsigned verb, const char *verb_name, FILE *out)
{
  for (int i = 0; i < table->n; i++) {
    const gmf_option *o = &table->options[i];
    if ((o->verbs & verb) == 0) continue;
    if (o->kind == GMF_OPT_FLAG)
      fprintf(out, "%s --%s\n%s --no-%s\n", verb_name, o->name, verb_name, o->name);
    else
      fprintf(out, "%s --%s %s\n", verb_name, o->name, o->kind == GMF_OPT_CHOICE ? o->choices : o->value);
  }
}

void gmf_options_print(const gmf_option_table *table, unsigned verb, const void *config, const char *except, FILE *out)
{
  for (int i = 0; i < table->n; i++) {
    const gmf_option *o = &table->options[i];
    char value[4200];
    if ((o->verbs & verb) == 0 || o->kind == GMF_OPT_LIST || choice_index(except, o->name) >= 0) continue;
    gmf_option_text(o, config, value, sizeof value);
    for (char *line = value, *end = line; *line != '\0'; line = end + (*end != '\0')) { /* one, but for GMF_OPT_LINES */
      end = strchrnul(line, '\n');
      fprintf(out, "%s = %.*s\n", o->name, (int)(end - line), line);
      if (*end == '\0') break;
    }
  }
}
