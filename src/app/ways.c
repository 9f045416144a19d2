#include "app/ways.h"

#include <stdio.h>

#include "runtime/hops.h"

bool gmf_hops_considered(const gmf_config *c, int n_ranks, int node_ranks)
{
  bool is_als = c->algorithm == GMF_ALGORITHM_ALS || c->algorithm == GMF_ALGORITHM_IALS;
  if (!is_als || node_ranks > 1 || c->expand_memory > 0) return false;
  return c->hops == GMF_HOPS_2 || (c->hops == GMF_HOPS_AUTO && n_ranks >= GMF_HOPS_LEAST);
}

void gmf_hops_reason(const gmf_hops_choice *c, int n_ranks, char *out, size_t size)
{
  const gmf_hops_cost *straight = &c->most[GMF_STRAIGHT], *hops = &c->most[GMF_TWO_HOPS];
  int n_cols = gmf_hops_cols(n_ranks);
  snprintf(out, size,
           "%s: in two hops on %dx%d a rank sends at most %.0f messages and receives %.3f MB, %.3f ms on a network of "
           "100 Gb/s; straight %.0f, %.3f MB, %.3f ms",
           c->taken ? "two hops" : "straight", n_ranks / n_cols, n_cols, hops->messages, hops->bytes / 1e6,
           1e3 * hops->seconds, straight->messages, straight->bytes / 1e6, 1e3 * straight->seconds);
}

void gmf_hops_log(const gmf_log *log, int n_ranks, const gmf_hops_choice choices[GMF_N_SIDES])
{
  for (int s = 0; s < GMF_N_SIDES; s++) {
    char why[300];
    if (!choices[s].considered) continue;
    gmf_hops_reason(&choices[s], n_ranks, why, sizeof why);
    gmf_log_line(log, "%-5s half-sweep: %s", gmf_side_noun((gmf_side)s), why);
  }
}
