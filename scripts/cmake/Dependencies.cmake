# Libraries, all Debian 12 packages; see scripts/lib.sh for their names.
find_package(PkgConfig REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
find_package(LAPACK REQUIRED) # OpenBLAS has it
# Debian's scalapack config file names a library that is not there, so the library is looked for itself.
find_library(SCALAPACK_LIBRARY NAMES scalapack-openmpi scalapack REQUIRED)
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h REQUIRED)

# The trainer writes from all ranks: HDF5 with MPI. Debian has it beside the serial one, and FindHDF5 looks for h5pcc.
set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 REQUIRED COMPONENTS C)
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "HDF5 without MPI was found; gridmf needs parallel HDF5 (Debian: libhdf5-openmpi-dev)")
endif()
add_library(gridmf_hdf5_parallel INTERFACE)
target_include_directories(gridmf_hdf5_parallel SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(gridmf_hdf5_parallel INTERFACE ${HDF5_C_LIBRARIES} MPI::MPI_C)

# The query library must not need MPI: it takes the serial HDF5 where there is one. On machines with only the parallel
# library it links that one, and still calls no MPI function itself.
pkg_check_modules(HDF5_SERIAL IMPORTED_TARGET hdf5-serial)
add_library(gridmf_hdf5_serial INTERFACE)
if(HDF5_SERIAL_FOUND)
  target_link_libraries(gridmf_hdf5_serial INTERFACE PkgConfig::HDF5_SERIAL)
else()
  message(STATUS "No serial HDF5: gridmf-query links the parallel one and so loads the MPI library")
  target_link_libraries(gridmf_hdf5_serial INTERFACE gridmf_hdf5_parallel)
endif()
