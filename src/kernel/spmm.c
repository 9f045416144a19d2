#include "kernel/spmm.h"

#include "kernel/isa.h"

gmf_spmm_row_fn *gmf_spmm_row(void) { return GMF_ISA_PICK(gmf_kernel_level(), gmf_spmm_row); }
