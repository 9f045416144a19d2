/* Status codes and error text of gridmf: public, free of MPI and HDF5. */
#ifndef GRIDMF_STATUS_H
#define GRIDMF_STATUS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call came to. The value is also the exit code of the programs (sysexits.h where one fits). */
typedef enum gmf_status {
  GMF_OK = 0,
  GMF_ERR_INTERNAL = 2,  /* a bug of ours, or something no other code names */
  GMF_ERR_NUMERIC = 3,   /* a factorisation failed, a value is not finite */
  GMF_ERR_USAGE = 64,    /* the command line is wrong */
  GMF_ERR_DATA = 65,     /* bad data, or a damaged or foreign file */
  GMF_ERR_NO_INPUT = 66, /* an input file is missing or cannot be read */
  GMF_ERR_PLAN = 69,     /* the run does not fit into the memory it may use */
  GMF_ERR_STALL = 70,    /* a rank or a collective stopped making progress */
  GMF_ERR_MEMORY = 71,   /* an allocation failed */
  GMF_ERR_CREATE = 73,   /* an output file cannot be created */
  GMF_ERR_IO = 74,       /* reading or writing failed: disk full, device error */
  GMF_STOPPED = 75,      /* stopped early, checkpoint valid: submit again */
  GMF_ERR_CONFIG = 78    /* a configuration file is wrong */
} gmf_status;

/*
 * Why a call failed. The caller owns it, sets it to {0} before the first call and may pass NULL where the text is of
 * no use. The first cause wins: later failures leave the text alone.
 */
typedef struct gmf_error {
  gmf_status status;
  bool must_abort; /* parallel I/O broke half-way: closing or finalising could hang, leave by MPI_Abort */
  int rank_plus_1; /* 1 + the rank that failed; 0 while nobody said */
  char text[1000]; /* one sentence: what, where, what to do */
} gmf_error;

#ifdef __cplusplus
}
#endif

#endif
