#include "thread.h"

#include <signal.h>

namespace vmb {

namespace {
constexpr size_t kStackSize = 256 * 1024;
}

int StartThread(void* (*run)(void*), void* argument, pthread_t* joinable) {
  pthread_attr_t attributes;
  if (const int error = pthread_attr_init(&attributes)) return error;
  pthread_attr_setstacksize(&attributes, kStackSize);
  if (joinable == nullptr) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t detached;
  const int error = pthread_create(joinable == nullptr ? &detached : joinable, &attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return error;
}

void AdmitBusErrors() {
  sigset_t bus;
  sigemptyset(&bus);
  sigaddset(&bus, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &bus, nullptr);
}

}  // namespace vmb
