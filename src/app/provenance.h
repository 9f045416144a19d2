/* How a file came to be: attributes of /provenance, and the options of the run as attributes of the root. Local. */
#ifndef GMF_APP_PROVENANCE_H
#define GMF_APP_PROVENANCE_H

#include "app/config.h"
#include "io/writer.h"

/*
 * Adds the attributes of a run's provenance to an opened writer: software, libraries, command line, ranks, threads,
 * grid, host of rank 0, date, Slurm job. With SOURCE_DATE_EPOCH in the environment the date is that one and the host
 * stays empty, so that two runs alike give the same bytes.
 */
void gmf_provenance_add(gmf_writer *w, const gmf_grid *grid, int argc, char *const *argv, int threads);

/* The part of it that is the same for any ranks, date and machine: for datasets, whose bytes must be. */
void gmf_provenance_add_software(gmf_writer *w);

/* The attribute that an option becomes: "lambda-scale" is @lambda_scale. */
void gmf_attribute_name(const gmf_option *option, char *out, size_t size);

/* The model options of a verb as attributes of the root. */
void gmf_provenance_add_options(gmf_writer *w, gmf_verb verb, const gmf_config *config);

/* Whether SOURCE_DATE_EPOCH asks for bytes that two runs share; clocks are then not stored. */
bool gmf_provenance_reproducible(void);

/* "2026-11-21T08:00:00Z" and the name of this host; that of SOURCE_DATE_EPOCH and "" where it is set. */
void gmf_provenance_date(char *out, size_t size);
void gmf_provenance_host(char *out, size_t size);

/* "Open MPI v4.1.4", "HDF5 1.10.8": one line each, for --version and the files. */
void gmf_provenance_libraries(char *mpi, char *hdf5, size_t size);

#endif
