#include "io/input.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "runtime/heartbeat.h"

enum { RAW_BYTES = 1 << 18, COUNT_BYTES = 1 << 20, SLACK_BYTES = 1 << 12 };

void gmf_input_block_free(gmf_input_block *block)
{
  GMF_FREE(block->buffer);
  *block = (gmf_input_block){0};
}

/* ---- bytes of a file --------------------------------------------------------------------------------------------- */

gmf_status gmf_input_open(const char *path, int *fd, gmf_error *err)
{
  struct stat st;
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for the writer of a pipe */
  if (*fd < 0) return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: cannot be read: %s", path, strerror(errno));
  if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) return GMF_OK;
  close(*fd);
  *fd = -1;
  return gmf_fail(err, GMF_ERR_NO_INPUT, "%s: is %s; import reads regular files", path,
                  S_ISDIR(st.st_mode) ? "a folder" : "a pipe or device");
}

/* Bytes [offset, offset + n) of the file; fewer only where it ends. */
static gmf_status read_bytes(int fd, const char *path, int64_t offset, int64_t n, char *out, int64_t *n_read,
                             gmf_error *err)
{
  *n_read = 0;
  while (*n_read < n) {
    ssize_t got = pread(fd, out + *n_read, (size_t)gmf_min64(n - *n_read, 1 << 30), (off_t)(offset + *n_read));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return gmf_fail(err, GMF_ERR_IO, "%s: reading failed at byte %" PRId64 ": %s", path, offset + *n_read,
                      strerror(errno));
    if (got == 0) break;
    *n_read += got;
  }
  return GMF_OK;
}

static gmf_compression compression_of(const unsigned char *head, int64_t n)
{
  if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b) return GMF_GZIP;
  if (n >= 4 && head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd) return GMF_ZSTD;
  if (n >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18) return GMF_ZSTD;
  return GMF_PLAIN;
}

gmf_status gmf_input_probe(const char *path, gmf_input_file *out, char *head, int64_t capacity, int64_t *n_head,
                           bool *is_whole, gmf_error *err)
{
  gmf_status status = GMF_OK;
  struct stat st;
  unsigned char magic[4];
  int64_t n = 0;
  int fd = -1;
  gmf_stream *stream = NULL;

  GMF_TRY(gmf_input_open(path, &fd, err));
  if (fstat(fd, &st) != 0) GMF_TRY(gmf_fail(err, GMF_ERR_NO_INPUT, "%s: %s", path, strerror(errno)));
  GMF_TRY(read_bytes(fd, path, 0, sizeof magic, (char *)magic, &n, err));
  out->n_bytes = st.st_size;
  out->compression = compression_of(magic, n);
  GMF_TRY(gmf_stream_open(path, out->compression, &stream, err));
  GMF_TRY(gmf_stream_read(stream, head, capacity, n_head, err));
  *is_whole = *n_head < capacity;

cleanup:
  gmf_stream_close(&stream);
  if (fd >= 0) close(fd);
  return status;
}

/* ---- ranges of plain files --------------------------------------------------------------------------------------- */

static gmf_status extend(int fd, const char *path, int64_t from, int64_t upto, int64_t *n, gmf_input_block *block,
                         gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t got = 0;
  GMF_TRY(GMF_RESERVE(block->buffer, block->capacity, upto - from + 1, err)); /* 1: a newline may be added */
  GMF_TRY(read_bytes(fd, path, from + *n, upto - from - *n, block->buffer + *n, &got, err));
  *n += got;
  if (*n < upto - from) GMF_TRY(gmf_fail(err, GMF_ERR_IO, "%s: became shorter while it was read", path));
cleanup:
  return status;
}

gmf_status gmf_input_read_range(int fd, const char *path, int64_t n_file_bytes, int64_t begin, int64_t end,
                                bool is_line_start, int64_t max_line, gmf_input_block *block, gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t from = is_line_start ? begin : begin - 1, n = 0, first = 0, last = end - from - 1;
  char *newline = NULL;

  block->begin = block->end = block->buffer;
  block->offset = begin;
  int64_t upto = gmf_min64(end + SLACK_BYTES, n_file_bytes), most = gmf_min64(end + max_line + 1, n_file_bytes);
  GMF_TRY(extend(fd, path, from, upto, &n, block, err));
  if (!is_line_start) { /* the line that covers byte begin - 1 belongs to the range before */
    newline = memchr(block->buffer, '\n', (size_t)last);
    if (newline == NULL) return GMF_OK;
    first = newline + 1 - block->buffer;
  }
  for (int64_t searched = last;;) { /* the last line of the range ends at the first newline from its last byte on */
    newline = memchr(block->buffer + searched, '\n', (size_t)(n - searched));
    if (newline != NULL || upto == most) break;
    searched = n;
    upto = gmf_min64(end + 8 * (upto - end), most);
    GMF_TRY(extend(fd, path, from, upto, &n, block, err));
  }
  if (newline == NULL) {
    newline = block->buffer + n;
    *newline = '\n';
  }
  block->begin = block->buffer + first;
  block->end = newline + 1;
  block->offset = from + first;
cleanup:
  return status;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct gmf_stream {
  const char *path; /* borrowed */
  gmf_compression compression;
  int fd;
  int64_t raw_offset; /* bytes read from the file so far */
  char *raw;          /* owned [RAW_BYTES]: compressed bytes */
  int64_t raw_at, raw_end;
  z_stream gzip;
  bool gzip_ready;
  ZSTD_DStream *zstd; /* owned */
  bool between_frames, ended;
  char *carry; /* owned [n_carry]: the begin of a line whose end is still to come */
  int64_t n_carry, carry_capacity;
  int64_t text_offset; /* bytes of text before the carry */
  bool discards;       /* inside a line that is too long: drop bytes up to its newline */
};

gmf_status gmf_stream_open(const char *path, gmf_compression compression, gmf_stream **out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_stream *s = NULL;
  *out = NULL;
  GMF_TRY(GMF_NEW_ZERO(s, 1, err));
  s->path = path;
  s->compression = compression;
  s->fd = -1;
  s->between_frames = true;
  GMF_TRY(GMF_NEW(s->raw, RAW_BYTES, err));
  GMF_TRY(gmf_input_open(path, &s->fd, err));
  if (compression == GMF_GZIP) s->gzip_ready = inflateInit2(&s->gzip, 15 + 16) == Z_OK;
  if (compression == GMF_ZSTD) s->zstd = ZSTD_createDStream();
  if ((compression == GMF_GZIP && !s->gzip_ready) || (compression == GMF_ZSTD && s->zstd == NULL))
    GMF_TRY(gmf_fail(err, GMF_ERR_MEMORY, "out of memory to decode %s", path));
  *out = s;
  s = NULL;
cleanup:
  gmf_stream_close(&s);
  return status;
}

void gmf_stream_close(gmf_stream **stream)
{
  gmf_stream *s = *stream;
  if (s == NULL) return;
  if (s->gzip_ready) inflateEnd(&s->gzip);
  ZSTD_freeDStream(s->zstd);
  if (s->fd >= 0) close(s->fd);
  gmf_free(s->raw);
  gmf_free(s->carry);
  gmf_free(s);
  *stream = NULL;
}

static gmf_status damaged(const gmf_stream *s, const char *why, gmf_error *err)
{
  return gmf_fail(err, GMF_ERR_DATA, "%s: the %s stream is damaged near byte %" PRId64 ": %s", s->path,
                  s->compression == GMF_GZIP ? "gzip" : "zstd", s->raw_offset - (s->raw_end - s->raw_at), why);
}

/* One step of decoding: at most `capacity` bytes of text from the raw bytes at hand. */
static gmf_status inflate_step(gmf_stream *s, char *out, int64_t capacity, int64_t *n, gmf_error *err)
{
  s->gzip.next_in = (Bytef *)s->raw + s->raw_at;
  s->gzip.avail_in = (uInt)(s->raw_end - s->raw_at);
  s->gzip.next_out = (Bytef *)out;
  s->gzip.avail_out = (uInt)gmf_min64(capacity, 1 << 30);
  uInt before = s->gzip.avail_out;
  int code = inflate(&s->gzip, Z_NO_FLUSH);
  *n = before - s->gzip.avail_out;
  s->raw_at = s->raw_end - s->gzip.avail_in;
  s->between_frames = code == Z_STREAM_END;
  if (code == Z_STREAM_END) inflateReset(&s->gzip); /* more members may follow */
  if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
    return damaged(s, s->gzip.msg != NULL ? s->gzip.msg : "bad data", err);
  return GMF_OK;
}

static gmf_status zstd_step(gmf_stream *s, char *out, int64_t capacity, int64_t *n, gmf_error *err)
{
  ZSTD_inBuffer in = {s->raw + s->raw_at, (size_t)(s->raw_end - s->raw_at), 0};
  ZSTD_outBuffer to = {out, (size_t)capacity, 0};
  size_t code = ZSTD_decompressStream(s->zstd, &to, &in);
  if (ZSTD_isError(code)) return damaged(s, ZSTD_getErrorName(code), err);
  s->raw_at += (int64_t)in.pos;
  s->between_frames = code == 0;
  *n = (int64_t)to.pos;
  return GMF_OK;
}

static gmf_status refill(gmf_stream *s, bool *at_end, gmf_error *err)
{
  int64_t got = 0;
  gmf_status status = read_bytes(s->fd, s->path, s->raw_offset, RAW_BYTES, s->raw, &got, err);
  s->raw_at = 0;
  s->raw_end = got;
  s->raw_offset += got;
  *at_end = got == 0;
  return status;
}

gmf_status gmf_stream_read(gmf_stream *s, char *out, int64_t capacity, int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *n = 0;
  if (s->compression == GMF_PLAIN) {
    status = read_bytes(s->fd, s->path, s->raw_offset, capacity, out, n, err);
    s->raw_offset += *n;
    return status;
  }
  while (*n < capacity && !s->ended) {
    int64_t got = 0;
    bool at_end = false;
    /* A decoder may hold text back without more input: it is asked again before the file is. */
    if (s->raw_at < s->raw_end || !s->between_frames) {
      GMF_TRY(s->compression == GMF_GZIP ? inflate_step(s, out + *n, capacity - *n, &got, err)
                                         : zstd_step(s, out + *n, capacity - *n, &got, err));
      *n += got;
    }
    if (got > 0 || s->raw_at < s->raw_end) continue;
    GMF_TRY(refill(s, &at_end, err));
    if (at_end && !s->between_frames) GMF_TRY(damaged(s, "the file ends in the middle of it", err));
    s->ended = at_end;
  }
cleanup:
  return status;
}

/* Drops the rest of a line that is too long from [text, text + *n). */
static void discard(gmf_stream *s, char *text, int64_t *n)
{
  char *newline = memchr(text, '\n', (size_t)*n);
  int64_t dropped = newline == NULL ? *n : newline + 1 - text;
  memmove(text, text + dropped, (size_t)(*n - dropped));
  *n -= dropped;
  s->text_offset += dropped;
  s->discards = newline == NULL;
}

gmf_status gmf_stream_next_block(gmf_stream *s, int64_t target, int64_t max_line, gmf_input_block *block,
                                 gmf_error *err)
{
  gmf_status status = GMF_OK;
  int64_t n = s->n_carry, got = target;
  char *newline = NULL;

  GMF_TRY(GMF_RESERVE(block->buffer, block->capacity, n + target + 1, err));
  if (n > 0) memcpy(block->buffer, s->carry, (size_t)n);
  s->n_carry = 0;
  while (newline == NULL && got == target && n <= max_line) {
    GMF_TRY(GMF_RESERVE(block->buffer, block->capacity, n + target + 1, err));
    GMF_TRY(gmf_stream_read(s, block->buffer + n, target, &got, err));
    int64_t fresh = got;
    if (s->discards) discard(s, block->buffer + n, &fresh);
    newline = memrchr(block->buffer + n, '\n', (size_t)fresh);
    n += fresh;
  }
  block->begin = block->buffer;
  block->offset = s->text_offset;
  if (newline == NULL && n > 0) { /* the last line, or one that is too long */
    s->discards = got == target;
    newline = block->buffer + n;
    *newline = '\n';
    s->text_offset += n;
    block->end = newline + 1;
    return GMF_OK;
  }
  block->end = newline == NULL ? block->buffer : newline + 1;
  s->n_carry = block->buffer + n - block->end;
  GMF_TRY(GMF_RESERVE(s->carry, s->carry_capacity, s->n_carry, err));
  if (s->n_carry > 0) memcpy(s->carry, block->end, (size_t)s->n_carry);
  s->text_offset += block->end - block->begin;
cleanup:
  return status;
}

/* ---- line numbers ------------------------------------------------------------------------------------------------ */

static int64_t newlines_in(const char *p, int64_t n)
{
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++) count += p[i] == '\n';
  return count;
}

gmf_status gmf_input_count_newlines(const char *path, gmf_compression compression, int64_t begin, int64_t end,
                                    int64_t *n, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_stream *stream = NULL;
  char *text = NULL;
  *n = 0;
  GMF_TRY(GMF_NEW(text, COUNT_BYTES, err));
  GMF_TRY(gmf_stream_open(path, compression, &stream, err));
  int64_t at = 0, got = COUNT_BYTES;
  if (compression == GMF_PLAIN) at = stream->raw_offset = begin;
  while (at < end && got > 0) {
    gmf_beat();
    GMF_TRY(gmf_stream_read(stream, text, gmf_min64(COUNT_BYTES, end - at), &got, err));
    int64_t skip = gmf_min64(gmf_max64(begin - at, 0), got);
    *n += newlines_in(text + skip, got - skip);
    at += got;
  }
cleanup:
  gmf_stream_close(&stream);
  gmf_free(text);
  return status;
}
