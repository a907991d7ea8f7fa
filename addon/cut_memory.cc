#include "cut_memory.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>

namespace vmb {

namespace {

/** An entry is never freed, only used again, because the signal handler may be reading it. */
struct Guarded {
  std::atomic<uintptr_t> base = 0;
  std::atomic<size_t> length = 0;
  Guarded* next = nullptr;
};

std::atomic<Guarded*> first = nullptr;
std::mutex writers;
struct sigaction before;

bool Replace(uintptr_t address) {
  for (const Guarded* each = first.load(); each != nullptr; each = each->next) {
    const uintptr_t base = each->base.load();
    const size_t length = each->length.load();
    if (base == 0 || address < base || address - base >= length) continue;
    // Replaces the whole mapping. One mapping for each page would soon exceed the kernel's limit, and a part
    // of a huge page cannot be replaced.
    void* replaced = mmap(reinterpret_cast<void*>(base), length, PROT_READ | PROT_WRITE,
                          MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return replaced != MAP_FAILED;
  }
  return false;
}

void OnBusError(int, siginfo_t* info, void*) {
  const int kept = errno;
  if (info->si_code != BUS_ADRERR || !Replace(reinterpret_cast<uintptr_t>(info->si_addr))) {
    // This SIGBUS is not ours, so the action that was set before handles it. A fault happens again when this
    // handler returns; a signal that a process has sent (si_code <= 0) must be raised again.
    sigaction(SIGBUS, &before, nullptr);
    if (info->si_code <= 0) raise(SIGBUS);
  }
  errno = kept;
}

void Install() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &before);
}

}  // namespace

bool GuardMapping(void* base, size_t length) {
  static std::once_flag installed;
  std::call_once(installed, Install);
  const std::lock_guard lock(writers);
  Guarded* entry = first.load();
  while (entry != nullptr && entry->base.load() != 0) entry = entry->next;
  if (entry == nullptr) {
    entry = new (std::nothrow) Guarded;
    if (entry == nullptr) return false;
    entry->next = first.load();
    first.store(entry);
  }
  entry->length.store(length);
  entry->base.store(reinterpret_cast<uintptr_t>(base));
  return true;
}

void UnguardMapping(void* base) {
  const std::lock_guard lock(writers);
  for (Guarded* each = first.load(); each != nullptr; each = each->next)
    if (each->base.load() == reinterpret_cast<uintptr_t>(base)) each->base.store(0);
}

}  // namespace vmb
