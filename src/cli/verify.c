/* `gridmf verify FILE...`: all checksums of a file, its blocks divided among the ranks. */
#include "io/verify.h"

#include "cli/verbs.h"

gmf_status gmf_verb_verify(gmf_run *run, gmf_error *err)
{
  gmf_status status = GMF_OK;
  if (run->arguments.n == 0) GMF_TRY(gmf_need_arguments(run, 1, "a file", err));
  for (int i = 0; i < run->arguments.n; i++) {
    int64_t n_blocks = 0, n_bytes = 0;
    GMF_TRY(gmf_verify(run->grid, run->arguments.values[i], &n_blocks, &n_bytes, err));
    if (run->grid->rank == 0)
      printf("%s: good: %s blocks, %s bytes\n", run->arguments.values[i], gmf_thousands(n_blocks),
             gmf_thousands(n_bytes));
  }
cleanup:
  return status;
}
