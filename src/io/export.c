#include "io/export.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/narrow.h"
#include "io/dataset.h"
#include "io/export_internal.h"
#include "io/layout.h"

static const char *const NAMES[] = {"npz", "mtx", "csv", "h5ad", "ann-benchmarks"};

const char *gmf_export_name(gmf_export_format to) { return NAMES[to]; }

int64_t gmf_export_piece(const gmf_h5_array *a)
{
  return gmf_max64(1, GMF_EXPORT_PIECE / gmf_max64(1, a->type.size * a->dims[1]));
}

/* ---- which file as what ------------------------------------------------------------------------------------------ */

static gmf_status check_form(const gmf_export_source *s, gmf_export_format to, gmf_error *err)
{
  bool is_model = strcmp(s->format, GMF_FORMAT_MODEL) == 0, is_dataset = strcmp(s->format, GMF_FORMAT_DATASET) == 0;
  bool has_factors = gmf_h5_exists(s->file, "items/" GMF_NAME_FACTORS);
  const char *forms = is_model && has_factors ? "npz, csv, h5ad, ann-benchmarks"
                      : is_model              ? "npz"
                      : is_dataset            ? "npz, mtx, csv, h5ad"
                                              : "npz, csv";
  if (strstr(forms, NAMES[to]) != NULL) return GMF_OK;
  return gmf_fail(err, GMF_ERR_USAGE, "%s: is a %s%s, which --to %s cannot hold; there are %s", s->path, s->format,
                  is_model && !has_factors ? " without factors" : "", NAMES[to], forms);
}

static gmf_status open_source(const char *path, gmf_export_format to, gmf_export_source *s, gmf_error *err)
{
  gmf_status status = GMF_OK;
  *s = (gmf_export_source){.path = path};
  GMF_TRY(gmf_h5_open(path, NULL, &s->file, err));
  GMF_TRY(gmf_h5_format(s->file, path, &s->format, err));
  GMF_TRY(check_form(s, to, err));
cleanup:
  if (status != GMF_OK && s->file >= 0) H5Fclose(s->file);
  return status;
}

gmf_status gmf_export_check(const char *path, gmf_export_format to, const char **format, gmf_error *err)
{
  gmf_export_source s;
  gmf_status status = open_source(path, to, &s, err);
  if (status != GMF_OK) return status;
  *format = s.format;
  H5Fclose(s.file);
  return GMF_OK;
}

gmf_status gmf_export_write(const char *path, gmf_export_format to, const char *out, gmf_error *err)
{
  gmf_export_source s;
  gmf_status status = open_source(path, to, &s, err);
  if (status != GMF_OK) return status;
  switch (to) {
    case GMF_EXPORT_NPZ: status = gmf_export_npz(&s, out, err); break;
    case GMF_EXPORT_MTX: status = gmf_export_mtx(&s, out, err); break;
    case GMF_EXPORT_CSV: status = gmf_export_csv(&s, out, err); break;
    case GMF_EXPORT_H5AD: status = gmf_export_h5ad(&s, out, err); break;
    case GMF_EXPORT_ANN: status = gmf_fail(err, GMF_ERR_INTERNAL, "neighbours are not in a file"); break;
  }
  H5Fclose(s.file);
  return status;
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

gmf_status gmf_id_reader_open(const gmf_export_source *s, gmf_side side, gmf_id_reader *r, gmf_error *err)
{
  char name[32];
  *r = (gmf_id_reader){.array.id = H5I_INVALID_HID};
  snprintf(name, sizeof name, "%s/%s", gmf_side_name(side), GMF_NAME_ID);
  return gmf_h5_array_open(s->file, s->path, name, 1, &r->array, err);
}

void gmf_id_reader_close(gmf_id_reader *r)
{
  gmf_h5_array_close(&r->array);
  GMF_FREE(r->ids);
}

gmf_status gmf_id_reader_text(gmf_id_reader *r, int64_t row, bool whole, char *out, gmf_error *err)
{
  gmf_status status = GMF_OK;
  gmf_type type = r->array.type;
  if (row < r->begin || row >= r->begin + r->n) {
    int64_t begin = whole ? 0 : row, room = whole ? r->array.dims[0] : gmf_export_piece(&r->array);
    GMF_FREE(r->ids);
    r->n = 0;
    GMF_TRY(GMF_NEW(r->ids, room * type.size, err));
    int64_t n = gmf_min64(room, gmf_max64(1, r->array.dims[0] - begin)); /* a row that is not there is an error */
    if (row >= r->array.dims[0] || row < 0)
      GMF_TRY(gmf_fail(err, GMF_ERR_DATA, "row %" PRId64 " has no id; run 'gridmf verify'", row));
    GMF_TRY(gmf_h5_array_read(&r->array, begin, n, type.kind == GMF_TEXT ? GMF_TEXT : GMF_I8, r->ids, err));
    r->begin = begin;
    r->n = n;
  }
  gmf_ids ids = {.type = type, .begin = r->begin, .n = r->n, .values = r->ids};
  gmf_id_text(&ids, row - r->begin, out, GMF_EXPORT_ID);
cleanup:
  return status;
}
