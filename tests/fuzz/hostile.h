/*
 * HDF5 files that are wrong in any way HDF5 itself can express: made from a good one by edits that a fuzzer's bytes
 * spell out. Arrays go missing, change type, rank and size, claim rows that are not stored, or hold other values;
 * attributes likewise. Bytes of the file format itself are not touched: those are read by HDF5, not by gridmf.
 */
#ifndef TESTS_FUZZ_HOSTILE_H
#define TESTS_FUZZ_HOSTILE_H

#include <stddef.h>
#include <stdint.h>

enum { HOSTILE_MAX_VALUES = 64 };

typedef enum hostile_kind {
  HOSTILE_F4,
  HOSTILE_F8,
  HOSTILE_I4,
  HOSTILE_I8,
  HOSTILE_U8,
  HOSTILE_TEXT,
  HOSTILE_N_KINDS
} hostile_kind;

typedef struct hostile_array {
  const char *name; /* "users/factors" */
  hostile_kind kind;
  int n_dims;
  uint64_t dims[2];
  double values[HOSTILE_MAX_VALUES]; /* taken round and round */
  int is_hollow;                     /* claims its size without storing a value */
} hostile_array;

typedef struct hostile_attribute {
  const char *object, *name;
  const char *text; /* NULL: a number */
  double number;
  int is_whole;
} hostile_attribute;

/* Creates the file at path after the edits in data [size]. The arrays given are not changed. */
void hostile_write(const char *path, const hostile_array *arrays, int n_arrays, const hostile_attribute *attributes,
                   int n_attributes, const uint8_t *data, size_t size);

/* A path for this process's file, in memory where the machine has /dev/shm. */
const char *hostile_path(void);

#endif
