/* How functions fail: a status is returned, the text is kept in a gmf_error of the caller. All Local. */
#ifndef GMF_BASE_ERROR_H
#define GMF_BASE_ERROR_H

#include "gridmf/status.h"

/* Leaves for `cleanup:` with `status` set when expr is not GMF_OK. The function has both names. */
#define GMF_TRY(expr)        \
  do {                       \
    gmf_status st_ = (expr); \
    if (st_ != GMF_OK) {     \
      status = st_;          \
      goto cleanup;          \
    }                        \
  } while (0)

/* Records status and text in err (may be NULL) unless an earlier cause is there; returns status. */
gmf_status gmf_fail(gmf_error *err, gmf_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Forgets what err holds. */
void gmf_error_clear(gmf_error *err);

/* A broken invariant is our bug: says where and ends the process with GMF_ERR_INTERNAL (MPI then ends the job). */
#define GMF_CHECK(condition) ((condition) ? (void)0 : gmf_bug(__FILE__, __LINE__, #condition))
_Noreturn void gmf_bug(const char *file, int line, const char *condition);

#endif
