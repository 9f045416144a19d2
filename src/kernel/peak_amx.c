/* For CPUs with AMX; see peak.h. */
#include "kernel/amx_tiles.h"
#include "kernel/peak_versions.h"

double gmf_peak_tiles_amx(int64_t n, double *sink)
{
  enum { SUMS = 4, VALUES = GMF_AMX_ROWS * GMF_AMX_ROW_BYTES / 2 }; /* bf16 in a tile */
  static const uint16_t ONE = 0x3f80;                               /* 1.0 in bf16 */
  uint16_t factors[VALUES];
  float sums[GMF_AMX_ROWS][GMF_AMX_ROW_BYTES / 4];
  for (int j = 0; j < VALUES; j++) factors[j] = ONE;
  gmf_amx_configure();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t i = 0; i < n; i++) { /* two tiles of each factor, as in a product: a load for each multiplication */
    _tile_loadd(4, factors, GMF_AMX_ROW_BYTES);
    _tile_loadd(5, factors, GMF_AMX_ROW_BYTES);
    _tile_loadd(6, factors, GMF_AMX_ROW_BYTES);
    _tile_loadd(7, factors, GMF_AMX_ROW_BYTES);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  *sink = 0;
  _tile_stored(0, sums, GMF_AMX_ROW_BYTES);
  *sink += (double)sums[0][0];
  _tile_stored(1, sums, GMF_AMX_ROW_BYTES);
  *sink += (double)sums[0][0];
  _tile_stored(2, sums, GMF_AMX_ROW_BYTES);
  *sink += (double)sums[0][0];
  _tile_stored(3, sums, GMF_AMX_ROW_BYTES);
  *sink += (double)sums[GMF_AMX_ROWS - 1][GMF_AMX_ROW_BYTES / 4 - 1];
  _tile_release();
  return 2.0 * SUMS * GMF_AMX_ROWS * (GMF_AMX_ROW_BYTES / 4) * (GMF_AMX_ROW_BYTES / 2) * (double)n;
}
