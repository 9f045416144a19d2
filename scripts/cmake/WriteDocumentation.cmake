# Run by the build (cmake -P) with GRIDMF, GRIDMF_QUERY, COMPLETION and OUT: writes what the programs say of themselves to
# OUT/man1 (a page for each program and each verb) and OUT/completions (for bash).
function(ask result)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  set(${result} "${text}" PARENT_SCOPE)
endfunction()

ask(page ${GRIDMF} --manual)
file(WRITE ${OUT}/man1/gridmf.1 "${page}")
ask(page ${GRIDMF_QUERY} --manual)
file(WRITE ${OUT}/man1/gridmf-query.1 "${page}")

ask(words ${GRIDMF} --words)
ask(query_words ${GRIDMF_QUERY} --words)
string(REGEX MATCHALL "(^|\n)[a-z-]+" verbs "${words}")
list(TRANSFORM verbs STRIP)
list(REMOVE_DUPLICATES verbs)
foreach(verb IN LISTS verbs)
  ask(page ${GRIDMF} ${verb} --manual)
  file(WRITE ${OUT}/man1/gridmf-${verb}.1 "${page}")
endforeach()

file(READ ${COMPLETION} functions)
foreach(program gridmf gridmf-query) # bash looks for a file of the command's name
  file(WRITE ${OUT}/completions/${program}
    "${functions}_gridmf_words[gridmf]='${words}'\n_gridmf_words[gridmf-query]='${query_words}'\n")
endforeach()
file(TOUCH ${OUT}/stamp)
