#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

gmf_status gmf_fail(gmf_error *err, gmf_status status, const char *format, ...)
{
  if (err != NULL && err->status == GMF_OK) {
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->status = status;
  }
  return status;
}

void gmf_error_clear(gmf_error *err)
{
  if (err != NULL) memset(err, 0, sizeof *err);
}

_Noreturn void gmf_bug(const char *file, int line, const char *condition)
{
  fprintf(stderr, "gridmf: internal error at %s:%d: (%s) does not hold; please report it\n", file, line, condition);
  _Exit(GMF_ERR_INTERNAL);
}
