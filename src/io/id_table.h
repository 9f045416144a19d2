/*
 * External ids to row numbers. A gmf_id_set gives each distinct id that one thread meets a small index; a gmf_id_space
 * numbers the distinct ids of all ranks in ascending order and keeps them in slices, one for each rank.
 */
#ifndef GMF_IO_ID_TABLE_H
#define GMF_IO_ID_TABLE_H

#include "io/dataset.h"
#include "io/text_reader.h"
#include "runtime/grid.h"

typedef struct gmf_id_key {
  int64_t value;  /* the integer, or where the text begins in the arena */
  int32_t length; /* of the text */
  gmf_text_id_kind kind;
} gmf_id_key;

typedef struct gmf_integer_slot gmf_integer_slot;
typedef struct gmf_text_slot gmf_text_slot;

/* Distinct ids in the order in which they were met. All zero is an empty set. */
typedef struct gmf_id_set {
  int64_t n;
  gmf_id_key *keys;       /* owned [n] */
  int64_t *counts;        /* owned [n]: how often each was met */
  int64_t n_huge, n_text; /* of the ids, how many are of these kinds */
  int64_t key_capacity, count_capacity;
  char *arena; /* owned [arena_bytes]: the texts, one after the other */
  int64_t arena_bytes, arena_capacity;
  uint32_t *direct; /* owned [n_direct]: index + 1 of each integer from 0 to n_direct - 1, 0 of one not met */
  int64_t n_direct;
  gmf_integer_slot *integers; /* owned: the other integers; open addressing, linear probes, at most half full */
  gmf_text_slot *texts;       /* owned: the same for ids that are not integers of 64 bits */
  int64_t n_integer_slots, n_text_slots, n_hashed; /* n_hashed: how many integers the slots were asked to hold */
} gmf_id_set;

void gmf_id_set_free(gmf_id_set *set);

/* Local. index[j] = index of the id of `side` of ratings[j], added and counted. At most GMF_ID_BATCH ratings. */
enum { GMF_ID_BATCH = 256 };
gmf_status gmf_id_set_intern(gmf_id_set *set, gmf_side side, const gmf_text_rating *ratings, int64_t n, uint32_t *index,
                             gmf_error *err);

/* Local. The same for any number of plain integers. */
gmf_status gmf_id_set_intern_integers(gmf_id_set *set, const int64_t *values, int64_t n, uint32_t *index,
                                      gmf_error *err);

/* Local. Adds another set and its counts; index[i] = where id i of `from` now stands. */
gmf_status gmf_id_set_merge(gmf_id_set *set, const gmf_id_set *from, uint32_t *index, gmf_error *err);

/* The distinct ids of all ranks, ascending: integers by value, texts by bytes. Row = position. */
typedef struct gmf_id_space {
  gmf_ids ids;     /* owned: my slice */
  int64_t *counts; /* owned [ids.n]: how often each was met on all ranks */
  int64_t n;       /* on all ranks */
  int64_t *begin;  /* owned [size + 1]: where the slice of each rank begins; one entry a rank, not a row */
} gmf_id_space;

void gmf_id_space_free(gmf_id_space *space);

/*
 * Collective. as_text: some id of the side, on any rank, is no integer, so all are texts. Ids that occur 0 times are
 * left out. rows [set->n]: out, the row of each id of mine, -1 for those left out.
 * Memory: proportional to this rank's ids and to its share of all of them.
 */
gmf_status gmf_id_space_build(const gmf_grid *grid, const gmf_id_set *set, bool as_text, gmf_id_space *out,
                              int64_t *rows, gmf_error *err);

/* Collective. The ids of a dataset's side as they are; the counts are 0. */
gmf_status gmf_id_space_read(const gmf_grid *grid, const gmf_dataset *dataset, gmf_side side, gmf_id_space *out,
                             gmf_error *err);

/*
 * Collective. Keeps the ids that are met at least `minimum` times (1 or more) and numbers them again.
 *   rows, counts [n]   the rows this rank meets, ascending, and how often
 *   new_rows [n]       out: their new numbers, -1 for those that went
 */
gmf_status gmf_id_space_keep(const gmf_grid *grid, gmf_id_space *space, const int64_t *rows, const int64_t *counts,
                             int64_t n, int64_t minimum, int64_t *new_rows, gmf_error *err);

/* Collective. The id of a row (the same on all ranks) as text, for messages, on every rank. */
void gmf_id_space_text(const gmf_grid *grid, const gmf_id_space *space, int64_t row, char *out, int size);

#endif
