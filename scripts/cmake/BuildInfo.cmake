# What this build is, for --version and the provenance of files: src/base/build_info.h declares it. Written at build
# time, so that the commit is that of the sources compiled; the file is touched only when something in it changed.
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
string(STRIP "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}}" GRIDMF_FLAGS)
add_custom_target(build_info BYPRODUCTS ${PROJECT_BINARY_DIR}/build_info.c
  COMMAND ${CMAKE_COMMAND} -D SOURCE=${PROJECT_SOURCE_DIR} -D OUTPUT=${PROJECT_BINARY_DIR}/build_info.c
    -D VERSION=${PROJECT_VERSION} "-DCOMPILER=${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}"
    -D BUILD_TYPE=${CMAKE_BUILD_TYPE} "-DFLAGS=${GRIDMF_FLAGS}"
    -P ${PROJECT_SOURCE_DIR}/scripts/cmake/WriteBuildInfo.cmake
  VERBATIM)
