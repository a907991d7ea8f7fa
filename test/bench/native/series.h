/* Durations of one kind, and lines of results: PHASE, KEY and VALUE, with tabs between them. */
#pragma once

#include <stddef.h>

/* CLOCK_MONOTONIC in microseconds. */
double now(void);

struct series {
  double *values;
  size_t count, room;
};

struct series new_series(size_t room);
void add(struct series *series, double microseconds);
/* Prints p50, p90, p99, p99.9, max and mean; each key begins with `prefix`. Frees the series. */
void report(const char *phase, const char *prefix, struct series *series);

void tell(const char *phase, const char *key, double value);
