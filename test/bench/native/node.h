/* The node that a measuring program has open. A failure ends the program with a sentence. */
#pragma once

extern int device;

_Noreturn void fail(const char *what);

/* Another file on the node. */
int open_device(const char *path);

/* ioctl(2) on `device`. */
void must(unsigned long request, void *argument, const char *name);
