/*
 * One table of options drives parsing, ranges, --help, the echo in the log, the attributes in the files and the man
 * page. A table describes fields of one plain struct (the configuration). All Local.
 */
#ifndef GMF_BASE_OPTIONS_H
#define GMF_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

typedef enum gmf_option_kind {
  GMF_OPT_FLAG,     /* bool; --name sets it, --no-name clears it */
  GMF_OPT_INT,      /* int64_t, between min and max */
  GMF_OPT_REAL,     /* double, finite, between min and max */
  GMF_OPT_CHOICE,   /* int, index into choices */
  GMF_OPT_TEXT,     /* char[size] */
  GMF_OPT_LINES,    /* char[size]: may be given several times, a line of text each */
  GMF_OPT_SIZE,     /* int64_t bytes: 512M, 4G, 0 = no limit */
  GMF_OPT_DURATION, /* double seconds: 30s, 10m, 3h55m, plain seconds */
  GMF_OPT_LIST      /* gmf_text_list: may be given several times (not in files) */
} gmf_option_kind;

enum { GMF_LIST_MAX = 1024 };
/* The values of a repeated option or of the arguments, as given on the command line. */
typedef struct gmf_text_list {
  int n;
  const char *values[GMF_LIST_MAX]; /* borrowed from argv */
} gmf_text_list;

typedef struct gmf_option {
  const char *name; /* without dashes: "lambda-scale" */
  gmf_option_kind kind;
  size_t offset;       /* of the field in the configuration */
  size_t size;         /* of GMF_OPT_TEXT's array */
  unsigned verbs;      /* the verbs that take it: a set of bits the program defines */
  bool is_model;       /* part of the mathematics: stored as an attribute of what the run writes */
  const char *value;   /* shown for the value in --help: "K", "FILE" */
  double min, max;     /* of INT and REAL */
  const char *choices; /* of CHOICE: "none|count", in the order of its enum */
  const char *def;     /* default, as text; "" leaves the option unset: REAL NaN, CHOICE -1, TEXT empty */
  const char *help;    /* one sentence */
} gmf_option;

typedef struct gmf_option_table {
  const gmf_option *options;
  int n;
} gmf_option_table;

/* Sets every field of the table to its default. */
void gmf_options_defaults(const gmf_option_table *table, void *config);

/* Sets one option from text. An unknown name names the nearest that `verb` has. Fails with `wrong` (GMF_ERR_USAGE for
 * command lines, GMF_ERR_CONFIG for files). */
gmf_status gmf_options_set(const gmf_option_table *table, unsigned verb, void *config, const char *name,
                           const char *value, gmf_status wrong, gmf_error *err);

/*
 * Reads argv[first...]: "--name value", "--name=value", flags, "-o X" for "output", and arguments, in any order; "--"
 * ends the options. argc/argv are not changed. --help and --version are left to the caller (see gmf_options_asked).
 * given (may be NULL) gets one bool per table entry: it stood on the command line.
 */
gmf_status gmf_options_parse(const gmf_option_table *table, unsigned verb, int argc, char *const *argv, int first,
                             void *config, gmf_text_list *arguments, bool *given, gmf_error *err);

/* Whether `name` ("--help") stands in argv before a "--". */
bool gmf_options_asked(int argc, char *const *argv, const char *name);

/* The value of an option as text, the way it could be given again. */
void gmf_option_text(const gmf_option *option, const void *config, char *out, size_t size);

/* Prints text in lines of at most `width` columns, each after `indent` blanks; the first is indented already. */
void gmf_print_wrapped(FILE *out, const char *text, int indent, int width);

/* Columns that help is wrapped to: those of the terminal on standard output, 60 at least, 110 at most. */
int gmf_help_width(void);

/* The options of a verb as --help prints them, and as mdoc(7) list items for the man page. */
void gmf_options_help(const gmf_option_table *table, unsigned verb, FILE *out);
void gmf_options_man(const gmf_option_table *table, unsigned verb, FILE *out);

/* For shells that complete words: a line for each option of a verb, "VERB --name WHAT", where WHAT is "a|b" for
 * choices, else what --help shows for the value ("K", "FILE"), and nothing for flags, which have a second line for
 * "--no-name". */
void gmf_options_words(const gmf_option_table *table, unsigned verb, const char *verb_name, FILE *out);

/* "key = value" lines of a verb's options, for --print-config, without those named in `except` ("a|b"). */
void gmf_options_print(const gmf_option_table *table, unsigned verb, const void *config, const char *except, FILE *out);

/* The entry of `words` ("a|b|c") nearest to `word` by edit distance, into out; false when none is near. */
bool gmf_nearest_word(const char *words, const char *word, char *out, size_t size);

#endif
