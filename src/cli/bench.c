/* `gridmf bench`: prints what app/bench.c measures. */
#include "app/bench.h"

#include "cli/verbs.h"

static const double GIGA = 1e9, MICRO = 1e-6;

static json_t *json_of_kernels(const gmf_bench_report *r)
{
  json_t *array = json_array();
  for (int i = 0; i < GMF_BENCH_SIZES; i++) {
    const gmf_kernel_rates *k = &r->kernel[i];
    json_array_append_new(array, json_pack("{s:i, s:f, s:f, s:f, s:f}", "factors", k->k, "gram_gflops", k->gram / GIGA,
                                           "cholesky_gflops", k->cholesky / GIGA, "cg_gflops", k->product / GIGA,
                                           "cg_from_memory_gbs", k->gathering / GIGA));
  }
  return array;
}

static void print_json(const gmf_bench_report *r)
{
  const gmf_machine *m = &r->machine;
  json_t *object =
      json_pack("{s:i, s:i, s:s, s:f, s:f, s:f, s:o}", "ranks", r->n_ranks, "threads", m->n_threads, "kernels",
                r->kernels, "multiply_add_f4_gflops", m->multiply_add_f4 / GIGA, "multiply_add_f8_gflops",
                m->multiply_add_f8 / GIGA, "triad_gbs", m->triad / GIGA, "kernel", json_of_kernels(r));
  if (r->n_ranks > 1)
    json_object_set_new(object, "network",
                        json_pack("{s:f, s:f, s:f, s:f}", "message_us", m->network.latency / MICRO, "pair_gbs",
                                  m->network.pair_bandwidth / GIGA, "exchange_us", m->network.exchange_latency / MICRO,
                                  "exchange_gbs", m->network.exchange_bandwidth / GIGA));
  if (m->tiles_bf16 > 0) json_object_set_new(object, "tiles_bf16_gflops", json_real(m->tiles_bf16 / GIGA));
  json_dumpf(object, stdout, JSON_REAL_PRECISION(6));
  putchar('\n');
  json_decref(object);
}

/* A line: of all ranks together, of each rank, of each thread. */
static void print_rate(const gmf_bench_report *r, const char *name, const char *unit, double of_rank)
{
  printf("%-26s %-8s %10.1f %10.1f %10.1f\n", name, unit, of_rank * r->n_ranks, of_rank,
         of_rank / r->machine.n_threads);
}

static void print_network(const gmf_network *n)
{
  printf("\nnetwork, all ranks at once\n");
  printf("%-26s %-8s %21.1f\n", "message of 8 bytes", "us", n->latency / MICRO);
  printf("%-26s %-8s %21.2f\n", "messages of 1 MB", "GB/s", n->pair_bandwidth / GIGA);
  printf("%-26s %-8s %21.1f\n", "exchange of a row", "us", n->exchange_latency / MICRO);
  printf("%-26s %-8s %21.2f\n", "exchange of 16 MB", "GB/s", n->exchange_bandwidth / GIGA);
}

static void print_share(double rate, double peak) { printf(" %9.1f %4.0f%%", rate / GIGA, 100 * rate / peak); }

static void print_table(const gmf_bench_report *r)
{
  const gmf_machine *m = &r->machine;
  printf("%d ranks x %d threads, %s kernels\n\n", r->n_ranks, m->n_threads, r->kernels);
  printf("%-26s %-8s %10s %10s %10s\n", "peak", "", "all ranks", "a rank", "a thread");
  print_rate(r, "multiply-add, f4", "GFLOP/s", m->multiply_add_f4 / GIGA);
  print_rate(r, "multiply-add, f8", "GFLOP/s", m->multiply_add_f8 / GIGA);
  if (m->tiles_bf16 > 0) print_rate(r, "tiles of bf16 (AMX)", "GFLOP/s", m->tiles_bf16 / GIGA);
  print_rate(r, "memory, triad", "GB/s", m->triad / GIGA);
  if (r->n_ranks > 1) print_network(&m->network);
  printf(
      "\nkernels of a rank, rows of 200 ratings: GFLOP/s and share of multiply-add, f4; the last, GB/s and share of triad\n");
  printf("%7s %15s %15s %15s %15s\n", "factors", "gram", "cholesky", "cg step", "from memory");
  for (int i = 0; i < GMF_BENCH_SIZES; i++) {
    const gmf_kernel_rates *k = &r->kernel[i];
    printf("%7d", k->k);
    print_share(k->gram, m->multiply_add_f4);
    print_share(k->cholesky, m->multiply_add_f4);
    print_share(k->product, m->multiply_add_f4);
    print_share(k->gathering, m->triad);
    putchar('\n');
  }
}

gmf_status gmf_verb_bench(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_bench_report report;
  GMF_TRY(gmf_need_arguments(run, 0, "no file", err));
  GMF_TRY(gmf_bench(run->grid, &run->config, &report, err));
  if (run->grid->rank != 0) goto cleanup;
  if (run->config.json)
    print_json(&report);
  else
    print_table(&report);
cleanup:
  return status;
}
