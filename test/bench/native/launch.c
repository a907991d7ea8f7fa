/*
 * launch PROCESSORS FOLDER PROGRAM [ARGUMENT]...: becomes PROGRAM, on these processors (`0,1`) and with FOLDER in the place
 * of /sys/dev/char, in a mount name space of its own. FOLDER `-`: nothing is mounted. The process is killed if the one that
 * started it ends, whose id is in LAUNCH_PARENT. LAUNCH_PRELOAD becomes LD_PRELOAD. Exit status 125: it could not become
 * PROGRAM.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
  exit(125);
}

static void end_with_parent(void) {
  const char *parent = getenv("LAUNCH_PARENT");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  /* The parent may have ended before that. */
  if (parent && getppid() != atoi(parent)) exit(125);
}

static void keep_to(const char *list) {
  cpu_set_t processors;
  CPU_ZERO(&processors);
  for (char *end; *list; list = *end ? end + 1 : end) CPU_SET(strtoul(list, &end, 10), &processors);
  if (sched_setaffinity(0, sizeof processors, &processors) != 0) fail("sched_setaffinity");
}

static void put_in_place(const char *folder) {
  if (unshare(CLONE_NEWNS) != 0) fail("unshare(CLONE_NEWNS)");
  if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("mount --make-rprivate /");
  if (mount(folder, "/sys/dev/char", NULL, MS_BIND, NULL) != 0) fail("mount --bind /sys/dev/char");
}

int main(int count, char **words) {
  if (count < 4) return fprintf(stderr, "usage: launch PROCESSORS FOLDER|- PROGRAM [ARGUMENT]...\n"), 125;
  end_with_parent();
  keep_to(words[1]);
  if (strcmp(words[2], "-") != 0) put_in_place(words[2]);
  const char *preload = getenv("LAUNCH_PRELOAD");
  if (preload) setenv("LD_PRELOAD", preload, 1);
  execvp(words[3], words + 3);
  fail(words[3]);
}
