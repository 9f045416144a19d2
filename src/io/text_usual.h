/* The quick way through lines that are well-formed in the usual way: the first half of text_reader.h's promise. */
#ifndef GMF_IO_TEXT_USUAL_H
#define GMF_IO_TEXT_USUAL_H

#include "io/text_reader.h"

static inline unsigned gmf_text_digit(char c) { return (unsigned)(unsigned char)c - '0'; }

/* mtx: whether an id is a row or column that the size line allows. */
static inline bool gmf_text_in_matrix(const gmf_text_layout *layout, gmf_side side, const gmf_text_id *id)
{
  return id->kind == GMF_ID_INTEGER && id->integer >= 1 && id->integer <= layout->mtx_size[side];
}

/*
 * Local. Reads the lines from reader->at on, at most `capacity`, up to the first one that needs care or that stands at
 * the end; counts them and moves reader->at behind them. Returns how many.
 */
int64_t gmf_text_usual_lines(gmf_text_reader *reader, gmf_text_rating *out, int64_t capacity);

#endif
