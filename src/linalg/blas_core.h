/*
 * Which of its kernels OpenBLAS takes. It looks for the CPU's model in a table when it is loaded, and takes kernels for
 * SSE3 ("Prescott") where the model is newer than the table: 0.3.21 of Debian 12 runs sgemm at a fifth of the rate on
 * an Emerald Rapids. Only OPENBLAS_CORETYPE, read before that, says otherwise.
 */
#ifndef GMF_LINALG_BLAS_CORE_H
#define GMF_LINALG_BLAS_CORE_H

/* Local. The kernels in use, in OpenBLAS's words; "unknown" of another BLAS. */
const char *gmf_blas_core(void);

/* Local. What OPENBLAS_CORETYPE should be for this CPU; NULL: the kernels in use are well chosen, or the user's choice.
 */
const char *gmf_blas_better_core(void);

/* Local, before MPI starts. Starts this program anew with gmf_blas_better_core in its environment, where there is one.
 */
void gmf_blas_choose(char **argv);

#endif
