# Reads a ratings file of any MovieLens style (csv, tsv, '::', MatrixMarket, "user item item ..."), for scripts/demo.
# PICK=N in the environment: prints the ids of N users with enough ratings to look at, and stops reading.
# USERS=id,newline,id...: prints `position in USERS, rating, item or title` for the TOP highest rated items of each,
#   with titles from the file TITLES if that is set.

function trim(text)
{
  sub(/\r$/, "", text)
  return text
}

# The separator is the one that ends the first field, so that a comma inside a title does not decide.
function separator_of(line)
{
  if (match(line, /::|[\t,;|]/))
    return substr(line, RSTART, RLENGTH)
  return " "
}

# Splits at `separator`; inside double quotes it is text, and a doubled quote is one quote.
function split_line(line, fields, separator,    i, n, c, quoted)
{
  if (separator == " ")
    return split(line, fields, /[ \t]+/)
  if (separator == "|")
    return split(line, fields, /[|]/)
  if (line !~ /"/ || separator == "::")
    return split(line, fields, separator)
  n = 1
  fields[1] = ""
  quoted = 0
  for (i = 1; i <= length(line); i++) {
    c = substr(line, i, 1)
    if (c == "\"" && quoted && substr(line, i + 1, 1) == "\"") {
      fields[n] = fields[n] c
      i++
    } else if (c == "\"") {
      quoted = !quoted
    } else if (c == separator && !quoted) {
      fields[++n] = ""
    } else {
      fields[n] = fields[n] c
    }
  }
  return n
}

function read_titles(path,    line, fields, n, separator)
{
  while ((getline line < path) > 0) {
    line = trim(line)
    if (separator == "")
      separator = separator_of(line)
    n = split_line(line, fields, separator)
    title[fields[1]] = fields[2]
    if (n == 3 && fields[3] != "")
      title[fields[1]] = fields[2] "  [" fields[3] "]"
  }
  close(path)
}

# Keeps the best `top` items of user `k` in order; equal ratings stay in the order of the file.
function offer(k, value, item,    i)
{
  i = kept[k] + 0
  if (i == top && value <= best[k, i])
    return
  if (i < top)
    kept[k] = ++i
  for (; i > 1 && best[k, i - 1] < value; i--) {
    best[k, i] = best[k, i - 1]
    name[k, i] = name[k, i - 1]
  }
  best[k, i] = value
  name[k, i] = item
}

function see(user, item, value)
{
  if (wanted) {
    if (++count[user] == 1)
      order[++n_users] = user
    if (count[user] == 20)
      chosen[++n_chosen] = user
    if (n_chosen == wanted)
      exit
  } else if (user in position) {
    offer(position[user], value, item)
  }
}

BEGIN {
  wanted = ENVIRON["PICK"] + 0
  top = ENVIRON["TOP"] + 0
  n_listed = split(ENVIRON["USERS"], listed, "\n")
  for (k = 1; k <= n_listed; k++)
    position[listed[k]] = k
  if (ENVIRON["TITLES"] != "")
    read_titles(ENVIRON["TITLES"])
  separator = ""
  user_column = 1
  item_column = 2
  value_column = 3
}

{
  line = trim($0)
  if (NR == 1) {
    sub(/^\357\273\277/, "", line)
    matrix_market = line ~ /^%%MatrixMarket/
  }
  if (line == "" || line ~ /^%/)
    next
  if (matrix_market == 1) {     # the line of sizes
    matrix_market = 2
    next
  }
  if (separator == "") {
    separator = separator_of(line)
    n = split_line(line, fields, separator)
    header = 0
    for (i = 1; i <= n; i++) {
      label = tolower(fields[i])
      if (label ~ /^user/) { user_column = i; header = 1 }
      else if (label ~ /^(movie|item)/) { item_column = i; header = 1 }
      else if (label ~ /^rating/) { value_column = i; header = 1 }
    }
    if (header)
      next
  }
  n = split_line(line, fields, separator)
  if (separator == " " && n > 4)
    for (i = 2; i <= n; i++)
      see(fields[1], fields[i], 1)
  else
    see(fields[user_column], fields[item_column], value_column <= n ? fields[value_column] + 0 : 1)
}

END {
  if (wanted) {
    for (i = 1; i <= n_chosen; i++)
      print chosen[i]
    for (i = 1; i <= n_users && n_chosen < wanted; i++)     # a small file: any users
      if (count[order[i]] < 20) {
        print order[i]
        n_chosen++
      }
  }
  for (k = 1; k <= n_listed; k++)
    for (i = 1; i <= kept[k] + 0; i++)
      printf "%d\t%.1f\t%s\n", k, best[k, i], (name[k, i] in title) ? title[name[k, i]] : name[k, i]
}
