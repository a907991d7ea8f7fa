/*
 * The floor: a process that answers a kick by a call and does nothing else, with the eventfds of a virtqueue. No back-end
 * in another process can be faster. The figure moves with the machine's load.
 */
#pragma once

#include <stdbool.h>

/* `lane`: the process hands each kick to a second thread, which tells it by an eventfd when it is done. */
void measure_hops(const char *phase, long count, bool lane);
