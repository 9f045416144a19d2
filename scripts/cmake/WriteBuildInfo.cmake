# Run by the target build_info, see BuildInfo.cmake.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE GIT_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(GIT_COMMIT unknown)
endif()
configure_file(${SOURCE}/src/base/build_info.c.in ${OUTPUT} @ONLY)
