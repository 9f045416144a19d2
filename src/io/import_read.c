#include "io/import_read.h"

#include <inttypes.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/narrow.h"

#ifndef GMF_IMPORT_PIECE_BYTES
#define GMF_IMPORT_PIECE_BYTES (1 << 20) /* what a thread reads at a time; a build may lower it for tests */
#endif

enum { OPEN_FILES = 64 };       /* plain files that a rank has open at one time */
static const int64_t RATIO = 4; /* text bytes in a compressed byte, for balance only */

/* ---- where ratings stand ----------------------------------------------------------------------------------------- */

/* Slabs begin small, so that little input takes little memory, and double up to this. */
enum { LEAST_SLAB = 1 << 14, LARGEST_SLAB = 1 << 18 };

static void leave_slab(gmf_slab **slab)
{
  gmf_slab *s = *slab;
  *slab = NULL;
  if (s == NULL || --s->n_users > 0) return;
  gmf_free(s->ratings);
  gmf_free(s->weights);
  gmf_free(s);
}

void gmf_piece_free(gmf_piece *piece)
{
  leave_slab(&piece->slab);
  piece->ratings = NULL;
  piece->weights = NULL;
}

static gmf_status new_slab(int64_t capacity, bool has_weight, gmf_slab **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_slab *s = NULL;
  GMF_TRY(GMF_NEW_ZERO(s, 1, err));
  *s = (gmf_slab){.n_users = 1, .capacity = capacity};
  GMF_TRY(GMF_NEW(s->ratings, capacity, err));
  if (has_weight) GMF_TRY(GMF_NEW(s->weights, capacity, err));
  gmf_memory_prefer_huge_pages(s->ratings);
  *out = s;
  s = NULL;
cleanup:
  leave_slab(&s);
  return status;
}

/* Room for `more` ratings behind the n of the block in work, which a new slab takes along. */
static gmf_status reserve_slab(gmf_import_thread *thread, int64_t n, int64_t more, bool has_weight)
{
  gmf_status status = GMF_OK;
  gmf_slab *old = thread->slab, *slab = NULL;
  if (old != NULL && old->n + n + more <= old->capacity) return GMF_OK;
  int64_t usual = old == NULL ? LEAST_SLAB : gmf_min64(2 * old->capacity, LARGEST_SLAB);
  GMF_TRY(new_slab(gmf_max64(usual, 2 * (n + more)), has_weight, &slab, &thread->error));
  if (n > 0) memcpy(slab->ratings, old->ratings + old->n, (size_t)n * sizeof *slab->ratings);
  if (n > 0 && has_weight) memcpy(slab->weights, old->weights + old->n, (size_t)n * sizeof *slab->weights);
  leave_slab(&thread->slab);
  thread->slab = slab;
cleanup:
  return status;
}

void gmf_import_share_free(gmf_import_share *share)
{
  for (int t = 0; share->threads != NULL && t < share->n_threads; t++) {
    gmf_import_thread *thread = &share->threads[t];
    for (int s = 0; s < GMF_N_SIDES; s++) gmf_id_set_free(&thread->sets[s]);
    leave_slab(&thread->slab);
    gmf_input_block_free(&thread->block);
  }
  for (int64_t p = 0; p < share->n_pieces; p++) gmf_piece_free(&share->pieces[p]);
  gmf_free(share->pieces);
  gmf_free(share->threads);
  gmf_free(share->files);
  gmf_free(share->layouts);
  *share = (gmf_import_share){0};
}

/* ---- what the files are ------------------------------------------------------------------------------------------ */

/* All files must mean the same: a missing value in one of them would be made up silently. */
static gmf_status check_same_columns(const gmf_import_share *share, gmf_error *err)
{
  for (int f = 1; f < share->n_files; f++)
    for (int role = GMF_ROLE_RATING; role < GMF_N_ROLES; role++) {
      bool first = share->layouts[0].column[role] >= 0, here = share->layouts[f].column[role] >= 0;
      if (first != here)
        return gmf_fail(err, GMF_ERR_DATA,
                        "%s has a %s column and %s has none; import them separately or choose "
                        "columns with --columns",
                        share->paths[first ? 0 : f], gmf_text_role_name((gmf_text_role)role),
                        share->paths[first ? f : 0]);
    }
  return GMF_OK;
}

static gmf_status probe_files(gmf_import_share *share, const gmf_import_options *options, gmf_error *err)
{
  gmf_status status = GMF_OK;
  char *head = NULL;
  gmf_text_format format = gmf_text_format_of(options->format);
  if (format == GMF_TEXT_UNKNOWN && strcmp(options->format, "auto") != 0 && options->format[0] != 0)
    GMF_TRY(
        gmf_fail(err, GMF_ERR_USAGE, "format '%s' is none of auto, csv, tsv, dat, mtx, adjacency", options->format));
  GMF_TRY(GMF_NEW(head, GMF_TEXT_HEAD_BYTES, err));
  for (int f = 0; f < share->n_files; f++) {
    int64_t n = 0;
    bool is_whole = false;
    GMF_TRY(gmf_input_probe(share->paths[f], &share->files[f], head, GMF_TEXT_HEAD_BYTES, &n, &is_whole, err));
    GMF_TRY(gmf_text_resolve(share->paths[f], head, n, is_whole, format, options->columns, &share->layouts[f], err));
  }
  GMF_TRY(check_same_columns(share, err));
  if (share->layouts[0].column[GMF_ROLE_WEIGHT] >= 0 && options->duplicates == GMF_DUPLICATES_SUM)
    GMF_TRY(gmf_fail(err, GMF_ERR_USAGE,
                     "--duplicates sum does not go with --columns weight=...: a sum of ratings has no weight; use "
                     "mean, which adds up the weights, or last, max or error"));
cleanup:
  gmf_free(head);
  return status;
}

gmf_status gmf_import_probe(const gmf_grid *grid, const char *const *paths, int n_files,
                            const gmf_import_options *options, gmf_import_share *share, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *share = (gmf_import_share){.n_files = n_files, .paths = paths};
  status = GMF_NEW_ZERO(share->files, n_files, err);
  if (status == GMF_OK) status = GMF_NEW_ZERO(share->layouts, n_files, err);
  if (status == GMF_OK && grid->rank == 0) status = probe_files(share, options, err);
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_broadcast(grid, share->files, (int64_t)sizeof *share->files * n_files);
  gmf_broadcast(grid, share->layouts, (int64_t)sizeof *share->layouts * n_files);
  share->has_time = share->layouts[0].column[GMF_ROLE_TIME] >= 0;
  share->has_weight = share->layouts[0].column[GMF_ROLE_WEIGHT] >= 0;
cleanup:
  return status;
}

/* ---- one block of lines ------------------------------------------------------------------------------------------ */

static bool is_before(const gmf_bad_place *a, const gmf_bad_place *b)
{
  if (a->file < 0 || b->file < 0) return a->file >= 0;
  return a->file < b->file || (a->file == b->file && a->offset < b->offset);
}

static void keep_first(gmf_bad_place *place, int file, int64_t block_offset, const gmf_text_bad *bad)
{
  if (bad->offset < 0) return;
  gmf_bad_place here = {.file = file, .offset = block_offset + bad->offset, .column = bad->column};
  memcpy(here.reason, bad->reason, sizeof here.reason);
  if (is_before(&here, place)) *place = here;
}

/* The lines of a block to ratings behind those in the thread's slab; *n_ratings of them. */
static gmf_status read_lines(gmf_import_thread *thread, gmf_text_reader *reader, bool has_weight, int64_t *n_ratings)
{
  gmf_status status = GMF_OK;
  gmf_text_rating batch[GMF_ID_BATCH];
  uint32_t users[GMF_ID_BATCH], items[GMF_ID_BATCH];
  int64_t n = 0, m;
  while ((m = gmf_text_next(reader, batch, GMF_ID_BATCH)) > 0) {
    GMF_TRY(reserve_slab(thread, n, m, has_weight));
    GMF_TRY(gmf_id_set_intern(&thread->sets[GMF_USERS], GMF_USERS, batch, m, users, &thread->error));
    GMF_TRY(gmf_id_set_intern(&thread->sets[GMF_ITEMS], GMF_ITEMS, batch, m, items, &thread->error));
    int64_t at = thread->slab->n + n;
    gmf_raw_rating *out = thread->slab->ratings + at;
    for (int64_t j = 0; j < m; j++) out[j] = (gmf_raw_rating){batch[j].time, items[j], users[j], batch[j].value};
    for (int64_t j = 0; has_weight && j < m; j++) thread->slab->weights[at + j] = batch[j].weight;
    n += m;
  }
  *n_ratings = n;
cleanup:
  return status;
}

/* Makes the n ratings that read_lines left a piece. */
static void keep_lines(gmf_import_thread *thread, int64_t n, gmf_piece *piece)
{
  gmf_slab *slab = thread->slab;
  piece->n = n;
  if (n == 0) return;
  piece->slab = slab;
  piece->ratings = slab->ratings + slab->n;
  piece->weights = slab->weights != NULL ? slab->weights + slab->n : NULL;
  slab->n_users++;
  slab->n += n;
}

/* Local, thread-safe. One block of `file` into *piece. True when there was a bad line that must not be. */
static bool read_block(gmf_import_share *share, const gmf_import_options *options, int t, int file,
                       const gmf_input_block *block, gmf_piece *piece)
{
  gmf_import_thread *thread = &share->threads[t];
  gmf_text_reader reader;
  int64_t n = 0;
  *piece = (gmf_piece){.file = file, .thread = t};
  gmf_text_open(&reader, &share->layouts[file], block->begin, block->end, options->skip_bad_lines);
  if (read_lines(thread, &reader, share->has_weight, &n) != GMF_OK) return true;
  keep_lines(thread, n, piece);
  thread->n_lines += reader.n_lines;
  thread->n_bad_lines += reader.n_bad_lines;
  keep_first(&thread->bad, file, block->offset, &reader.first_bad);
  for (int s = 0; s < GMF_N_SIDES; s++) keep_first(&thread->huge[s], file, block->offset, &reader.first_huge[s]);
  return reader.first_bad.offset >= 0 && !options->skip_bad_lines;
}

static gmf_status first_thread_error(const gmf_import_share *share, gmf_error *err)
{
  for (int t = 0; t < share->n_threads; t++)
    if (share->threads[t].error.status != GMF_OK)
      return gmf_fail(err, share->threads[t].error.status, "%s", share->threads[t].error.text);
  return GMF_OK;
}

/* ---- plain files ------------------------------------------------------------------------------------------------- */

/* The part of a file that this rank reads: all of a compressed one, bytes [begin, end) of a plain one. */
typedef struct span {
  int file, fd;
  int64_t begin, end;
  int64_t first_piece; /* of the group in work */
} span;

static int64_t n_pieces_of(const span *s)
{
  return (s->end - s->begin + GMF_IMPORT_PIECE_BYTES - 1) / GMF_IMPORT_PIECE_BYTES;
}

static const span *span_of_piece(const span *spans, int n, int64_t piece)
{
  int s = 0;
  while (s + 1 < n && piece >= spans[s + 1].first_piece) s++;
  return &spans[s];
}

static bool read_plain_piece(gmf_import_share *share, const gmf_import_options *options, const span *s, int64_t index,
                             gmf_piece *piece)
{
  int t = omp_get_thread_num();
  gmf_import_thread *thread = &share->threads[t];
  const gmf_text_layout *layout = &share->layouts[s->file];
  int64_t begin = s->begin + (index - s->first_piece) * GMF_IMPORT_PIECE_BYTES;
  int64_t end = gmf_min64(begin + GMF_IMPORT_PIECE_BYTES, s->end);
  gmf_beat();
  gmf_status status = gmf_input_read_range(s->fd, share->paths[s->file], share->files[s->file].n_bytes, begin, end,
                                           begin == layout->data_begin, gmf_text_max_line(layout->format),
                                           &thread->block, &thread->error);
  return status != GMF_OK || read_block(share, options, t, s->file, &thread->block, piece);
}

/* Plain spans, their pieces shared out to the threads. *stopped: at a bad line or an error. */
static gmf_status read_plain(gmf_import_share *share, const gmf_import_options *options, span *spans, int n,
                             bool *stopped, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n_pieces = 0, before = share->n_pieces;
  for (int s = 0; s < n; s++) {
    spans[s].first_piece = n_pieces;
    n_pieces += n_pieces_of(&spans[s]);
    GMF_TRY(gmf_input_open(share->paths[spans[s].file], &spans[s].fd, err));
  }
  GMF_TRY(GMF_RESERVE(share->pieces, share->piece_capacity, before + n_pieces, err));
  memset(share->pieces + before, 0, (size_t)n_pieces * sizeof *share->pieces);
  share->n_pieces += n_pieces;
  /* Pieces behind the first one with a bad line need not be read; those before it must be: theirs may be earlier. */
  _Atomic int64_t stop = INT64_MAX;
#pragma omp parallel for num_threads(share->n_threads) schedule(dynamic, 1)
  for (int64_t p = 0; p < n_pieces; p++) {
    if (p > atomic_load(&stop)) continue;
    if (!read_plain_piece(share, options, span_of_piece(spans, n, p), p, &share->pieces[before + p])) continue;
    int64_t seen = atomic_load(&stop);
    while (p < seen && !atomic_compare_exchange_weak(&stop, &seen, p)) {
    }
  }
  *stopped = atomic_load(&stop) != INT64_MAX;
  GMF_TRY(first_thread_error(share, err));

cleanup:
  for (int s = 0; s < n; s++)
    if (spans[s].fd >= 0) close(spans[s].fd);
  return status;
}

/* ---- compressed files -------------------------------------------------------------------------------------------- */

/* Drops the lines before the data: BOM, header, mtx preamble. They are known to be whole lines, or the BOM. */
static void skip_preamble(gmf_input_block *block, int64_t data_begin)
{
  int64_t skip = gmf_min64(gmf_max64(data_begin - block->offset, 0), block->end - block->begin);
  block->begin += skip;
  block->offset += skip;
}

/* One stream: decoded a block for each thread at a time, the blocks then read in parallel. */
static gmf_status read_compressed(gmf_import_share *share, const gmf_import_options *options, int file, bool *stopped,
                                  gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_stream *stream = NULL;
  gmf_input_block *blocks = NULL;
  const gmf_text_layout *layout = &share->layouts[file];
  int n = share->n_threads;
  bool ended = false;

  GMF_TRY(GMF_NEW_ZERO(blocks, n, err));
  GMF_TRY(gmf_stream_open(share->paths[file], share->files[file].compression, &stream, err));
  while (!ended && !*stopped) {
    int n_blocks = 0;
    while (n_blocks < n && !ended) {
      gmf_input_block *block = &blocks[n_blocks];
      gmf_beat();
      GMF_TRY(gmf_stream_next_block(stream, GMF_IMPORT_PIECE_BYTES, gmf_text_max_line(layout->format), block, err));
      ended = block->begin == block->end;
      skip_preamble(block, layout->data_begin);
      n_blocks += !ended;
    }
    GMF_TRY(GMF_RESERVE(share->pieces, share->piece_capacity, share->n_pieces + n_blocks, err));
    gmf_piece *pieces = share->pieces + share->n_pieces;
    int bad = 0;
#pragma omp parallel for num_threads(n) schedule(static, 1) reduction(+ : bad)
    for (int b = 0; b < n_blocks; b++)
      bad += read_block(share, options, omp_get_thread_num(), file, &blocks[b], &pieces[b]);
    share->n_pieces += n_blocks;
    *stopped = bad > 0;
    GMF_TRY(first_thread_error(share, err));
  }
cleanup:
  for (int b = 0; blocks != NULL && b < n; b++) gmf_input_block_free(&blocks[b]);
  gmf_free(blocks);
  gmf_stream_close(&stream);
  return status;
}

/* ---- the share of a rank ----------------------------------------------------------------------------------------- */

/*
 * The input, file after file, is cut into one interval a rank of about equal text. A compressed file goes whole to the
 * rank that has its middle. So the order of ranks is the order of the input.
 */
static int cut_input(const gmf_import_share *share, int size, int rank, span *out)
{
  int64_t total = 0, at = 0;
  int n = 0;
  for (int f = 0; f < share->n_files; f++)
    total += share->files[f].compression == GMF_PLAIN ? share->files[f].n_bytes - share->layouts[f].data_begin
                                                      : RATIO * share->files[f].n_bytes;
  int64_t low = gmf_slice_begin(total, size, rank), high = gmf_slice_begin(total, size, rank + 1);
  for (int f = 0; f < share->n_files; f++) {
    const gmf_input_file *file = &share->files[f];
    int64_t data = share->layouts[f].data_begin;
    span s = {.file = f, .fd = -1, .begin = data, .end = file->n_bytes};
    if (file->compression == GMF_PLAIN) {
      s.begin = data + gmf_max64(low - at, 0);
      s.end = data + gmf_min64(high - at, file->n_bytes - data);
      at += file->n_bytes - data;
    } else {
      int64_t middle = at + RATIO * file->n_bytes / 2;
      s.begin = 0;
      if (middle < low || middle >= high) s.end = 0;
      at += RATIO * file->n_bytes;
    }
    if (s.begin < s.end) out[n++] = s;
  }
  return n;
}

/* Local. */
static gmf_status read_share(gmf_import_share *share, const gmf_import_options *options, int size, int rank,
                             gmf_error *err)
{
  gmf_status status = GMF_OK;
  span *spans = NULL;
  bool stopped = false;
  share->n_threads = options->n_threads > 0 ? options->n_threads : omp_get_max_threads();
  GMF_TRY(GMF_NEW_ZERO(share->threads, share->n_threads, err));
  for (int t = 0; t < share->n_threads; t++)
    share->threads[t].bad.file = share->threads[t].huge[0].file = share->threads[t].huge[1].file = -1;
  GMF_TRY(GMF_NEW(spans, share->n_files, err));
  int n = cut_input(share, size, rank, spans);
  for (int s = 0; s < n; s++) share->n_bytes += spans[s].end - spans[s].begin;
  for (int s = 0, end = 0; s < n && !stopped; s = end) {
    bool plain = share->files[spans[s].file].compression == GMF_PLAIN;
    for (end = s + 1; plain && end < n && end - s < OPEN_FILES;) {
      if (share->files[spans[end].file].compression != GMF_PLAIN) break;
      end++;
    }
    GMF_TRY(plain ? read_plain(share, options, spans + s, end - s, &stopped, err)
                  : read_compressed(share, options, spans[s].file, &stopped, err));
  }
cleanup:
  gmf_free(spans);
  for (int t = 0; share->threads != NULL && t < share->n_threads; t++) {
    leave_slab(&share->threads[t].slab);
    gmf_input_block_free(&share->threads[t].block);
  }
  return status;
}

/* ---- bad lines --------------------------------------------------------------------------------------------------- */

/* Collective. The first of the ranks' places, on all ranks. */
static void agree_on_first(const gmf_grid *grid, gmf_bad_place *place)
{
  int64_t first[2] = {place->file < 0 ? INT64_MAX : place->file, INT64_MAX}, file = first[0];
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &first[0], 1, MPI_INT64_T, MPI_MIN, grid->all));
  if (file == first[0] && place->file >= 0) first[1] = place->offset;
  int64_t offset = first[1];
  GMF_COLLECTIVE(grid->all, MPI_Allreduce(MPI_IN_PLACE, &first[1], 1, MPI_INT64_T, MPI_MIN, grid->all));
  gmf_trace_collective(grid->trace, 2 * (int64_t)sizeof first);
  if (first[0] == INT64_MAX) return;
  bool mine = place->file >= 0 && file == first[0] && offset == first[1];
  int64_t owner = mine ? grid->rank : -1;
  gmf_max_i64(grid, &owner, 1); /* a line is read by one rank */
  GMF_COLLECTIVE(grid->all, MPI_Bcast(place, (int)sizeof *place, MPI_BYTE, gmf_int(owner), grid->all));
  gmf_trace_collective(grid->trace, (int64_t)sizeof *place);
}

/* Collective. "FILE:LINE:COLUMN: reason". Every rank counts newlines in its part of what stands before. */
static gmf_status describe(const gmf_grid *grid, const gmf_import_share *share, const gmf_bad_place *place, char *out,
                           size_t size, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = 0, begin = 0, end = grid->rank == 0 ? place->offset : 0;
  gmf_compression compression = share->files[place->file].compression;
  if (compression == GMF_PLAIN) {
    begin = gmf_slice_begin(place->offset, grid->size, grid->rank);
    end = gmf_slice_begin(place->offset, grid->size, grid->rank + 1);
  }
  if (begin < end) status = gmf_input_count_newlines(share->paths[place->file], compression, begin, end, &n, err);
  GMF_TRY(gmf_agree(grid, status, err));
  gmf_sum_i64(grid, &n, 1);
  snprintf(out, size, "%s:%" PRId64 ":%" PRId64 ": %s", share->paths[place->file], n + 1, place->column, place->reason);
cleanup:
  return status;
}

/* Drops the ratings with ids beyond 64 bits from a side whose other ids are integers. Returns how many. */
static int64_t drop_huge(gmf_import_share *share, gmf_side side)
{
  int64_t n_dropped = 0;
#pragma omp parallel for num_threads(share->n_threads) schedule(static) reduction(+ : n_dropped)
  for (int t = 0; t < share->n_threads; t++) {
    gmf_id_set *sets = share->threads[t].sets;
    for (int64_t p = 0; p < share->n_pieces; p++) {
      gmf_piece *piece = &share->pieces[p];
      int64_t n = 0;
      if (piece->thread != t) continue;
      for (int64_t j = 0; j < piece->n; j++) {
        gmf_raw_rating rating = piece->ratings[j];
        int64_t index = side == GMF_USERS ? rating.user : rating.item;
        if (sets[side].keys[index].kind == GMF_ID_HUGE) {
          sets[GMF_USERS].counts[rating.user]--;
          sets[GMF_ITEMS].counts[rating.item]--;
        } else {
          if (piece->weights != NULL) piece->weights[n] = piece->weights[j];
          piece->ratings[n++] = rating;
        }
      }
      n_dropped += piece->n - n;
      piece->n = n;
    }
  }
  return n_dropped;
}

/*
 * Collective. Decides whether ids are integers or texts. An id of digits beyond 64 bits is a good text, but a bad line
 * on a side of integers. *bad gets the first such line.
 */
static void settle_kinds(const gmf_grid *grid, const gmf_import_options *options, gmf_import_share *share,
                         gmf_bad_place *bad, gmf_import_report *report)
{
  int64_t n_text[GMF_N_SIDES] = {0}, n_huge[GMF_N_SIDES] = {0};
  for (int t = 0; t < share->n_threads; t++)
    for (int s = 0; s < GMF_N_SIDES; s++) {
      n_text[s] += share->threads[t].sets[s].n_text;
      n_huge[s] += share->threads[t].sets[s].n_huge;
    }
  gmf_sum_i64(grid, n_text, GMF_N_SIDES);
  gmf_sum_i64(grid, n_huge, GMF_N_SIDES);
  for (int s = 0; s < GMF_N_SIDES; s++) {
    share->as_text[s] = n_text[s] > 0;
    if (share->as_text[s] || n_huge[s] == 0) continue;
    for (int t = 0; t < share->n_threads; t++)
      if (is_before(&share->threads[t].huge[s], bad)) *bad = share->threads[t].huge[s];
    /* Counted by rating: an adjacency line loses the items that cannot be stored. */
    if (options->skip_bad_lines) report->n_bad_lines += drop_huge(share, (gmf_side)s);
  }
  agree_on_first(grid, bad);
}

/* Collective. MatrixMarket files say how many entries they have. */
static gmf_status check_entries(const gmf_grid *grid, const gmf_import_share *share, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t *n = NULL;
  GMF_TRY(gmf_agree(grid, GMF_NEW_ZERO(n, share->n_files, err), err));
  for (int64_t p = 0; p < share->n_pieces; p++) n[share->pieces[p].file] += share->pieces[p].n;
  gmf_sum_i64(grid, n, share->n_files);
  for (int f = 0; f < share->n_files; f++)
    if (share->layouts[f].mtx_entries >= 0 && n[f] != share->layouts[f].mtx_entries)
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s: its size line says %" PRId64 " entries, but %" PRId64 " follow",
                       share->paths[f], share->layouts[f].mtx_entries, n[f]));
cleanup:
  gmf_free(n);
  return status;
}

gmf_status gmf_import_read(const gmf_grid *grid, const gmf_import_options *options, gmf_import_share *share,
                           gmf_import_report *report, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_bad_place bad = {.file = -1};

  GMF_TRY(gmf_agree(grid, read_share(share, options, grid->size, grid->rank, err), err));
  gmf_trace_work(grid->trace, GMF_PHASE_READ, share->n_bytes);
  for (int t = 0; t < share->n_threads; t++) {
    report->n_lines += share->threads[t].n_lines;
    report->n_bad_lines += share->threads[t].n_bad_lines;
    if (is_before(&share->threads[t].bad, &bad)) bad = share->threads[t].bad;
  }
  agree_on_first(grid, &bad);
  if (bad.file < 0 || options->skip_bad_lines) settle_kinds(grid, options, share, &bad, report);
  for (int64_t p = 0; p < share->n_pieces; p++) report->n_records += share->pieces[p].n;
  int64_t counts[] = {report->n_lines, report->n_bad_lines, report->n_records};
  gmf_sum_i64(grid, counts, 3);
  report->n_lines = counts[0];
  report->n_bad_lines = counts[1];
  report->n_records = counts[2];
  if (bad.file >= 0) {
    GMF_TRY(describe(grid, share, &bad, report->first_bad_line, sizeof report->first_bad_line, err));
    if (!options->skip_bad_lines)
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "%s (--on-bad-line skip leaves bad lines out)", report->first_bad_line));
  }
  if (!options->skip_bad_lines) GMF_TRY(check_entries(grid, share, err));
  if (report->n_records == 0) GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "there are no ratings in the input"));
cleanup:
  return status;
}
