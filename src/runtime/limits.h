/*
 * What one call may carry. MPI counts in int, HDF5's parallel driver and Linux's write(2) stop at 2 GiB: whatever is
 * longer goes in several calls, the same number of them on all ranks that take part. Tests link limits.c again with
 * lower figures (GMF_LIMIT_CALL_BYTES, GMF_LIMIT_ROWS, GMF_LIMIT_TABLE_ROWS), so that small data crosses them.
 */
#ifndef GMF_RUNTIME_LIMITS_H
#define GMF_RUNTIME_LIMITS_H

#include <stdint.h>

/* The most bytes that one call of MPI moves to or from one rank, and that one H5Dwrite takes. */
extern const int64_t gmf_limit_call_bytes;

/* The most rows of one side that a rank may hold, own or expanded: their local numbers are int32_t. */
extern const int64_t gmf_limit_rows;

/*
 * The most rows of a side that has a table of where they are (dist/axis.h). It is the same on every rank, however many
 * they are: at this length 32 MiB and, before there are ratings, 208 MiB to make it in half a second. Without one 1,000
 * ranks would have to wait for one that has a tenth more work than the mean.
 */
extern const int64_t gmf_limit_table_rows;

/* How many of n values of value_bytes each the next call may take: at least one. Local. */
int64_t gmf_limit_piece(int64_t n, int64_t value_bytes);

#endif
