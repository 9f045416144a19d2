/* gridmf-query: asks a model. One short file per verb; this one has the command line. */
#include <locale.h>
#include <stdarg.h>
#include <string.h>

#include "base/build_info.h"
#include "cli/query_cli.h"
#include "cli/query_text.h"
#include "gridmf/features.h"

enum {
  RECOMMEND = 1,
  SIMILAR_ITEMS = 2,
  SIMILAR_USERS = 4,
  SCORE = 8,
  FOLD_IN = 16,
  EXPLAIN = 32,
  INFO = 64,
  STREAM = 128,
  DESCRIBE = 256,
  FEATURES = 512,
  ALL_VERBS = 1023,
  SIMILAR = SIMILAR_ITEMS | SIMILAR_USERS,
  FOR_NEW = RECOMMEND | FOLD_IN, /* and stream, as defaults of its requests */
  LISTS = RECOMMEND | SIMILAR | FOLD_IN
};

static const struct verb {
  const char *name;
  unsigned bit;
  gmf_status (*run)(gmf_query *query, gmf_error *err);
  const char *usage, *help;
} VERBS[] = {
    {"recommend", RECOMMEND, gmf_query_recommend, "(--user ID ... | --users-file FILE | --all) [--top N]",
     "the best items for one, several or all users"},
    {"similar-items", SIMILAR_ITEMS, gmf_query_similar_items, "--item ID [--item ID ...] [--top N]",
     "the items whose factors are most like those of an item"},
    {"similar-users", SIMILAR_USERS, gmf_query_similar_users, "--user ID [--user ID ...] [--top N]",
     "the users whose factors are most like those of a user"},
    {"score", SCORE, gmf_query_score, "--user ID --item ID [--user ID --item ID ...]",
     "the score of pairs of a user and an item; one user may have several items"},
    {"fold-in", FOLD_IN, gmf_query_fold_in, "--ratings ITEM:VALUE,... | --ratings-file FILE [--top N]",
     "the best items for somebody who is not in the model, from ratings: solved exactly, with the loss and the "
     "regularisation of the training"},
    {"explain", EXPLAIN, gmf_query_explain, "--user ID --item ID [--item ID ...] [--top N]",
     "what each rating of a user adds to the score of an item (Hu, Koren and Volinsky, ICDM 2008, section 5)"},
    {"describe", DESCRIBE, gmf_query_describe,
     "--item-features FEATURE,... [--user ID ...] | --user-features FEATURE,... [--top N]",
     "what a model with features makes of an item that it does not have: the items most like it, and its score for users; "
     "or the best items for a user that it does not have"},
    {"features", FEATURES, gmf_query_features, "[--feature NAME ...] [--of items|users] [--top N]",
     "the items, or users, and the features that a feature's weights are most like, of all features or some"},
    {"info", INFO, gmf_query_info, "", "what the model is and how it was trained"},
    {"stream", STREAM, gmf_query_stream, "< REQUESTS > ANSWERS",
     "a JSON answer a line for a JSON request a line; options are defaults of the requests"},
};
enum { N_VERBS = sizeof VERBS / sizeof *VERBS };

#define FIELD(name) offsetof(gmf_query_config, name)
#define TEXT(name) GMF_OPT_TEXT, FIELD(name), sizeof((gmf_query_config *)0)->name
static const gmf_option OPTIONS[] = {
    {"user", GMF_OPT_LIST, FIELD(users), 0, RECOMMEND | SIMILAR_USERS | SCORE | EXPLAIN | DESCRIBE, false, "ID", 0, 0,
     NULL, "", "external id of a user; may be given several times"},
    {"item", GMF_OPT_LIST, FIELD(items), 0, SIMILAR_ITEMS | SCORE | EXPLAIN, false, "ID", 0, 0, NULL, "",
     "external id of an item; may be given several times"},
    {"users-file", TEXT(users_file), RECOMMEND, false, "FILE", 0, 0, NULL, "",
     "user ids, one a line; - reads standard input"},
    {"all", GMF_OPT_FLAG, FIELD(all), 0, RECOMMEND, false, "", 0, 0, NULL, "no",
     "every user of the model, in its order"},
    {"item-features", TEXT(item_features), DESCRIBE, false, "FEATURE,...", 0, 0, NULL, "",
     "features as they are named in the model, as in genres:Drama,year:1995; one with a comma goes in quotes"},
    {"user-features", TEXT(user_features), DESCRIBE, false, "FEATURE,...", 0, 0, NULL, "", "the same of a user"},
    {"feature", GMF_OPT_LIST, FIELD(features), 0, FEATURES, false, "NAME", 0, 0, NULL, "",
     "a feature; may be given several times; all where not given"},
    {"of", GMF_OPT_CHOICE, FIELD(of), 0, FEATURES, false, "", 0, 0, "users|items", "items", "whose features"},
    {"include-cold", GMF_OPT_FLAG, FIELD(include_cold), 0, LISTS | SCORE | EXPLAIN | DESCRIBE | FEATURES | STREAM,
     false, "", 0, 0, NULL, "no",
     "items and users without a rating in training count as known where they have features: they are listed and scored "
     "by what these predict"},
    {"top", GMF_OPT_INT, FIELD(top), 0, LISTS | EXPLAIN | DESCRIBE | FEATURES | STREAM, false, "N", 1, 1e6, NULL, "10",
     "length of a list; explain: ratings to list, those that matter most"},
    {"ratings", TEXT(ratings), FOLD_IN, false, "ITEM:VALUE,...", 0, 0, NULL, "",
     "the ratings to fold in; ITEM alone is a rating of 1; of an item given twice the last counts"},
    {"ratings-file", TEXT(ratings_file), FOLD_IN, false, "FILE", 0, 0, NULL, "",
     "the same, an item and its value a line, parted by a comma, a blank, a tab or colons; - reads standard input"},
    {"include-seen", GMF_OPT_FLAG, FIELD(include_seen), 0, FOR_NEW | STREAM, false, "", 0, 0, NULL, "no",
     "also items that the user has rated"},
    {"allow", TEXT(allow), LISTS, false, "FILE", 0, 0, NULL, "", "list only these ids, one a line"},
    {"deny", TEXT(deny), LISTS, false, "FILE", 0, 0, NULL, "", "never list these ids, one a line, even when allowed"},
    {"fallback", GMF_OPT_CHOICE, FIELD(fallback), 0, FOR_NEW | STREAM, false, "", 0, 0, "none|popular", "none",
     "what users get who have no ratings in training or are not in the model; popular: the items with most training "
     "ratings, with their numbers as scores"},
    {"measure", GMF_OPT_CHOICE, FIELD(measure), 0, SIMILAR | STREAM, false, "", 0, 0, "cosine|dot", "cosine",
     "what likeness of two rows of factors is: their cosine, or their product"},
    {"titles", TEXT(titles), ALL_VERBS, false, "FILE", 0, 0, NULL, "",
     "item titles: columns id and title in csv, tab- or '::'-separated text (movies.csv, movies.dat)"},
    {"format", GMF_OPT_CHOICE, FIELD(format), 0, ALL_VERBS, false, "", 0, 0, "table|json|csv", "table",
     "table for people; json has one object a line; csv has a header"},
    {"threads", GMF_OPT_INT, FIELD(threads), 0, ALL_VERBS, false, "T", 0, 1024, NULL, "0",
     "threads; 0 takes one for each core, or OMP_NUM_THREADS"},
};
static const gmf_option_table TABLE = {OPTIONS, sizeof OPTIONS / sizeof *OPTIONS};

void gmf_query_note(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  fputs("gridmf-query: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static const struct verb *find_verb(const char *name)
{
  for (int v = 0; v < N_VERBS; v++)
    if (strcmp(VERBS[v].name, name) == 0) return &VERBS[v];
  return NULL;
}

static void print_verb_help(const struct verb *verb)
{
  char text[600];
  printf("Usage: gridmf-query MODEL %s %s [OPTIONS]\n\n", verb->name, verb->usage);
  snprintf(text, sizeof text, "Prints %s.", verb->help);
  gmf_print_wrapped(stdout, text, 0, gmf_help_width());
  printf("\n");
  gmf_options_help(&TABLE, verb->bit, stdout);
}

static void print_help(void)
{
  printf("Usage: gridmf-query MODEL VERB [OPTIONS]\n\nAsks a model that 'gridmf train' wrote.\n\nVerbs:\n");
  for (int v = 0; v < N_VERBS; v++) {
    printf("  %-15s", VERBS[v].name);
    gmf_print_wrapped(stdout, VERBS[v].help, 17, gmf_help_width());
  }
  printf("\nOptions:\n");
  gmf_options_help(&TABLE, ALL_VERBS, stdout);
  printf("\n");
  gmf_print_wrapped(
      stdout,
      "'gridmf-query VERB --help' shows the options of one verb. Exit codes: 0 done, 3 ratings that cannot be "
      "folded in, 64 wrong usage, 65 bad model or no id that it knows (without a fallback), 66 missing file, "
      "71 out of memory, 74 reading or writing failed.",
      0, gmf_help_width());
  printf(
      "\nExamples:\n"
      "  gridmf-query model.h5 recommend --user 42 --top 10 --titles movies.csv\n"
      "  gridmf-query model.h5 recommend --all --format csv > recommendations.csv\n"
      "  gridmf-query model.h5 score --user 42 --item 318 --format json\n");
}

static void print_version(void)
{
  char library[200];
  gmf_library_describe(library, sizeof library);
  printf("gridmf-query %s (%s)\n%s\n%s, %s, %s\n", GMF_BUILD.version, GMF_BUILD.git_commit, library, GMF_BUILD.compiler,
         GMF_BUILD.build_type, GMF_BUILD.flags);
}

/* The man page, mdoc(7), for the build. */
static void print_manual(void)
{
  printf(
      ".Dd $Mdocdate$\n.Dt GRIDMF-QUERY 1\n.Os gridmf %s\n.Sh NAME\n.Nm gridmf-query\n.Nd ask a recommender model\n"
      ".Sh SYNOPSIS\n.Nm\n.Ar MODEL VERB\n.Op Ar OPTIONS\n.Sh DESCRIPTION\nAnswers from a model that\n"
      ".Xr gridmf 1\nwrote. It needs no MPI.\nThe score of a user and an item is the global mean, plus both biases "
      "(where the model has them), plus the product of\ntheir factors; of an item-based model it is the product of the user's training "
      "ratings and the weights of the items. Ties go to the item in the lower row. "
      "Items that the user rated in training, and items without a rating\nin training, are not recommended; the latter "
      "are with --include-cold where the model was trained with features of items.\n",
      GMF_BUILD.version);
  for (int v = 0; v < N_VERBS; v++) {
    printf(".Ss %s%s%s\nPrints %s.\n.Bl -tag -width Ds\n", VERBS[v].name, VERBS[v].usage[0] != '\0' ? " " : "",
           VERBS[v].usage, VERBS[v].help);
    gmf_options_man(&TABLE, VERBS[v].bit, stdout);
    printf(".El\n");
  }
  printf(
      ".Sh STREAM\nA request is an object on one line: \"verb\", what the verb is about (\"user\" or \"users\", "
      "\"item\" or \"items\",\n\"ratings\": {\"ITEM\": VALUE, ...}), and \"top\", \"include_seen\", "
      "\"fallback\", \"measure\", \"include_cold\", \"allow\" and \"deny\" (arrays of ids)\nin place of the "
      "options; describe takes\n\"item_features\" or \"user_features\" (an array of names) and \"user\" or "
      "\"users\", features takes \"feature\".\nThe answer is "
      "that of --format json, behind the request's \"id\" of any kind; with \"users\" or \"items\" it is "
      "\"answers\", an array.\nWhat cannot be answered gets \"error\": {\"code\": exit code, \"text\": why}, and "
      "the stream goes on.\nFrom the second request on the item factors are kept in memory.\n"
      ".Dl {\"id\": 1, \"verb\": \"recommend\", \"user\": \"42\", \"top\": 3}\n"
      ".Sh EXIT STATUS\n.Bl -tag -width Ds\n.It 0\nDone.\n.It 3\nRatings whose system is singular.\n.It 64\nWrong usage.\n"
      ".It 65\nA bad model, or no id that it knows and no fallback.\n.It 66\nA missing file.\n.It 71\nOut of memory.\n.It 74\nReading or writing failed.\n.El\n"
      ".Sh EXAMPLES\n.Dl gridmf-query model.h5 recommend --user 42 --titles movies.csv\n"
      ".Dl gridmf-query model.h5 score --user 42 --item 318 --format json\n.Sh SEE ALSO\n.Xr gridmf 1\n");
}

/* --help may stand anywhere, with or without a verb. */
static void print_asked_help(int argc, char *const *argv)
{
  const struct verb *verb = NULL;
  for (int i = 1; i < argc && i < 4 && verb == NULL; i++) verb = find_verb(argv[i]);
  if (verb != NULL)
    print_verb_help(verb);
  else
    print_help();
}

/* ---- command line ------------------------------------------------------------------------------------------------ */

static gmf_status unknown_verb(const char *name, gmf_error *err)
{
  char names[400] = "", list[400] = "", near[64];
  for (int v = 0; v < N_VERBS; v++) {
    strcat(strcat(names, v > 0 ? "|" : ""), VERBS[v].name);
    strcat(strcat(list, v > 0 ? ", " : ""), VERBS[v].name);
  }
  if (gmf_nearest_word(names, name, near, sizeof near))
    return gmf_fail(err, GMF_ERR_USAGE, "unknown verb '%.60s'; did you mean %s? Verbs are %s", name, near, list);
  return gmf_fail(err, GMF_ERR_USAGE, "unknown verb '%.60s'; verbs are %s", name, list);
}

static gmf_status choose_verb(const gmf_text_list *arguments, const struct verb **verb, gmf_error *err)
{
  if (arguments->n == 0)
    return gmf_fail(err, GMF_ERR_USAGE, "no model given; usage: gridmf-query MODEL VERB [OPTIONS], see --help");
  if (find_verb(arguments->values[0]) != NULL && (arguments->n == 1 || find_verb(arguments->values[1]) == NULL))
    return gmf_fail(err, GMF_ERR_USAGE, "the model comes before the verb: gridmf-query MODEL %s", arguments->values[0]);
  if (arguments->n == 1) return gmf_fail(err, GMF_ERR_USAGE, "no verb given; --help lists them");
  *verb = find_verb(arguments->values[1]);
  if (*verb == NULL) return unknown_verb(arguments->values[1], err);
  if (arguments->n > 2)
    return gmf_fail(err, GMF_ERR_USAGE, "unexpected argument '%.200s'; ids are given with --user ID, --item ID",
                    arguments->values[2]);
  return GMF_OK;
}

/* Options may stand anywhere, so the first pass finds the verb and the second checks that it takes them. */
static gmf_status parse(int argc, char *const *argv, gmf_query_config *config, const struct verb **verb,
                        const char **model, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_text_list arguments = {0};
  gmf_options_defaults(&TABLE, config);
  GMF_TRY(gmf_options_parse(&TABLE, ALL_VERBS, argc, argv, 1, config, &arguments, NULL, err));
  GMF_TRY(choose_verb(&arguments, verb, err));
  gmf_options_defaults(&TABLE, config);
  GMF_TRY(gmf_options_parse(&TABLE, (*verb)->bit, argc, argv, 1, config, &arguments, NULL, err));
  *model = arguments.values[0];
cleanup:
  return status;
}

static gmf_status answer(int argc, char *const *argv, gmf_error *err)
{
  static gmf_query query; /* large */
  gmf_status status = GMF_OK;
  const struct verb *verb = NULL;
  const char *model = NULL;

  GMF_TRY(parse(argc, argv, &query.config, &verb, &model, err));
  query.width = gmf_terminal_width();
  GMF_TRY(gmf_model_open(model, &query.model, err));
  if (query.config.titles[0] != '\0') GMF_TRY(gmf_titles_read(query.config.titles, &query.titles, err));
  if (query.config.include_cold) GMF_TRY(gmf_model_include_cold(query.model, true, err));
  GMF_TRY(verb->run(&query, err));
cleanup:
  gmf_titles_free(&query.titles);
  gmf_model_close(&query.model);
  return status;
}

int main(int argc, char **argv)
{
  gmf_status status = GMF_OK;
  gmf_error err = {0};

  /* For the width of characters; numbers keep the point of the C locale. */
  if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) setlocale(LC_CTYPE, "");
  if (gmf_options_asked(argc, argv, "--help") || gmf_options_asked(argc, argv, "-h"))
    print_asked_help(argc, argv);
  else if (gmf_options_asked(argc, argv, "--version"))
    print_version();
  else if (gmf_options_asked(argc, argv, "--manual"))
    print_manual();
  else if (gmf_options_asked(argc, argv, "--words")) /* for the shell's completion */
    for (int v = 0; v < N_VERBS; v++) gmf_options_words(&TABLE, VERBS[v].bit, VERBS[v].name, stdout);
  else
    status = answer(argc, argv, &err);
  if ((fflush(stdout) != 0 || ferror(stdout)) && status == GMF_OK)
    status = gmf_fail(&err, GMF_ERR_IO, "writing the results failed");
  if (err.text[0] != '\0') gmf_query_note("%s", err.text);
  return (int)status;
}
