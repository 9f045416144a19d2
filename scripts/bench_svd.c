/*
 * SLEPc on the matrix of a file: the k largest singular triplets by one of its solvers, for scripts/bench svd.
 *
 * usage: bench_svd FILE K SOLVER TOLERANCE [PETSc options]
 * FILE: int64 m, n, nnz; int64 indptr [m + 1]; int32 indices [nnz]; double data [nnz]. Prints one JSON object:
 * seconds of SVDSolve, the largest residual sqrt(|A v - s u|^2 + |A'u - s v|^2) over s_1, iterations, products.
 */
#include <slepcsvd.h>
#include <stdio.h>

/* Products with the matrix and its transpose. */
static PetscInt n_products;
static Mat ratings;

static PetscErrorCode multiply(Mat shell, Vec x, Vec y)
{
  (void)shell;
  n_products++;
  return MatMult(ratings, x, y);
}

static PetscErrorCode multiply_transposed(Mat shell, Vec x, Vec y)
{
  (void)shell;
  n_products++;
  return MatMultTranspose(ratings, x, y);
}

/* Each rank reads its rows. */
static PetscErrorCode read_matrix(const char *path, Mat *out)
{
  long long head[3];
  PetscInt begin, end;
  FILE *file = fopen(path, "rb");
  PetscCheck(file && fread(head, 8, 3, file) == 3, PETSC_COMM_WORLD, PETSC_ERR_FILE_OPEN, "cannot read %s", path);
  PetscCall(MatCreate(PETSC_COMM_WORLD, out));
  PetscCall(MatSetSizes(*out, PETSC_DECIDE, PETSC_DECIDE, (PetscInt)head[0], (PetscInt)head[1]));
  PetscCall(MatSetType(*out, MATAIJ));
  PetscCall(MatSetUp(*out));
  PetscCall(MatGetOwnershipRange(*out, &begin, &end));

  long long *starts;
  PetscInt *row, *columns;
  int *read_columns;
  double *values;
  PetscCall(PetscMalloc1(end - begin + 1, &starts));
  PetscCall(PetscMalloc1(end - begin + 1, &row));
  PetscCheck(!fseek(file, 24 + 8L * begin, SEEK_SET) &&
                 fread(starts, 8, (size_t)(end - begin + 1), file) == (size_t)(end - begin + 1),
             PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "%s is short", path);
  for (PetscInt r = 0; r <= end - begin; r++) row[r] = (PetscInt)(starts[r] - starts[0]);
  size_t n = (size_t)row[end - begin];
  PetscCall(PetscMalloc3(n, &read_columns, n, &columns, n, &values));
  long at = 24 + 8 * (long)(head[0] + 1);
  PetscCheck(!fseek(file, at + 4 * (long)starts[0], SEEK_SET) && fread(read_columns, 4, n, file) == n &&
                 !fseek(file, at + 4 * (long)head[2] + 8 * (long)starts[0], SEEK_SET) &&
                 fread(values, 8, n, file) == n,
             PETSC_COMM_SELF, PETSC_ERR_FILE_READ, "%s is short", path);
  for (size_t j = 0; j < n; j++) columns[j] = read_columns[j];
  PetscCall(MatSeqAIJSetPreallocationCSR(*out, row, columns, values));
  PetscCall(MatMPIAIJSetPreallocationCSR(*out, row, columns, values));
  PetscCall(PetscFree3(read_columns, columns, values));
  PetscCall(PetscFree(row));
  PetscCall(PetscFree(starts));
  fclose(file);
  return 0;
}

/* The same matrix as a shell that counts its products. */
static PetscErrorCode counting(Mat *out)
{
  PetscInt m, n, local_m, local_n;
  PetscCall(MatGetSize(ratings, &m, &n));
  PetscCall(MatGetLocalSize(ratings, &local_m, &local_n));
  PetscCall(MatCreateShell(PETSC_COMM_WORLD, local_m, local_n, m, n, NULL, out));
  PetscCall(MatShellSetOperation(*out, MATOP_MULT, (void (*)(void))multiply));
  PetscCall(MatShellSetOperation(*out, MATOP_MULT_TRANSPOSE, (void (*)(void))multiply_transposed));
  return 0;
}

static PetscErrorCode solve(PetscInt k, const char *solver, PetscReal tolerance)
{
  SVD svd;
  Mat shell;
  PetscInt converged, iterations;
  PetscReal largest = 0, residual, worst = 0;
  PetscCall(counting(&shell));
  PetscCall(SVDCreate(PETSC_COMM_WORLD, &svd));
  PetscCall(SVDSetOperators(svd, shell, NULL));
  PetscCall(SVDSetType(svd, solver));
  PetscCall(SVDSetDimensions(svd, k, PETSC_DEFAULT, PETSC_DEFAULT));
  PetscCall(SVDSetTolerances(svd, tolerance, 10000));
  PetscCall(SVDSetFromOptions(svd));
  double begin = MPI_Wtime();
  PetscCall(SVDSolve(svd));
  double seconds = MPI_Wtime() - begin;
  PetscInt products = n_products;
  PetscCall(SVDGetConverged(svd, &converged));
  PetscCall(SVDGetIterationNumber(svd, &iterations));
  for (PetscInt i = 0; i < k && i < converged; i++) {
    PetscCall(SVDComputeError(svd, i, SVD_ERROR_ABSOLUTE, &residual));
    if (i == 0) PetscCall(SVDGetSingularTriplet(svd, 0, &largest, NULL, NULL));
    if (residual > worst) worst = residual;
  }
  PetscCall(PetscPrintf(PETSC_COMM_WORLD,
                        "{\"seconds\": %.6f, \"residual\": %.3e, \"converged\": %d, \"iterations\": %d, \"products\": %d}\n",
                        seconds, converged >= k ? worst / largest : 1e300, (int)converged, (int)iterations,
                        (int)products));
  PetscCall(SVDDestroy(&svd));
  PetscCall(MatDestroy(&shell));
  return 0;
}

int main(int argc, char **argv)
{
  PetscCall(SlepcInitialize(&argc, &argv, NULL, NULL));
  PetscCheck(argc >= 5, PETSC_COMM_WORLD, PETSC_ERR_USER, "usage: bench_svd FILE K SOLVER TOLERANCE");
  PetscCall(read_matrix(argv[1], &ratings));
  PetscCall(solve(atoi(argv[2]), argv[3], atof(argv[4])));
  PetscCall(MatDestroy(&ratings));
  return SlepcFinalize();
}
