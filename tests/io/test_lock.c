/* The lock of an output, with the kernel's locks and, as on file systems without, by name; and what killed runs left.
 */
#include "io/leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static bool no_locks;          /* the file system has none */
static const char *other_host; /* the host that this process believes to be on */

/* These stand before libc's. */
int fcntl(int fd, int command, ...)
{
  va_list args;
  va_start(args, command);
  void *argument = va_arg(args, void *);
  va_end(args);
  if (no_locks && command == F_OFD_SETLK) {
    errno = ENOLCK;
    return -1;
  }
  return (int)syscall(SYS_fcntl, fd, command, argument);
}

int gethostname(char *name, size_t size)
{
  snprintf(name, size, "%s", other_host != NULL ? other_host : "here");
  return 0;
}

/* ---- a folder for each test -------------------------------------------------------------------------------------- */

static char folder[64], path[128], lock_path[160];

static int set_up(void **state)
{
  (void)state;
  no_locks = false;
  other_host = NULL;
  snprintf(folder, sizeof folder, "/tmp/gridmf-test-lock-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(path, sizeof path, "%s/model.h5", folder);
  snprintf(lock_path, sizeof lock_path, "%s.lock", path);
  return 0;
}

static int tear_down(void **state)
{
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

static void make_file(const char *name, const char *text)
{
  FILE *file = fopen(name, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static gmf_status take(gmf_lock **lock, gmf_lock_holder *died, gmf_error *err)
{
  memset(err, 0, sizeof *err);
  return gmf_lock_take(path, "model.h5", lock, died, err);
}

/* Takes the lock, lets it go, and expects that nobody had left it behind. */
static void expect_free(void)
{
  gmf_lock *lock = NULL;
  gmf_lock_holder died;
  gmf_error err;
  assert_int_equal(take(&lock, &died, &err), GMF_OK);
  assert_int_equal(died.process.pid, 0);
  gmf_lock_release(&lock);
  assert_int_not_equal(access(lock_path, F_OK), 0);
}

static void expect_refused(const char *word)
{
  gmf_lock *lock = NULL;
  gmf_lock_holder died;
  gmf_error err;
  assert_int_equal(take(&lock, &died, &err), GMF_ERR_CREATE);
  assert_null(lock);
  assert_non_null(strstr(err.text, "model.h5"));
  if (strstr(err.text, word) == NULL) fail_msg("%s is not in: %s", word, err.text);
}

/* A child that ends by itself when a failed test forgets it. */
static pid_t start_child(void)
{
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) alarm(60);
  return child;
}

/* A process that takes the lock, and dies while it has it when it is told to. */
static pid_t start_holder(void)
{
  int ready[2];
  char byte = 0;
  assert_int_equal(pipe(ready), 0);
  pid_t child = start_child();
  if (child == 0) {
    gmf_lock *lock = NULL;
    gmf_lock_holder died;
    gmf_error err;
    setenv("SLURM_JOB_ID", "4711", 1);
    if (take(&lock, &died, &err) != GMF_OK || write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return child;
}

static void kill_holder(pid_t child)
{
  assert_int_equal(kill(child, SIGKILL), 0);
  assert_int_equal(waitpid(child, NULL, 0), child);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void check_holder(void)
{
  char pid[32];
  gmf_lock *lock = NULL;
  gmf_lock_holder died;
  gmf_error err;
  expect_free();
  pid_t child = start_holder();
  snprintf(pid, sizeof pid, "process %d on host here", (int)child);
  expect_refused(pid);
  expect_refused("Slurm job 4711");
  expect_refused("name another output");
  kill_holder(child);
  assert_int_equal(access(lock_path, F_OK), 0);
  assert_int_equal(take(&lock, &died, &err), GMF_OK);
  assert_int_equal(died.process.pid, child);
  assert_string_equal(died.job, "4711");
  expect_refused("on host here"); /* the same process again: no deadlock, no second lock */
  gmf_lock_release(&lock);
  expect_free();
}

static void test_kernel_lock(void **state)
{
  (void)state;
  check_holder();
}

static void test_by_name(void **state)
{
  (void)state;
  no_locks = true;
  check_holder();
}

/* The kernel knows that a holder on another host is gone; by name it cannot be known, and a person has to say so. */
static void test_other_host(void **state)
{
  (void)state;
  gmf_lock *lock = NULL;
  gmf_lock_holder died;
  gmf_error err;
  other_host = "far";
  kill_holder(start_holder());
  other_host = NULL;
  assert_int_equal(take(&lock, &died, &err), GMF_OK);
  assert_string_equal(died.process.host, "far");
  gmf_lock_release(&lock);

  no_locks = true;
  other_host = "far";
  kill_holder(start_holder());
  other_host = NULL;
  expect_refused("on host far");
  expect_refused("model.h5.lock");
  no_locks = false; /* locks are back, but this file was not held by one */
  expect_refused("on host far");
  unlink(lock_path);
  expect_free();
}

/* A process number that another process has now, and one of before the host started. */
static void test_recycled_number(void **state)
{
  (void)state;
  gmf_lock *lock = NULL;
  gmf_lock_holder died;
  gmf_error err;
  char text[512], end[64] = "job \nsince yesterday\nheld by name\n";
  gmf_process self = gmf_process_self();
  no_locks = true;
  for (int again = 0; again < 2; again++) {
    snprintf(text, sizeof text, "gridmf lock 1\nhost here\npid %d\nboot %s\nspace %s\nbegan %lld\n%s", (int)self.pid,
             again ? "another" : self.boot, self.space, (long long)self.began - !again, end);
    make_file(lock_path, text);
    assert_int_equal(take(&lock, &died, &err), GMF_OK);
    assert_int_equal(died.process.pid, self.pid);
    gmf_lock_release(&lock);
  }
  snprintf(text, sizeof text, "gridmf lock 1\nhost here\npid %d\nboot %s\nspace pid:[1]\nbegan 5\n%s", (int)self.pid,
           self.boot, end);
  make_file(lock_path, text); /* in a container of this host */
  expect_refused("remove");
}

static void test_not_ours(void **state)
{
  (void)state;
  struct stat st;
  make_file(lock_path, "notes of mine");
  expect_refused("no lock of gridmf");
  assert_int_equal(stat(lock_path, &st), 0);
  assert_int_equal(st.st_size, 13);
  unlink(lock_path);
  make_file(path, "a model");
  assert_int_equal(symlink(path, lock_path), 0);
  expect_refused("cannot be locked");
  unlink(lock_path);
  assert_int_equal(mkdir(lock_path, 0777), 0);
  expect_refused("cannot be locked");
}

/* An empty lock file: its maker is about to write, or was killed before it could. */
static void test_empty(void **state)
{
  (void)state;
  make_file(lock_path, "");
  expect_free();
  no_locks = true;
  make_file(lock_path, "");
  expect_refused("remove");
}

/* Takes and releases the lock n times; while it is held, a file is there that only the holder may make. */
static int contend(int n)
{
  char inside[192];
  snprintf(inside, sizeof inside, "%s.inside", path);
  for (int done = 0; done < n;) {
    gmf_lock *lock = NULL;
    gmf_lock_holder died;
    gmf_error err;
    gmf_status status = take(&lock, &died, &err);
    if (status == GMF_ERR_CREATE) continue;
    if (status != GMF_OK) return 1;
    int fd = open(inside, O_CREAT | O_EXCL | O_WRONLY, 0666);
    if (fd < 0) return 2;
    close(fd);
    if (done % 7 == 0) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    unlink(inside);
    gmf_lock_release(&lock);
    done++;
  }
  return 0;
}

static void check_contention(void)
{
  enum { N_PROCESSES = 6, N_TIMES = 150 };
  pid_t children[N_PROCESSES];
  for (int c = 0; c < N_PROCESSES; c++) {
    children[c] = start_child();
    if (children[c] == 0) _exit(contend(N_TIMES));
  }
  for (int c = 0; c < N_PROCESSES; c++) {
    int code = -1;
    waitpid(children[c], &code, 0);
    assert_int_equal(code, 0);
  }
  assert_int_not_equal(access(lock_path, F_OK), 0);
}

static void test_contention(void **state)
{
  (void)state;
  check_contention();
  no_locks = true;
  check_contention();
}

static void test_local_locks(void **state)
{
  (void)state;
  char mounts[128];
  snprintf(mounts, sizeof mounts, "%s/mountinfo", folder);
  make_file(mounts,
            "22 27 0:21 / /a rw,relatime shared:1 - nfs4 server:/nolock rw,vers=4.2,local_lock=none\n"
            "23 27 0:22 / /b rw - nfs server:/b rw,vers=3,nolock,proto=tcp\n"
            "24 27 0:23 / /c rw master:2 shared:3 - lustre mds@tcp:/c rw,localflock\n"
            "25 27 0:24 / /d rw - nfs server:/d rw,local_lock=posix\n"
            "nonsense\n");
  assert_false(gmf_locks_are_local(mounts, 0, 21));
  assert_true(gmf_locks_are_local(mounts, 0, 22));
  assert_true(gmf_locks_are_local(mounts, 0, 23));
  assert_true(gmf_locks_are_local(mounts, 0, 24));
  assert_false(gmf_locks_are_local(mounts, 8, 22));
  assert_false(gmf_locks_are_local("/nowhere", 0, 22));
}

static void make_temporary(const char *ending, int64_t age)
{
  char name[256];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct timespec times[2] = {{.tv_sec = now.tv_sec - age}, {.tv_sec = now.tv_sec - age}};
  snprintf(name, sizeof name, "%s/%s", folder, ending);
  make_file(name, "x");
  assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
}

static bool is_there(const char *ending)
{
  char name[256];
  snprintf(name, sizeof name, "%s/%s", folder, ending);
  return access(name, F_OK) == 0;
}

static void test_leftovers(void **state)
{
  (void)state;
  char running[64], recycled[64];
  gmf_notes notes = {0};
  gmf_error err = {0};
  gmf_lock_holder died = {.process = {.host = "far", .pid = 77}};
  const char *const others[] = {
      "model.h5",           "model.h5.tmp.here.x",  "model.h5.tmp.here",       "model.h5.tmp.7",
      "mode.h5.tmp.here.7", "amodel.h5.tmp.here.7", "model.h5.tmp.here.7.bak", "model.h5.tmp..7"};
  pid_t child = start_child();
  if (child == 0)
    for (;;) pause();
  snprintf(running, sizeof running, "model.h5.tmp.here.%d", (int)child);
  snprintf(recycled, sizeof recycled, "model.h5.tmp.here.%d", (int)getppid());
  make_temporary("model.h5.tmp.here.4194303", 0); /* no such process: the kernel's numbers end below */
  make_temporary(running, 0);
  make_temporary(recycled, 1000000000); /* of 1995 or so: older than every process */
  make_temporary("model.h5.tmp.far.77", 0);
  make_temporary("model.h5.tmp.far.78", 0);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) make_temporary(others[i], 0);

  assert_int_equal(gmf_remove_leftovers(path, &died, &notes, &err), GMF_OK);
  assert_false(is_there("model.h5.tmp.here.4194303"));
  assert_true(is_there(running));
  assert_false(is_there(recycled));
  assert_false(is_there("model.h5.tmp.far.77"));
  assert_true(is_there("model.h5.tmp.far.78"));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_true(is_there(others[i]));
  assert_non_null(strstr(notes.text, "model.h5.tmp.far.77, left by a run"));
  assert_non_null(strstr(notes.text, "model.h5.tmp.far.78 stays"));
  assert_non_null(strstr(notes.text, running));
  gmf_notes_free(&notes);
  kill_holder(child);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_kernel_lock, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_by_name, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_other_host, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_recycled_number, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_not_ours, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_contention, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_local_locks, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_leftovers, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
