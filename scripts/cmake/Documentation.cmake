# Man pages and completion come from the programs' own option tables: the programs print them.
set(documentation ${PROJECT_BINARY_DIR}/documentation)
set(completion ${PROJECT_SOURCE_DIR}/scripts/packaging/completion.bash)
set(writer ${PROJECT_SOURCE_DIR}/scripts/cmake/WriteDocumentation.cmake)
add_custom_command(OUTPUT ${documentation}/stamp
  COMMAND ${CMAKE_COMMAND} -D GRIDMF=$<TARGET_FILE:gridmf> -D GRIDMF_QUERY=$<TARGET_FILE:gridmf-query>
    -D COMPLETION=${completion} -D OUT=${documentation} -P ${writer}
  DEPENDS gridmf gridmf-query ${completion} ${writer} VERBATIM)
add_custom_target(documentation ALL DEPENDS ${documentation}/stamp)
install(DIRECTORY ${documentation}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(DIRECTORY ${documentation}/completions DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion)
