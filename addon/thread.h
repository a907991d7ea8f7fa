#pragma once

#include <pthread.h>

namespace vmb {

/**
 * Starts a thread that blocks all signals, because a signal that interrupts the wait for a driver's lock
 * makes poll(2) report an error. `joinable` receives the thread's id; null: the thread is detached. Returns
 * an errno (std::thread would end the process).
 */
int StartThread(void* (*run)(void*), void* argument, pthread_t* joinable);

/** Lets this thread touch guest memory: a fault in memory that was cut off must reach its handler (cut_memory.h). */
void AdmitBusErrors();

}  // namespace vmb
