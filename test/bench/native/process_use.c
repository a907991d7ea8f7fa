#include "process_use.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "series.h"

enum { REST_MS = 30 };

/* Reads a small file of /proc; the text is empty if it is gone. */
static void read_text(const char *path, char *text, size_t room) {
  FILE *file = fopen(path, "re");
  const size_t length = file ? fread(text, 1, room - 1, file) : 0;
  text[length] = 0;
  if (file) fclose(file);
}

static double number_after(const char *text, const char *word) {
  const char *at = strstr(text, word);
  return at ? strtod(at + strlen(word), NULL) : 0;
}

static void look_at_thread(pid_t process, int id, struct thread_use *thread) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", process, id);
  read_text(path, text, sizeof text);
  thread->id = id;
  thread->cpu = strtod(text, NULL) / 1e3;
  snprintf(path, sizeof path, "/proc/%d/task/%d/status", process, id);
  read_text(path, text, sizeof text);
  thread->sleeps = number_after(text, "\nvoluntary_ctxt_switches:");
  if (id == process) strcpy(thread->name, "main");
  else if (sscanf(text, "Name: %23s", thread->name) != 1) strcpy(thread->name, "?");
}

void look(pid_t process, const struct counters *counters, struct use *use) {
  memset(use, 0, sizeof *use);
  /* The kernel counts a thread's time when the thread leaves the processor. */
  nanosleep(&(struct timespec){0, REST_MS * 1000000}, NULL);
  struct rusage own;
  getrusage(RUSAGE_SELF, &own);
  use->own_cpu = (own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1e6 + own.ru_utime.tv_usec + own.ru_stime.tv_usec;
  if (counters) memcpy(&use->counters, (const void *)counters, sizeof *counters);
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/task", process);
  DIR *tasks = process ? opendir(path) : NULL;
  for (struct dirent *entry; tasks && use->count < MAX_THREADS && (entry = readdir(tasks));)
    if (atoi(entry->d_name) > 0) look_at_thread(process, atoi(entry->d_name), &use->threads[use->count++]);
  if (tasks) closedir(tasks);
}

/* Threads of one name are one line, because their number is the back-end's business. */
struct total {
  const char *name;
  double cpu, sleeps;
};

static const struct thread_use *find(const struct use *use, int id) {
  static const struct thread_use none;
  for (size_t i = 0; i < use->count; i++)
    if (use->threads[i].id == id) return &use->threads[i];
  return &none;
}

static void add_to(struct total *total, const struct thread_use *before, const struct thread_use *after) {
  total->cpu += after->cpu - before->cpu;
  total->sleeps += after->sleeps - before->sleeps;
}

static void tell_total(const char *phase, const char *suffix, const struct total *total, double operations) {
  char key[64];
  snprintf(key, sizeof key, "cpu%s", suffix);
  tell(phase, key, total->cpu / operations);
  snprintf(key, sizeof key, "sleeps%s", suffix);
  tell(phase, key, total->sleeps / operations);
}

static void tell_threads(const char *phase, const struct use *before, const struct use *after, double operations) {
  struct total all = {0}, by_name[MAX_THREADS] = {0};
  size_t names = 0;
  for (size_t i = 0; i < after->count; i++) {
    const struct thread_use *thread = &after->threads[i];
    /* The fake node's clock stands for an interrupt, which a back-end does not pay. */
    if (strcmp(thread->name, "fake-clock") == 0) continue;
    size_t at = 0;
    while (at < names && strcmp(by_name[at].name, thread->name) != 0) at++;
    if (at == names) by_name[names++].name = thread->name;
    add_to(&by_name[at], find(before, thread->id), thread);
    add_to(&all, find(before, thread->id), thread);
  }
  tell_total(phase, "", &all, operations);
  char suffix[32];
  for (size_t i = 0; i < names; i++) {
    if (by_name[i].cpu / operations < 0.01) continue;
    snprintf(suffix, sizeof suffix, ".%s", by_name[i].name);
    tell_total(phase, suffix, &by_name[i], operations);
  }
}

void tell_use(const char *phase, const struct use *before, const struct use *after, double operations) {
  tell(phase, "client.cpu", (after->own_cpu - before->own_cpu) / operations);
  if (after->count > 0) tell_threads(phase, before, after, operations);
  double calls = 0;
  for (size_t i = 0; i < COUNTED_CALLS; i++) calls += (double)(after->counters.calls[i] - before->counters.calls[i]);
  if (calls == 0) return;
  tell(phase, "node.calls", calls / operations);
  tell(phase, "node.again", (double)(after->counters.again - before->counters.again) / operations);
  tell(phase, "node.own", (double)(after->counters.own_calls - before->counters.own_calls) / operations);
}
