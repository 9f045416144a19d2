#include "io/id_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/key_sort.h"
#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/exchange.h"

/* ---- sets: ids that one thread meets ----------------------------------------------------------------------------- */

struct gmf_integer_slot {
  int64_t key;
  uint32_t index_plus_1; /* 0: empty */
};

struct gmf_text_slot {
  uint32_t hash; /* the upper half of the hash; the lower bits choose the slot */
  uint32_t index_plus_1;
};

enum { MIN_SLOTS = 1024 };

/*
 * Ids that count from 0 or 1 are found in a table by themselves: it takes less memory than slots do, and no search. It
 * has an entry for each integer up to FEW_DIRECT or, where that is more, up to DIRECT_PER_ID times the ids there are.
 */
enum { FEW_DIRECT = 1 << 16, DIRECT_PER_ID = 8 };

void gmf_id_set_free(gmf_id_set *set)
{
  gmf_free(set->keys);
  gmf_free(set->counts);
  gmf_free(set->arena);
  gmf_free(set->direct);
  gmf_free(set->integers);
  gmf_free(set->texts);
  *set = (gmf_id_set){0};
}

/* Fibonacci hashing and a fold of the upper bits: neighbours and multiples of 2^k spread over all slots. */
static inline uint64_t hash_integer(int64_t key)
{
  uint64_t h = (uint64_t)key * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ h >> 32;
}

static inline bool is_direct(const gmf_id_set *set, int64_t key) { return (uint64_t)key < (uint64_t)set->n_direct; }

static inline int64_t integer_slot(const gmf_id_set *set, int64_t key)
{
  int64_t mask = set->n_integer_slots - 1, s = (int64_t)(hash_integer(key) & (uint64_t)mask);
  while (set->integers[s].index_plus_1 != 0 && set->integers[s].key != key) s = (s + 1) & mask;
  return s;
}

static inline int64_t text_slot(const gmf_id_set *set, const char *text, int32_t length, uint64_t hash)
{
  int64_t mask = set->n_text_slots - 1, s = (int64_t)(hash & (uint64_t)mask);
  for (; set->texts[s].index_plus_1 != 0; s = (s + 1) & mask) {
    const gmf_id_key *key = &set->keys[set->texts[s].index_plus_1 - 1];
    if (set->texts[s].hash == (uint32_t)(hash >> 32) && key->length == length &&
        memcmp(set->arena + key->value, text, (size_t)length) == 0)
      break;
  }
  return s;
}

static gmf_status grow_integers(gmf_id_set *set, int64_t n_slots, gmf_error *err)
{
  gmf_integer_slot *slots = NULL;
  gmf_status status = GMF_NEW_ZERO(slots, n_slots, err);
  if (status != GMF_OK) return status;
  gmf_free(set->integers);
  set->integers = slots;
  set->n_integer_slots = n_slots;
  set->n_hashed = 0;
  for (int64_t i = 0; i < set->n; i++) {
    if (set->keys[i].kind != GMF_ID_INTEGER || is_direct(set, set->keys[i].value)) continue;
    slots[integer_slot(set, set->keys[i].value)] = (gmf_integer_slot){set->keys[i].value, (uint32_t)(i + 1)};
    set->n_hashed++;
  }
  return GMF_OK;
}

/* A table up to `n`, which is more than before. What slots hold of it stays there, unused. */
static gmf_status grow_direct(gmf_id_set *set, int64_t n, gmf_error *err)
{
  uint32_t *direct = NULL;
  gmf_status status = GMF_NEW_ZERO(direct, n, err);
  if (status != GMF_OK) return status;
  gmf_free(set->direct);
  set->direct = direct;
  set->n_direct = n;
  for (int64_t i = 0; i < set->n; i++)
    if (set->keys[i].kind == GMF_ID_INTEGER && is_direct(set, set->keys[i].value))
      direct[set->keys[i].value] = (uint32_t)(i + 1);
  return GMF_OK;
}

static gmf_status grow_texts(gmf_id_set *set, int64_t n_slots, gmf_error *err)
{
  gmf_text_slot *slots = NULL;
  gmf_status status = GMF_NEW_ZERO(slots, n_slots, err);
  if (status != GMF_OK) return status;
  gmf_free(set->texts);
  set->texts = slots;
  set->n_text_slots = n_slots;
  for (int64_t i = 0; i < set->n; i++) {
    const gmf_id_key *key = &set->keys[i];
    if (key->kind == GMF_ID_INTEGER) continue;
    uint64_t hash = XXH3_64bits(set->arena + key->value, (size_t)key->length);
    uint64_t mask = (uint64_t)n_slots - 1, s = hash & mask;
    while (slots[s].index_plus_1 != 0) s = (s + 1) & mask; /* they are distinct: the first free slot will do */
    slots[s] = (gmf_text_slot){(uint32_t)(hash >> 32), (uint32_t)(i + 1)};
  }
  return GMF_OK;
}

static int64_t slots_for(int64_t n)
{
  int64_t slots = MIN_SLOTS;
  while (slots < 2 * n) slots *= 2;
  return slots;
}

/* Room for n_integers more integers, the largest of them `largest` (as an unsigned number), and n_texts more texts of
 * text_bytes in all, so that adding them cannot fail. */
static gmf_status make_room(gmf_id_set *set, int64_t n_integers, uint64_t largest, int64_t n_texts, int64_t text_bytes,
                            gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = set->n + n_integers + n_texts, others = set->n_text + set->n_huge;
  if (n >= UINT32_MAX)
    GMF_TRY(gmf_fail(err, GMF_ERR_PLAN, "more than 4 billion different ids on one rank; use more ranks"));
  GMF_TRY(GMF_RESERVE(set->keys, set->key_capacity, n, err));
  GMF_TRY(GMF_RESERVE(set->counts, set->count_capacity, n, err));
  GMF_TRY(GMF_RESERVE(set->arena, set->arena_capacity, set->arena_bytes + text_bytes, err));
  if (n_integers > 0 && largest >= (uint64_t)set->n_direct) {
    int64_t most = gmf_max64(FEW_DIRECT, DIRECT_PER_ID * (set->n - others));
    if (largest < (uint64_t)most) GMF_TRY(grow_direct(set, gmf_max64(most, 2 * set->n_direct), err));
    if (largest >= (uint64_t)most && 2 * (set->n_hashed + n_integers) > set->n_integer_slots)
      GMF_TRY(grow_integers(set, slots_for(set->n_hashed + n_integers), err));
  }
  if (2 * (others + n_texts) > set->n_text_slots) GMF_TRY(grow_texts(set, slots_for(others + n_texts), err));
cleanup:
  return status;
}

/* A new integer. Returns its index + 1. */
static inline uint32_t append_integer(gmf_id_set *set, int64_t value)
{
  set->keys[set->n] = (gmf_id_key){.value = value, .kind = GMF_ID_INTEGER};
  set->counts[set->n] = 0;
  return (uint32_t)++set->n;
}

static inline uint32_t add_integer(gmf_id_set *set, int64_t value)
{
  if (is_direct(set, value)) {
    uint32_t *entry = &set->direct[value];
    if (*entry == 0) *entry = append_integer(set, value);
    return *entry - 1;
  }
  gmf_integer_slot *slot = &set->integers[integer_slot(set, value)];
  if (slot->index_plus_1 == 0) {
    *slot = (gmf_integer_slot){value, append_integer(set, value)};
    set->n_hashed++;
  }
  return slot->index_plus_1 - 1;
}

/* Asks for the memory that add_integer will look at. */
static inline void prefetch_integer(const gmf_id_set *set, int64_t value)
{
  if (is_direct(set, value))
    __builtin_prefetch(&set->direct[value]);
  else
    __builtin_prefetch(&set->integers[hash_integer(value) & (uint64_t)(set->n_integer_slots - 1)]);
}

static inline uint32_t add_text(gmf_id_set *set, const char *text, int32_t length, gmf_text_id_kind kind, uint64_t hash)
{
  gmf_text_slot *slot = &set->texts[text_slot(set, text, length, hash)];
  if (slot->index_plus_1 == 0) {
    memcpy(set->arena + set->arena_bytes, text, (size_t)length);
    set->keys[set->n] = (gmf_id_key){set->arena_bytes, length, kind};
    set->counts[set->n] = 0;
    set->arena_bytes += length;
    set->n_huge += kind == GMF_ID_HUGE;
    set->n_text += kind == GMF_ID_TEXT;
    *slot = (gmf_text_slot){(uint32_t)(hash >> 32), (uint32_t)++set->n};
  }
  return slot->index_plus_1 - 1;
}

gmf_status gmf_id_set_intern(gmf_id_set *set, gmf_side side, const gmf_text_rating *ratings, int64_t n, uint32_t *index,
                             gmf_error *err)
{
  uint64_t hash[GMF_ID_BATCH];
  int64_t n_texts = 0, bytes = 0;
  uint64_t largest = 0;
  GMF_CHECK(n <= GMF_ID_BATCH);
  for (int64_t j = 0; j < n; j++) {
    const gmf_text_id *id = &ratings[j].id[side];
    if (id->kind == GMF_ID_INTEGER) {
      largest = (uint64_t)id->integer > largest ? (uint64_t)id->integer : largest;
      continue;
    }
    n_texts++;
    bytes += id->length;
  }
  gmf_status status = make_room(set, n - n_texts, largest, n_texts, bytes, err);
  if (status != GMF_OK) return status;
  /* All slots are fetched before the first is looked at, so that the cache misses overlap. */
  for (int64_t j = 0; j < n; j++) {
    const gmf_text_id *id = &ratings[j].id[side];
    if (id->kind == GMF_ID_INTEGER) {
      prefetch_integer(set, id->integer);
    } else {
      hash[j] = XXH3_64bits(id->text, (size_t)id->length);
      __builtin_prefetch(&set->texts[hash[j] & (uint64_t)(set->n_text_slots - 1)]);
    }
  }
  for (int64_t j = 0; j < n; j++) {
    const gmf_text_id *id = &ratings[j].id[side];
    uint32_t i = id->kind == GMF_ID_INTEGER ? add_integer(set, id->integer)
                                            : add_text(set, id->text, id->length, id->kind, hash[j]);
    index[j] = i;
  }
  for (int64_t j = 0; j < n; j++) set->counts[index[j]]++;
  return GMF_OK;
}

gmf_status gmf_id_set_intern_integers(gmf_id_set *set, const int64_t *values, int64_t n, uint32_t *index,
                                      gmf_error *err)
{
  for (int64_t begin = 0, end; begin < n; begin = end) {
    uint64_t largest = 0;
    end = gmf_min64(begin + GMF_ID_BATCH, n);
    for (int64_t j = begin; j < end; j++) largest = (uint64_t)values[j] > largest ? (uint64_t)values[j] : largest;
    gmf_status status = make_room(set, end - begin, largest, 0, 0, err);
    if (status != GMF_OK) return status;
    for (int64_t j = begin; j < end; j++) {
      index[j] = add_integer(set, values[j]);
      set->counts[index[j]]++;
    }
  }
  return GMF_OK;
}

gmf_status gmf_id_set_merge(gmf_id_set *set, const gmf_id_set *from, uint32_t *index, gmf_error *err)
{
  int64_t others = from->n_huge + from->n_text;
  uint64_t largest = 0;
  for (int64_t i = 0; i < from->n; i++)
    if (from->keys[i].kind == GMF_ID_INTEGER && (uint64_t)from->keys[i].value > largest)
      largest = (uint64_t)from->keys[i].value;
  gmf_status status = make_room(set, from->n - others, largest, others, from->arena_bytes, err);
  if (status != GMF_OK) return status;
  for (int64_t i = 0; i < from->n; i++) {
    const gmf_id_key *key = &from->keys[i];
    if (key->kind == GMF_ID_INTEGER) {
      index[i] = add_integer(set, key->value);
    } else {
      const char *text = from->arena + key->value;
      index[i] = add_text(set, text, key->length, key->kind, XXH3_64bits(text, (size_t)key->length));
    }
    set->counts[index[i]] += from->counts[i];
  }
  return GMF_OK;
}

/* ---- ids as byte strings ----------------------------------------------------------------------------------------- */
/*
 * On the way to their owners all ids are byte strings whose order as bytes is the order of the rows: texts as they
 * are (they hold no NUL), integers as 8 bytes, big-endian with the sign bit flipped.
 */

typedef struct view {
  const char *bytes; /* borrowed */
  int64_t length;
} view;

typedef struct strings {
  int64_t n;
  view *views;     /* owned [n] */
  char *storage;   /* owned: the bytes of the views */
  int64_t *counts; /* owned [n] */
} strings;

static void strings_free(strings *s)
{
  gmf_free(s->views);
  gmf_free(s->storage);
  gmf_free(s->counts);
  *s = (strings){0};
}

static void store_big_endian(char out[8], int64_t value)
{
  uint64_t bits = __builtin_bswap64((uint64_t)value ^ UINT64_C(1) << 63);
  memcpy(out, &bits, 8);
}

static int64_t load_big_endian(const char *in)
{
  uint64_t bits;
  memcpy(&bits, in, 8);
  return (int64_t)(__builtin_bswap64(bits) ^ UINT64_C(1) << 63);
}

/* The ids of a set that occur, in the set's order. which[n]: their indices in the set. */
static gmf_status strings_of_set(const gmf_id_set *set, bool as_text, strings *out, int64_t *which, gmf_error *err)
{
  enum { INTEGER_BYTES = 24 };
  gmf_status status = GMF_OK;
  int64_t at = 0;
  GMF_TRY(GMF_NEW(out->views, set->n, err));
  GMF_TRY(GMF_NEW(out->counts, set->n, err));
  GMF_TRY(GMF_NEW(out->storage, (set->n - set->n_text - set->n_huge) * INTEGER_BYTES, err));
  for (int64_t i = 0; i < set->n; i++) {
    const gmf_id_key *key = &set->keys[i];
    view v = {NULL, key->length};
    if (set->counts[i] == 0) continue;
    if (key->kind != GMF_ID_INTEGER) {
      v.bytes = set->arena + key->value;
    } else {
      v = (view){out->storage + at, 8};
      if (as_text)
        v.length = snprintf(out->storage + at, INTEGER_BYTES, "%" PRId64, key->value);
      else
        store_big_endian(out->storage + at, key->value);
      at += v.length;
    }
    out->counts[out->n] = set->counts[i];
    which[out->n] = i;
    out->views[out->n++] = v;
  }
cleanup:
  return status;
}

static uint64_t chunk_of(view v, int64_t depth)
{
  uint64_t bits = 0;
  if (v.length > depth) memcpy(&bits, v.bytes + depth, (size_t)gmf_min64(8, v.length - depth));
  return __builtin_bswap64(bits);
}

/* Sorts order[n] (values: indices of views equal in their first `depth` bytes), 8 bytes at a time. */
static void sort_from(const view *views, gmf_keyed *order, gmf_keyed *scratch, int64_t n, int64_t depth)
{
  for (int64_t i = 0; i < n; i++) order[i].key = chunk_of(views[order[i].value], depth);
  gmf_sort_keyed(order, scratch, n);
  if (n >= 64) gmf_beat();
  for (int64_t begin = 0, end; begin < n; begin = end) {
    int64_t longest = views[order[begin].value].length;
    for (end = begin + 1; end < n && order[end].key == order[begin].key; end++)
      longest = gmf_max64(longest, views[order[end].value].length);
    if (end - begin > 1 && longest > depth + 8) /* else they are all the same string */
      sort_from(views, order + begin, scratch, end - begin, depth + 8);
  }
}

static gmf_status sort_strings(const strings *s, gmf_keyed **order, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_keyed *scratch = NULL;
  GMF_TRY(GMF_NEW(*order, s->n, err));
  GMF_TRY(GMF_NEW(scratch, s->n, err));
  for (int64_t i = 0; i < s->n; i++) (*order)[i].value = i;
  sort_from(s->views, *order, scratch, s->n, 0);
cleanup:
  gmf_free(scratch);
  return status;
}

static int compare(view a, view b)
{
  int order = memcmp(a.bytes, b.bytes, (size_t)gmf_min64(a.length, b.length));
  return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* ---- splitters: which rank owns which range of ids --------------------------------------------------------------- */

enum { SAMPLE_BYTES = 120 };

/* The begin of an id: a splitter may be any string, so a cut one is as good. */
typedef struct sample {
  int32_t length; /* -1: none */
  char bytes[SAMPLE_BYTES];
} sample;

static view view_of_sample(const sample *s) { return (view){s->bytes, s->length}; }

/* Collective. splitters [size - 1]: quantiles of the samples of all ranks; ids below splitter r belong to ranks <= r,
 * the others to ranks behind. */
static gmf_status choose_splitters(const gmf_grid *grid, const strings *s, const gmf_keyed *order, sample *splitters,
                                   gmf_error *err)
{
  gmf_status status = GMF_OK;
  int per_rank = gmf_int(gmf_max64(8, gmf_min64(256, 8192 / grid->size)));
  int64_t n = 0, n_all = (int64_t)per_rank * grid->size;
  sample *mine = NULL, *all = NULL;
  strings valid = {0};
  gmf_keyed *sorted = NULL;

  status = GMF_NEW_ZERO(mine, per_rank, err);
  if (status == GMF_OK) status = GMF_NEW(all, n_all, err);
  if (status == GMF_OK) status = GMF_NEW(valid.views, n_all, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t i = 0; i < per_rank; i++) {
    mine[i].length = -1;
    if (i >= s->n) continue;
    view v = s->views[order[gmf_slice_begin(s->n, gmf_int(gmf_min64(per_rank, s->n)), gmf_int(i))].value];
    mine[i].length = gmf_i32(gmf_min64(v.length, SAMPLE_BYTES));
    memcpy(mine[i].bytes, v.bytes, (size_t)mine[i].length);
  }
  GMF_COLLECTIVE(grid->all, MPI_Allgather(mine, gmf_int((int64_t)sizeof *mine * per_rank), MPI_BYTE, all,
                                          gmf_int((int64_t)sizeof *mine * per_rank), MPI_BYTE, grid->all));
  gmf_trace_collective(grid->trace, n_all * (int64_t)sizeof *all);
  for (int64_t i = 0; i < n_all; i++)
    if (all[i].length >= 0) valid.views[n++] = view_of_sample(&all[i]);
  valid.n = n;
  GMF_TRY(gmf_agree(grid, sort_strings(&valid, &sorted, err), err));
  for (int r = 0; r + 1 < grid->size; r++) {
    int64_t at = gmf_slice_begin(n, grid->size, r + 1);
    splitters[r].length = 0;
    if (at >= n) continue; /* fewer samples than ranks: an empty string leaves the rank without ids */
    view v = valid.views[sorted[at].value];
    splitters[r].length = gmf_i32(v.length);
    memcpy(splitters[r].bytes, v.bytes, (size_t)v.length);
  }
cleanup:
  gmf_free(mine);
  gmf_free(all);
  gmf_free(sorted);
  strings_free(&valid);
  return status;
}

/* n_to[r]: how many of my sorted ids go to rank r. */
static void count_by_owner(const strings *s, const gmf_keyed *order, const sample *splitters, int size, int64_t *n_to)
{
  int64_t begin = 0;
  for (int r = 0; r < size; r++) {
    int64_t low = begin, high = s->n;
    while (r + 1 < size && low < high) {
      int64_t middle = low + (high - low) / 2;
      if (compare(s->views[order[middle].value], view_of_sample(&splitters[r])) < 0)
        low = middle + 1;
      else
        high = middle;
    }
    int64_t end = r + 1 < size ? low : s->n;
    n_to[r] = end - begin;
    begin = end;
  }
}

/* ---- exchange ---------------------------------------------------------------------------------------------------- */

typedef struct packed {
  int32_t *lengths; /* owned [n] */
  int64_t *counts;  /* owned [n] */
  char *bytes;      /* owned */
  int64_t *n_bytes; /* owned [size]: to each rank */
} packed;

static void packed_free(packed *p)
{
  gmf_free(p->lengths);
  gmf_free(p->counts);
  gmf_free(p->bytes);
  gmf_free(p->n_bytes);
}

/* My ids in ascending order, so that what goes to one rank stands together. */
static gmf_status pack(const strings *s, const gmf_keyed *order, const int64_t *n_to, int size, packed *out,
                       gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t total = 0, at = 0;
  for (int64_t i = 0; i < s->n; i++) total += s->views[i].length;
  GMF_TRY(GMF_NEW(out->lengths, s->n, err));
  GMF_TRY(GMF_NEW(out->counts, s->n, err));
  GMF_TRY(GMF_NEW(out->bytes, total, err));
  GMF_TRY(GMF_NEW_ZERO(out->n_bytes, size, err));
  for (int64_t r = 0, i = 0, end = 0; r < size; r++)
    for (end += n_to[r]; i < end; i++) {
      view v = s->views[order[i].value];
      out->lengths[i] = (int32_t)v.length;
      out->counts[i] = s->counts[order[i].value];
      memcpy(out->bytes + at, v.bytes, (size_t)v.length);
      at += v.length;
      out->n_bytes[r] += v.length;
    }
cleanup:
  return status;
}

/* Collective. The ids that I own, with repetitions, grouped by the rank they came from; n_from [size]. */
static gmf_status exchange_strings(const gmf_grid *grid, const packed *send, const int64_t *n_to, strings *out,
                                   int64_t *n_from, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int32_t *lengths = NULL;
  int64_t n = 0, n_bytes = 0;
  void *recv = NULL;
  GMF_TRY(gmf_exchange_new(grid, sizeof *lengths, send->lengths, n_to, &recv, n_from, &n, err));
  lengths = recv;
  GMF_TRY(gmf_exchange_new(grid, sizeof *send->counts, send->counts, n_to, &recv, NULL, &n, err));
  out->counts = recv;
  GMF_TRY(gmf_exchange_new(grid, 1, send->bytes, send->n_bytes, &recv, NULL, &n_bytes, err));
  out->storage = recv;
  GMF_TRY(gmf_agree(grid, GMF_NEW(out->views, n, err), err));
  const char *at = out->storage;
  for (int64_t i = 0; i < n; at += lengths[i++]) out->views[i] = (view){at, lengths[i]};
  out->n = n;
cleanup:
  gmf_free(lengths);
  return status;
}

/* ---- the owners' side -------------------------------------------------------------------------------------------- */

void gmf_id_space_free(gmf_id_space *space)
{
  gmf_ids_free(&space->ids);
  gmf_free(space->counts);
  gmf_free(space->begin);
  *space = (gmf_id_space){0};
}

/* Collective. begin, n and ids.begin from the lengths of the slices. */
static void place_slices(const gmf_grid *grid, gmf_id_space *space)
{
  gmf_all_gather_i64(grid, space->ids.n, space->begin + 1);
  space->begin[0] = 0;
  for (int r = 0; r < grid->size; r++) space->begin[r + 1] += space->begin[r];
  space->n = space->begin[grid->size];
  space->ids.begin = space->begin[grid->rank];
}

/* Numbers the different strings from 0 in their order: number[i] of each string; sums counts into space->counts. */
static void number_strings(const strings *s, const gmf_keyed *order, gmf_id_space *space, int64_t *number)
{
  int64_t last = -1;
  for (int64_t i = 0; i < s->n; i++) {
    int64_t index = order[i].value;
    if (i == 0 || compare(s->views[order[i - 1].value], s->views[index]) != 0) space->counts[++last] = 0;
    space->counts[last] += s->counts[index];
    number[index] = last;
  }
  space->ids.n = last + 1;
}

/* The values of my slice in the file's form. */
static gmf_status fill_ids(const strings *s, const int64_t *number, gmf_ids *ids, gmf_error *err)
{
  ids->values = gmf_calloc(ids->n, (size_t)ids->type.size);
  if (ids->values == NULL) return gmf_out_of_memory(err, ids->n, (size_t)ids->type.size, "ids");
  for (int64_t i = 0; i < s->n; i++) {
    if (ids->type.kind == GMF_I8)
      ((int64_t *)ids->values)[number[i]] = load_big_endian(s->views[i].bytes);
    else
      memcpy((char *)ids->values + number[i] * ids->type.size, s->views[i].bytes, (size_t)s->views[i].length);
  }
  return GMF_OK;
}

/* Collective. From the ids sent to me to my slice of the space; number [owned->n]: the row of each. */
static gmf_status own(const gmf_grid *grid, const strings *owned, bool as_text, gmf_id_space *out, int64_t *number,
                      gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_keyed *order = NULL;
  int64_t longest = 1;
  status = sort_strings(owned, &order, err);
  if (status == GMF_OK) status = GMF_NEW(out->counts, owned->n, err);
  if (status == GMF_OK) status = GMF_NEW(out->begin, grid->size + 1, err);
  GMF_TRY(gmf_agree(grid, status, err));
  number_strings(owned, order, out, number);
  GMF_FREE(order);
  for (int64_t i = 0; i < owned->n; i++) longest = gmf_max64(longest, owned->views[i].length);
  gmf_max_i64(grid, &longest, 1);
  out->ids.type = as_text ? gmf_type_text(longest) : gmf_type_of(GMF_I8);
  GMF_TRY(gmf_agree(grid, fill_ids(owned, number, &out->ids, err), err));
  place_slices(grid, out);
  for (int64_t i = 0; i < owned->n; i++) number[i] += out->ids.begin;
cleanup:
  gmf_free(order);
  return status;
}

gmf_status gmf_id_space_build(const gmf_grid *grid, const gmf_id_set *set, bool as_text, gmf_id_space *out,
                              int64_t *rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  strings mine = {0}, owned = {0};
  packed send = {0};
  gmf_keyed *order = NULL;
  sample *splitters = NULL;
  int64_t *which = NULL, *n_to = NULL, *n_from = NULL, *number = NULL, *answer = NULL;

  *out = (gmf_id_space){0};
  status = GMF_NEW(which, set->n, err);
  if (status == GMF_OK) status = GMF_NEW(n_to, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(n_from, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(splitters, grid->size, err);
  if (status == GMF_OK) status = strings_of_set(set, as_text, &mine, which, err);
  if (status == GMF_OK) status = sort_strings(&mine, &order, err);
  if (status == GMF_OK) status = GMF_NEW(answer, mine.n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  GMF_TRY(choose_splitters(grid, &mine, order, splitters, err));
  count_by_owner(&mine, order, splitters, grid->size, n_to);
  GMF_TRY(gmf_agree(grid, pack(&mine, order, n_to, grid->size, &send, err), err));
  GMF_TRY(exchange_strings(grid, &send, n_to, &owned, n_from, err));
  GMF_TRY(gmf_agree(grid, GMF_NEW(number, owned.n, err), err));
  GMF_TRY(own(grid, &owned, as_text, out, number, err));
  gmf_exchange(grid, sizeof *number, number, n_from, answer, n_to);
  for (int64_t i = 0; i < set->n; i++) rows[i] = -1;
  for (int64_t i = 0; i < mine.n; i++) rows[which[order[i].value]] = answer[i];

cleanup:
  strings_free(&mine);
  strings_free(&owned);
  packed_free(&send);
  gmf_free(order);
  gmf_free(splitters);
  gmf_free(which);
  gmf_free(n_to);
  gmf_free(n_from);
  gmf_free(number);
  gmf_free(answer);
  if (status != GMF_OK) gmf_id_space_free(out);
  return status;
}

gmf_status gmf_id_space_read(const gmf_grid *grid, const gmf_dataset *d, gmf_side side, gmf_id_space *out,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t begin = gmf_slice_begin(d->n[side], grid->size, grid->rank);
  int64_t n = gmf_slice_begin(d->n[side], grid->size, grid->rank + 1) - begin;
  *out = (gmf_id_space){0};
  status = gmf_dataset_read_ids(d, side, begin, n, &out->ids, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(out->counts, n, err);
  if (status == GMF_OK) status = GMF_NEW(out->begin, grid->size + 1, err);
  GMF_TRY(gmf_agree(grid, status, err));
  place_slices(grid, out);
cleanup:
  if (status != GMF_OK) gmf_id_space_free(out);
  return status;
}

/* ---- ids that go ------------------------------------------------------------------------------------------------- */

typedef struct row_count {
  int64_t row, count;
} row_count;

/* Removes the ids of my slice that occur less than `minimum` times; new_index[old] = where each one stands, or -1. */
static void compact_slice(gmf_id_space *space, int64_t minimum, int64_t *new_index)
{
  size_t size = (size_t)space->ids.type.size;
  char *values = space->ids.values;
  int64_t n = 0;
  for (int64_t i = 0; i < space->ids.n; i++) {
    new_index[i] = -1;
    if (space->counts[i] < minimum) continue;
    new_index[i] = n;
    space->counts[n] = space->counts[i];
    if (n != i) memcpy(values + (size_t)n * size, values + (size_t)i * size, size);
    n++;
  }
  space->ids.n = n;
}

/* Collective. The width of text ids is that of the longest one left, whatever the ids that went. */
static void narrow_text(const gmf_grid *grid, gmf_ids *ids)
{
  if (ids->type.kind != GMF_TEXT) return;
  int64_t longest = 1, old = ids->type.size;
  char *values = ids->values;
  for (int64_t i = 0; i < ids->n; i++) longest = gmf_max64(longest, (int64_t)strnlen(values + i * old, (size_t)old));
  gmf_max_i64(grid, &longest, 1);
  for (int64_t i = 0; i < ids->n; i++) memmove(values + i * longest, values + i * old, (size_t)longest);
  ids->type = gmf_type_text(longest);
}

gmf_status gmf_id_space_keep(const gmf_grid *grid, gmf_id_space *space, const int64_t *rows, const int64_t *counts,
                             int64_t n, int64_t minimum, int64_t *new_rows, gmf_error *err)
{
  gmf_status status = GMF_OK;
  row_count *send = NULL, *got = NULL;
  int64_t *n_to = NULL, *n_from = NULL, *new_index = NULL, n_got = 0;
  void *recv = NULL;

  status = GMF_NEW(send, n, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(n_to, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(n_from, grid->size, err);
  if (status == GMF_OK) status = GMF_NEW(new_index, space->ids.n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  for (int64_t i = 0, r = 0; i < n; i++) {
    while (rows[i] >= space->begin[r + 1]) r++;
    send[i] = (row_count){rows[i], counts[i]};
    n_to[r]++;
  }
  GMF_TRY(gmf_exchange_new(grid, sizeof *send, send, n_to, &recv, n_from, &n_got, err));
  got = recv;
  memset(space->counts, 0, (size_t)space->ids.n * sizeof *space->counts);
  int64_t old_begin = space->ids.begin;
  for (int64_t i = 0; i < n_got; i++) space->counts[got[i].row - old_begin] += got[i].count;
  compact_slice(space, minimum, new_index);
  narrow_text(grid, &space->ids);
  place_slices(grid, space);
  for (int64_t i = 0; i < n_got; i++) {
    int64_t index = new_index[got[i].row - old_begin];
    got[i].row = index < 0 ? -1 : space->ids.begin + index;
  }
  gmf_exchange(grid, sizeof *got, got, n_from, send, n_to);
  for (int64_t i = 0; i < n; i++) new_rows[i] = send[i].row;

cleanup:
  gmf_free(send);
  gmf_free(got);
  gmf_free(n_to);
  gmf_free(n_from);
  gmf_free(new_index);
  return status;
}

void gmf_id_space_text(const gmf_grid *grid, const gmf_id_space *space, int64_t row, char *out, int size)
{
  int owner = 0;
  while (owner + 1 < grid->size && row >= space->begin[owner + 1]) owner++;
  memset(out, 0, (size_t)size);
  if (grid->rank == owner) gmf_id_text(&space->ids, row - space->ids.begin, out, (size_t)size);
  GMF_COLLECTIVE(grid->all, MPI_Bcast(out, size, MPI_CHAR, owner, grid->all));
  gmf_trace_collective(grid->trace, size);
}
