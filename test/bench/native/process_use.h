/* What another process uses while something happens: processor time and sleeps of its threads, and the fake node's counters. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "counters.h"

enum { MAX_THREADS = 64 };

struct thread_use {
  int id;
  char name[24];
  double cpu;    /* microseconds on a processor */
  double sleeps; /* voluntary context switches */
};

struct use {
  struct thread_use threads[MAX_THREADS];
  size_t count;
  double own_cpu; /* of this process */
  struct counters counters;
};

/* `process` 0: nobody is watched. `counters` NULL: no node is counted. Waits first, until the process has come to rest. */
void look(pid_t process, const struct counters *counters, struct use *use);

/* Prints the difference of two looks, divided by `operations`. */
void tell_use(const char *phase, const struct use *before, const struct use *after, double operations);
