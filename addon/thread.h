#pragma once

#include <pthread.h>

namespace vmb {

/**
 * Starts a thread that no signal reaches: one that interrupts a driver's lock makes poll(2) report an error.
 * `joinable`: where to put its id; null: detached. Returns an errno (std::thread would end the process).
 */
int StartThread(void* (*run)(void*), void* argument, pthread_t* joinable);

}  // namespace vmb
