/*
 * What --log-json writes: one object a line, each of one of these events. Readers may rely on names, types and units;
 * new events and fields may come with any version, so that readers pass over what they do not know. What means
 * something else than before raises GMF_LOG_SCHEMA.
 */
#ifndef GMF_APP_LOG_SCHEMA_H
#define GMF_APP_LOG_SCHEMA_H

#include <stdbool.h>

enum { GMF_LOG_SCHEMA = 2 };

typedef enum gmf_log_type {
  GMF_LOG_STRING,
  GMF_LOG_INTEGER,
  GMF_LOG_NUMBER,
  GMF_LOG_NUMBERS,  /* array */
  GMF_LOG_INTEGERS, /* array */
  GMF_LOG_OBJECT
} gmf_log_type;

typedef struct gmf_log_field {
  const char *event; /* "" for every event */
  const char *name;
  gmf_log_type type;
  bool optional;
  const char *meaning; /* with the unit */
} gmf_log_field;

/* All fields, those of an event together; n of them. */
extern const gmf_log_field GMF_LOG_FIELDS[];
extern const int GMF_LOG_N_FIELDS;

/* "string", "array of integers", ... */
const char *gmf_log_type_name(gmf_log_type type);

#endif
