/* The limits of control groups, from made-up files. */
#include "base/memory_limit.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[64], membership[128];

static int set_up(void **state)
{
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/gridmf-test-cgroup-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(membership, sizeof membership, "%s/membership", folder);
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

/* A file below the folder, and the folders on the way. */
static void put(const char *name, const char *text)
{
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    mkdir(path, 0777);
    *slash = '/';
  }
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int64_t limit(void) { return gmf_cgroup_limit(membership, folder); }

static void test_version_2(void **state)
{
  (void)state;
  put("membership", "0::/slurm/job_1/step_0\n");
  assert_true(limit() == INT64_MAX);
  put("slurm/job_1/step_0/memory.max", "max\n");
  assert_true(limit() == INT64_MAX);
  put("slurm/memory.max", "8000000\n");
  assert_true(limit() == 8000000); /* of a group above */
  put("slurm/job_1/memory.max", "5000000\n");
  put("slurm/job_1/step_0/memory.max", "6000000\n");
  assert_true(limit() == 5000000); /* the least */
  put("memory.max", "4000000\n");
  assert_true(limit() == 4000000); /* of the root: a container's own */
  put("slurm/job_1/memory.max", "3000000\n");
  put("membership", "0::/\n");
  assert_true(limit() == 4000000); /* another group's does not count */
}

static void test_version_1(void **state)
{
  (void)state;
  put("membership", "12:pids:/a\n9:cpu,memory:/slurm/uid_0\n1:name=systemd:/b\n0::/c\n");
  put("a/memory.max", "1\n");
  put("b/memory.max", "1\n");
  put("memory/slurm/uid_0/memory.limit_in_bytes", "9223372036854771712\n");
  assert_true(limit() == INT64_MAX);
  put("memory/slurm/memory.limit_in_bytes", "7000000\n");
  assert_true(limit() == 7000000);
  put("c/memory.max", "2000000\n"); /* both versions at once */
  assert_true(limit() == 2000000);
}

static void test_nothing_there(void **state)
{
  (void)state;
  assert_true(gmf_cgroup_limit("/nowhere", "/nowhere") == INT64_MAX);
  put("membership", "nonsense\n:\n0::\n1:memory:\n");
  assert_true(limit() == INT64_MAX);
}

static void test_this_process(void **state)
{
  (void)state;
  int64_t resident = gmf_process_resident(), available = gmf_node_available();
  assert_true(resident > 1 << 16 && available > 1 << 20);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_version_2, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_version_1, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_nothing_there, set_up, tear_down),
      cmocka_unit_test(test_this_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
