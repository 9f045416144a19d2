# What this build is, for --version and the provenance of files: src/base/build_info.h declares it.
find_package(Git QUIET)
set(GRIDMF_GIT_COMMIT "unknown")
if(GIT_FOUND AND EXISTS ${PROJECT_SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} describe --always --dirty --abbrev=12
    OUTPUT_VARIABLE GRIDMF_GIT_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
string(STRIP "${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}}" GRIDMF_FLAGS)
configure_file(${PROJECT_SOURCE_DIR}/src/base/build_info.c.in ${PROJECT_BINARY_DIR}/build_info.c @ONLY)
