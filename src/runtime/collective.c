#define GMF_IN_RUNTIME
#include "runtime/collective.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gridmf/status.h"

#ifdef GMF_CHECK_COLLECTIVES

enum { SITE_BYTES = 120 };

typedef struct site {
  char text[SITE_BYTES]; /* "als.c:190 gmf_agree" */
  int rank;              /* in the job */
} site;

static site here;

void gmf_collective_site(const char *file, int line, const char *what)
{
  const char *slash = strrchr(file, '/');
  memset(&here, 0, sizeof here);
  snprintf(here.text, sizeof here.text, "%s:%d %.80s", slash != NULL ? slash + 1 : file, line, what);
}

/* Each place once, with its ranks. */
static void print_sites(const site *sites, int n)
{
  fprintf(stderr, "gridmf: internal error: ranks take different collective calls:");
  for (int i = 0; i < n; i++) {
    int first = 0;
    while (strcmp(sites[first].text, sites[i].text) != 0) first++;
    if (first < i) continue;
    fprintf(stderr, "%s %s on rank", i > 0 ? ";" : "", sites[i].text);
    for (int j = i; j < n; j++)
      if (strcmp(sites[j].text, sites[i].text) == 0) fprintf(stderr, " %d", sites[j].rank);
  }
  fprintf(stderr, "; please report it\n");
}

void gmf_collective_compare(MPI_Comm comm)
{
  int rank = 0, n = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &n);
  /* One reduction, as these builds make it before every call: the largest of x and of its complement. */
  uint64_t code = 14695981039346656037u; /* FNV-1a */
  for (const char *c = here.text; *c != '\0'; c++) code = (code ^ (uint64_t)(unsigned char)*c) * 1099511628211u;
  uint64_t largest[2] = {code, ~code};
  MPI_Allreduce(MPI_IN_PLACE, largest, 2, MPI_UINT64_T, MPI_MAX, comm);
  if (largest[0] == ~largest[1]) return;
  here.rank = atomic_load(&gmf_heart->rank);
  site *sites = rank == 0 ? calloc((size_t)n, sizeof *sites) : NULL;
  MPI_Gather(&here, (int)sizeof here, MPI_BYTE, sites, (int)sizeof here, MPI_BYTE, 0, comm);
  if (sites != NULL) print_sites(sites, n);
  free(sites);
  MPI_Barrier(comm); /* the launcher ends the others as soon as one has left */
  _exit(GMF_ERR_STALL);
}

#endif
