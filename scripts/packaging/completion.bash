# shellcheck shell=bash
# Completes gridmf and gridmf-query in bash: verbs, options, choices and files. What there is to complete follows below,
# as the programs themselves print it (--words): lines of "VERB --option WHAT", see src/base/options.h.
declare -gA _gridmf_words

# _gridmf PROGRAM WORD PREVIOUS, as `complete -F` calls it.
_gridmf() {
  local words=${_gridmf_words[${1##*/}]:-} word=$2 previous=$3
  local verb='' given='' verbs='' options='' what='' name each line_verb
  COMPREPLY=()

  # "--name=value" comes in three words.
  if [[ $word == = ]]; then
    word=''
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  [[ $previous != -o ]] || previous=--output

  while read -r line_verb _; do
    [[ " $verbs " == *" $line_verb "* ]] || verbs+=" $line_verb"
  done <<<"$words"
  for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ " $verbs " == *" $each "* ]]; then
      verb=$each
      break
    fi
    given+=$each
  done
  while read -r line_verb name each; do
    [[ $line_verb == "$verb" ]] || continue
    options+=" $name"
    [[ $name != "$previous" ]] || what=${each:--}
  done <<<"$words"

  case $what in
    '' | -) # no value is waited for: an option, a file, or the verb, which gridmf-query has after the model
      if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options --help --version" -- "$word")
        return
      elif [[ -z $verb && ( ${1##*/} == gridmf || -n $given ) ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
        return
      fi
      ;;
    DIR)
      compopt -o dirnames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return
      ;;
    *FILE* | *.h5 | *.ini | *PATH*) ;;
    *'|'*)
      mapfile -t COMPREPLY < <(compgen -W "${what//|/ }" -- "$word")
      return
      ;;
    *) return ;; # a number, a list: nothing is known
  esac
  compopt -o filenames 2>/dev/null # quotes blanks, and puts a slash behind folders
  mapfile -t COMPREPLY < <(compgen -f -- "$word")
}
complete -F _gridmf gridmf gridmf-query
