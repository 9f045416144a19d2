# Recipe for Spack: copy to packages/gridmf/package.py of a repository of recipes, and set `git` to where the project is
# kept. Untested: it has not been run, as no Spack was at hand.
from spack.package import *


class Gridmf(CMakePackage):
    """Recommender-model trainer for MPI clusters: distributed ALS and truncated SVD, factors in HDF5."""

    homepage = "https://example.org/gridmf"
    git = "https://example.org/gridmf.git"

    license("BSD-3-Clause")

    version("main", branch="main")

    depends_on("c", type="build")
    depends_on("cmake@3.20:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("random123", type="build")
    depends_on("mpi")
    depends_on("hdf5+mpi@1.10:")
    depends_on("scalapack")
    depends_on("openblas threads=openmp")  # cblas.h and LAPACK's C interface come with it
    depends_on("xxhash")
    depends_on("jansson")
    depends_on("libinih")
    depends_on("zlib-api")
    depends_on("zstd")

    generator("ninja")

    def cmake_args(self):
        return [self.define("BUILD_TESTING", False)]

    @run_after("install")
    @on_package_attributes(run_tests=True)
    def check_install(self):
        with working_dir("check", create=True):
            gridmf = Executable(self.prefix.bin.gridmf)
            gridmf("synth", "-o", "data.h5", "--users", "200", "--items", "100", "--ratings", "4000")
            gridmf("train", "data.h5", "-o", "model.h5", "--algorithm", "ials", "--factors", "8", "--iterations", "3")
            gridmf("verify", "model.h5")
            Executable(self.prefix.bin.join("gridmf-query"))("model.h5", "recommend", "--user", "1")
