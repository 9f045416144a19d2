#include "base/memory_limit.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MIB = 1 << 20;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The number in a file of one line; INT64_MAX for "max", and where there is none. */
static int64_t read_limit(const char *path)
{
  char line[64] = "";
  FILE *file = fopen(path, "re");
  if (file == NULL) return INT64_MAX;
  bool read = fgets(line, sizeof line, file) != NULL;
  fclose(file);
  if (!read || line[0] < '0' || line[0] > '9') return INT64_MAX;
  errno = 0;
  int64_t n = strtoll(line, NULL, 10);
  return errno != 0 || n > INT64_MAX / 2 ? INT64_MAX : n; /* version 1 says "none" by a number near 2^63 */
}

/* The least of `name` in a group and all above it, up to the mount. path: of the group, from "/"; it is cut off. */
static int64_t least_above(const char *mount, char *path, const char *name)
{
  int64_t limit = INT64_MAX;
  for (;;) {
    char file[2 * PATH_MAX];
    snprintf(file, sizeof file, "%s%s/%s", mount, path, name);
    limit = least(limit, read_limit(file));
    char *slash = strrchr(path, '/');
    if (slash == NULL) return limit;
    *slash = '\0';
  }
}

/* Whether a list "cpu,memory" has the word. */
static bool has_memory(const char *list)
{
  for (const char *word = list; word != NULL; word = strchr(word, ',')) {
    word += *word == ',';
    if (strncmp(word, "memory", 6) == 0 && (word[6] == ',' || word[6] == '\0')) return true;
  }
  return false;
}

int64_t gmf_cgroup_limit(const char *membership, const char *mounts)
{
  char line[PATH_MAX + 256], mount[PATH_MAX];
  int64_t limit = INT64_MAX;
  FILE *file = fopen(membership, "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':'), *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL) continue;
    *path++ = '\0';
    controllers++;
    bool unified = controllers[0] == '\0';
    if (!unified && !has_memory(controllers)) continue;
    if (strcmp(path, "/") == 0) *path = '\0';
    snprintf(mount, sizeof mount, "%s%s", mounts, unified ? "" : "/memory");
    limit = least(limit, least_above(mount, path, unified ? "memory.max" : "memory.limit_in_bytes"));
  }
  if (file != NULL) fclose(file);
  return limit;
}

int gmf_cgroup_color(const char *membership)
{
  uint32_t hash = 2166136261u; /* FNV-1a */
  FILE *file = fopen(membership, "re");
  for (int c = 0; file != NULL && (c = fgetc(file)) != EOF;) hash = (hash ^ (uint32_t)c) * 16777619u;
  if (file != NULL) fclose(file);
  return (int)(hash & INT_MAX);
}

/* A positive number from the environment; 0 where there is none. */
static int64_t number_of(const char *name)
{
  const char *text = getenv(name);
  char *end = NULL;
  if (text == NULL) return 0;
  int64_t n = strtoll(text, &end, 10);
  return end == text || *end != '\0' || n < 0 || n > INT64_MAX / MIB ? 0 : n;
}

int64_t gmf_slurm_limit(int64_t n_local)
{
  int64_t node = number_of("SLURM_MEM_PER_NODE"), cpu = number_of("SLURM_MEM_PER_CPU");
  int64_t cpus_of_task = number_of("SLURM_CPUS_PER_TASK"), cpus_of_node = number_of("SLURM_CPUS_ON_NODE");
  if (node > 0) return node * MIB / n_local;
  if (cpu > 0 && cpus_of_task > 0) return cpu * cpus_of_task * MIB;
  if (cpu > 0 && cpus_of_node > 0) return cpu * cpus_of_node * MIB / n_local;
  return INT64_MAX;
}

/* The entry `name` of a file of lines "Name:   123 kB", in bytes. */
static int64_t entry_of(const char *path, const char *name)
{
  char line[256];
  int64_t kib = 0;
  size_t n = strlen(name);
  FILE *file = fopen(path, "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, name, n) == 0 && line[n] == ':') kib = strtoll(line + n + 1, NULL, 10);
  if (file != NULL) fclose(file);
  return kib * 1024;
}

int64_t gmf_node_available(void) { return entry_of("/proc/meminfo", "MemAvailable"); }

int64_t gmf_process_resident(void) { return entry_of("/proc/self/status", "VmRSS"); }
