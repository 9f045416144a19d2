/* The tiles of Intel's matrix unit, as the sources named *_amx.c use them. Local. */
#ifndef GMF_KERNEL_AMX_TILES_H
#define GMF_KERNEL_AMX_TILES_H

#include <immintrin.h>
#include <stdint.h>

enum { GMF_AMX_TILES = 8, GMF_AMX_ROWS = 16, GMF_AMX_ROW_BYTES = 64 };

/* All eight tiles get 16 rows of 64 bytes. _tile_release() ends their use. */
static inline void gmf_amx_configure(void)
{
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {.palette = 1};
  for (int t = 0; t < GMF_AMX_TILES; t++) {
    config.row_bytes[t] = GMF_AMX_ROW_BYTES;
    config.rows[t] = GMF_AMX_ROWS;
  }
  _tile_loadconfig(&config);
}

#endif
