# Man pages come from the programs' own option tables: `gridmf --manual` prints the page.
foreach(program gridmf gridmf-query)
  set(page ${PROJECT_BINARY_DIR}/${program}.1)
  add_custom_command(OUTPUT ${page} COMMAND ${program} --manual > ${page} DEPENDS ${program} VERBATIM)
  list(APPEND GRIDMF_MAN_PAGES ${page})
endforeach()
add_custom_target(man ALL DEPENDS ${GRIDMF_MAN_PAGES})
install(FILES ${GRIDMF_MAN_PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
