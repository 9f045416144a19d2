#include "runtime/limits.h"

#include "base/narrow.h"

#ifndef GMF_LIMIT_CALL_BYTES
#define GMF_LIMIT_CALL_BYTES (1 << 30)
#endif
#ifndef GMF_LIMIT_ROWS
#define GMF_LIMIT_ROWS INT32_MAX
#endif
#ifndef GMF_LIMIT_TABLE_ROWS
#define GMF_LIMIT_TABLE_ROWS (1 << 22)
#endif

const int64_t gmf_limit_call_bytes = GMF_LIMIT_CALL_BYTES;
const int64_t gmf_limit_rows = GMF_LIMIT_ROWS;
const int64_t gmf_limit_table_rows = GMF_LIMIT_TABLE_ROWS;

int64_t gmf_limit_piece(int64_t n, int64_t value_bytes)
{
  return gmf_min64(n, gmf_max64(1, gmf_limit_call_bytes / value_bytes));
}
