/*
 * Preloaded into a run, counts its calls of MPI by MPI's own profiling interface: every function that moves something
 * between ranks is defined here and calls its PMPI_ name. At MPI_Finalize each rank writes COUNTMPI.RANK, where
 * COUNTMPI is a path of the environment: a line "MPI_Name calls bytes" for every function that was called. Bytes are
 * those of the vector that the rank hands over: of messages what is sent (MPI_Irecv: what is waited for), of
 * MPI_Reduce_scatter all parts, of MPI_Allgather, MPI_Allgatherv, MPI_Alltoall and MPI_Alltoallv what the rank gets.
 * With COUNTMPI_NODE_RANKS=N in the environment N ranks each count as those of a node.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct counter {
  const char *name;
  long long calls, bytes;
} counter;

static counter counters[64];

static void count(const char *name, long long n, MPI_Datatype type)
{
  int size = 0, i = 0;
  PMPI_Type_size(type, &size);
  while (i < 63 && counters[i].name != NULL && strcmp(counters[i].name, name) != 0) i++;
  counters[i].name = name;
  counters[i].calls++;
  counters[i].bytes += n * size;
}

static long long sum(const int *counts, MPI_Comm comm)
{
  int n = 0;
  long long total = 0;
  PMPI_Comm_size(comm, &n);
  for (int r = 0; r < n; r++) total += counts[r];
  return total;
}

static long long times_ranks(int n, MPI_Comm comm)
{
  int ranks = 0;
  PMPI_Comm_size(comm, &ranks);
  return (long long)n * ranks;
}

/* The function `name`, which is counted as n things of a type and then called. */
#define COUNTED(name, n, type, parameters, arguments) \
  int MPI_##name parameters                           \
  {                                                   \
    count("MPI_" #name, n, type);                     \
    return PMPI_##name arguments;                     \
  }

COUNTED(Send, n, type, (const void *b, int n, MPI_Datatype type, int to, int tag, MPI_Comm c), (b, n, type, to, tag, c))
COUNTED(Isend, n, type, (const void *b, int n, MPI_Datatype type, int to, int tag, MPI_Comm c, MPI_Request *r),
        (b, n, type, to, tag, c, r))
COUNTED(Recv, n, type, (void *b, int n, MPI_Datatype type, int from, int tag, MPI_Comm c, MPI_Status *s),
        (b, n, type, from, tag, c, s))
COUNTED(Irecv, n, type, (void *b, int n, MPI_Datatype type, int from, int tag, MPI_Comm c, MPI_Request *r),
        (b, n, type, from, tag, c, r))
COUNTED(Sendrecv, n, type,
        (const void *b, int n, MPI_Datatype type, int to, int tag, void *in, int n_in, MPI_Datatype type_in, int from,
         int tag_in, MPI_Comm c, MPI_Status *s),
        (b, n, type, to, tag, in, n_in, type_in, from, tag_in, c, s))
COUNTED(Allreduce, n, type, (const void *b, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c),
        (b, out, n, type, op, c))
COUNTED(Iallreduce, n, type,
        (const void *b, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c, MPI_Request *r),
        (b, out, n, type, op, c, r))
COUNTED(Reduce, n, type, (const void *b, void *out, int n, MPI_Datatype type, MPI_Op op, int root, MPI_Comm c),
        (b, out, n, type, op, root, c))
COUNTED(Bcast, n, type, (void *b, int n, MPI_Datatype type, int root, MPI_Comm c), (b, n, type, root, c))
COUNTED(Exscan, n, type, (const void *b, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c),
        (b, out, n, type, op, c))
COUNTED(Reduce_scatter, sum(n, c), type,
        (const void *b, void *out, const int n[], MPI_Datatype type, MPI_Op op, MPI_Comm c), (b, out, n, type, op, c))
COUNTED(Ireduce_scatter, sum(n, c), type,
        (const void *b, void *out, const int n[], MPI_Datatype type, MPI_Op op, MPI_Comm c, MPI_Request *r),
        (b, out, n, type, op, c, r))
COUNTED(Reduce_scatter_block, times_ranks(n, c), type,
        (const void *b, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c), (b, out, n, type, op, c))
COUNTED(Gather, n, type,
        (const void *b, int n, MPI_Datatype type, void *out, int n_out, MPI_Datatype type_out, int root, MPI_Comm c),
        (b, n, type, out, n_out, type_out, root, c))
COUNTED(Allgather, times_ranks(n_out, c), type_out,
        (const void *b, int n, MPI_Datatype type, void *out, int n_out, MPI_Datatype type_out, MPI_Comm c),
        (b, n, type, out, n_out, type_out, c))
COUNTED(Allgatherv, sum(n_out, c), type_out,
        (const void *b, int n, MPI_Datatype type, void *out, const int n_out[], const int at[], MPI_Datatype type_out,
         MPI_Comm c),
        (b, n, type, out, n_out, at, type_out, c))
COUNTED(Iallgatherv, sum(n_out, c), type_out,
        (const void *b, int n, MPI_Datatype type, void *out, const int n_out[], const int at[], MPI_Datatype type_out,
         MPI_Comm c, MPI_Request *r),
        (b, n, type, out, n_out, at, type_out, c, r))
COUNTED(Alltoall, times_ranks(n_out, c), type_out,
        (const void *b, int n, MPI_Datatype type, void *out, int n_out, MPI_Datatype type_out, MPI_Comm c),
        (b, n, type, out, n_out, type_out, c))
COUNTED(Alltoallv, sum(n_out, c), type_out,
        (const void *b, const int n[], const int at[], MPI_Datatype type, void *out, const int n_out[],
         const int at_out[], MPI_Datatype type_out, MPI_Comm c),
        (b, n, at, type, out, n_out, at_out, type_out, c))
COUNTED(Ialltoallv, sum(n_out, c), type_out,
        (const void *b, const int n[], const int at[], MPI_Datatype type, void *out, const int n_out[],
         const int at_out[], MPI_Datatype type_out, MPI_Comm c, MPI_Request *r),
        (b, n, at, type, out, n_out, at_out, type_out, c, r))
COUNTED(Put, n, type,
        (const void *b, int n, MPI_Datatype type, int to, MPI_Aint at, int n_to, MPI_Datatype type_to, MPI_Win w),
        (b, n, type, to, at, n_to, type_to, w))
COUNTED(Get, n, type,
        (void *b, int n, MPI_Datatype type, int from, MPI_Aint at, int n_from, MPI_Datatype type_from, MPI_Win w),
        (b, n, type, from, at, n_from, type_from, w))
COUNTED(Barrier, 0, MPI_BYTE, (MPI_Comm c), (c))

int MPI_Comm_split_type(MPI_Comm c, int type, int key, MPI_Info info, MPI_Comm *out)
{
  const char *node_ranks = getenv("COUNTMPI_NODE_RANKS");
  int rank = 0;
  if (node_ranks == NULL) return PMPI_Comm_split_type(c, type, key, info, out);
  PMPI_Comm_rank(c, &rank);
  return PMPI_Comm_split(c, rank / atoi(node_ranks), key, out);
}

int MPI_Finalize(void)
{
  char path[4200];
  const char *base = getenv("COUNTMPI");
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  snprintf(path, sizeof path, "%s.%d", base != NULL ? base : "countmpi", rank);
  FILE *file = fopen(path, "we");
  for (int i = 0; file != NULL && counters[i].name != NULL; i++)
    fprintf(file, "%s %lld %lld\n", counters[i].name, counters[i].calls, counters[i].bytes);
  if (file != NULL) fclose(file);
  return PMPI_Finalize();
}
