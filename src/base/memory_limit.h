/* What memory a process may use, as Linux, its control groups and Slurm say. All Local. */
#ifndef GMF_BASE_MEMORY_LIMIT_H
#define GMF_BASE_MEMORY_LIMIT_H

#include <stdint.h>

/* In bytes; INT64_MAX: no limit is known. */

/*
 * The least limit of the control groups that this process is in, versions 1 and 2: its own and all above. membership:
 * "/proc/self/cgroup", mounts: "/sys/fs/cgroup".
 */
int64_t gmf_cgroup_limit(const char *membership, const char *mounts);

/* A number that is the same for processes in the same control groups. */
int gmf_cgroup_color(const char *membership);

/* What Slurm gives to a rank, where n_local ranks share the node: SLURM_MEM_PER_NODE, or SLURM_MEM_PER_CPU times its
 * cores. */
int64_t gmf_slurm_limit(int64_t n_local);

/* MemAvailable of the node, and what this process holds (VmRSS); 0 where that is not known. */
int64_t gmf_node_available(void);
int64_t gmf_process_resident(void);

#endif
