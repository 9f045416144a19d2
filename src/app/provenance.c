#include "app/provenance.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/build_info.h"
#include "io/layout.h"
#include "kernel/isa.h"
#include "linalg/blas_core.h"

bool gmf_provenance_reproducible(void) { return getenv("SOURCE_DATE_EPOCH") != NULL; }

void gmf_provenance_libraries(char *mpi, char *hdf5, size_t size)
{
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  text[strcspn(text, ",\n")] = '\0';
  snprintf(mpi, size, "%s", text);
  gmf_h5_version(hdf5, size);
}

void gmf_provenance_date(char *out, size_t size)
{
  const char *epoch = getenv("SOURCE_DATE_EPOCH");
  time_t now = epoch != NULL ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
  struct tm utc;
  gmtime_r(&now, &utc);
  strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void gmf_provenance_host(char *out, size_t size)
{
  memset(out, 0, size);
  if (!gmf_provenance_reproducible()) gethostname(out, size - 1);
}

static void add_date(gmf_writer *w)
{
  char date[32], host[256];
  gmf_provenance_date(date, sizeof date);
  gmf_provenance_host(host, sizeof host);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "date", date);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "host", host);
}

/* What does not fit is cut off: HDF5 keeps at most 64 KiB in an attribute. */
static void add_command_line(gmf_writer *w, int argc, char *const *argv)
{
  char line[32768] = "";
  size_t at = 0;
  for (int i = 0; i < argc && at < sizeof line; i++)
    at += (size_t)snprintf(line + at, sizeof line - at, "%s%s", i > 0 ? " " : "", argv[i]);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "command_line", line);
}

void gmf_provenance_add_software(gmf_writer *w)
{
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "software", "gridmf");
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "softwareVersion", GMF_BUILD.version);
}

void gmf_provenance_add(gmf_writer *w, const gmf_grid *grid, int argc, char *const *argv, int threads)
{
  char mpi[256], hdf5[256], shape[32];
  gmf_provenance_libraries(mpi, hdf5, sizeof mpi);
  snprintf(shape, sizeof shape, "%dx%d", grid->n_rows, grid->n_cols);
  gmf_provenance_add_software(w);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "git_commit", GMF_BUILD.git_commit);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "compiler", GMF_BUILD.compiler);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "flags", GMF_BUILD.flags);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "kernels", gmf_kernel_level_name(gmf_kernel_level()));
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "blas", gmf_blas_core());
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "mpi", mpi);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "hdf5", hdf5);
  gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "ranks", grid->size);
  gmf_writer_attr_i64(w, GMF_GROUP_PROVENANCE, "threads", threads);
  gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "grid", shape);
  if (getenv("SLURM_JOB_ID") != NULL)
    gmf_writer_attr_text(w, GMF_GROUP_PROVENANCE, "slurm_job_id", getenv("SLURM_JOB_ID"));
  add_date(w);
  add_command_line(w, argc, argv);
}

void gmf_attribute_name(const gmf_option *option, char *out, size_t size)
{
  snprintf(out, size, "%s", option->name);
  for (char *c = out; *c != '\0'; c++)
    if (*c == '-') *c = '_';
}

void gmf_provenance_add_options(gmf_writer *w, gmf_verb verb, const gmf_config *config)
{
  for (int i = 0; i < GMF_OPTIONS.n; i++) {
    const gmf_option *o = &GMF_OPTIONS.options[i];
    if (!gmf_option_applies(o, verb, config) || !o->is_model) continue;
    char name[64], text[GMF_PATH_BYTES];
    const void *value = (const char *)config + o->offset;
    gmf_attribute_name(o, name, sizeof name);
    gmf_option_text(o, config, text, sizeof text);
    if (o->kind == GMF_OPT_INT)
      gmf_writer_attr_i64(w, "/", name, *(const int64_t *)value);
    else if (o->kind == GMF_OPT_REAL)
      gmf_writer_attr_f64(w, "/", name, *(const double *)value);
    else
      gmf_writer_attr_text(w, "/", name, text);
  }
}
