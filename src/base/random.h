/*
 * Random numbers as pure functions of (seed, stream, row, column): the same on any number of ranks and threads.
 *
 * Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, in the
 * implementation of Random123. The key is the seed, the counter is (column, stream, row). All Local.
 */
#ifndef GMF_BASE_RANDOM_H
#define GMF_BASE_RANDOM_H

#include <stdint.h>

/* Each use of random numbers has a stream of its own; the numbers are part of the file formats' reproducibility. */
typedef enum gmf_stream {
  GMF_STREAM_USERS_INIT = 1,
  GMF_STREAM_ITEMS_INIT = 2,
  GMF_STREAM_PLACEMENT = 3,
  GMF_STREAM_SPLIT = 4,
  GMF_STREAM_SYNTH_DEGREE = 5,
  GMF_STREAM_SYNTH_ITEM = 6,
  GMF_STREAM_SYNTH_USER_TASTE = 7,
  GMF_STREAM_SYNTH_ITEM_TASTE = 8,
  GMF_STREAM_SYNTH_NOISE = 9,
  GMF_STREAM_SPLIT_USERS = 10,
  GMF_STREAM_SVD = 11
} gmf_stream;

/* Four words of 32 random bits for each column. */
void gmf_random_words(uint64_t seed, gmf_stream stream, uint64_t row, uint32_t column, uint32_t out[4]);

/* Uniform in [0, 1), 53 bits. */
double gmf_random_uniform(uint64_t seed, gmf_stream stream, uint64_t row, uint32_t column);

/* Standard normal (Box-Muller). */
double gmf_random_normal(uint64_t seed, gmf_stream stream, uint64_t row, uint32_t column);

/* A keyed permutation of [0, n) that needs no table: a Feistel network, walked until it falls inside. */
typedef struct gmf_permutation {
  uint64_t n;
  uint64_t key;
  int half_bits; /* the network permutes [0, 4^half_bits) */
} gmf_permutation;

gmf_permutation gmf_permutation_make(uint64_t n, uint64_t seed, gmf_stream stream);
uint64_t gmf_permute(const gmf_permutation *p, uint64_t index);
uint64_t gmf_unpermute(const gmf_permutation *p, uint64_t image);

#endif
