#include "user_memory.h"

#include <sys/uio.h>
#include <unistd.h>

namespace preload {

bool copy_from_user(void* to, const void* user, size_t bytes) {
  const iovec local = {to, bytes}, remote = {const_cast<void*>(user), bytes};
  return bytes == 0 || process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

bool copy_to_user(void* user, const void* from, size_t bytes) {
  const iovec local = {const_cast<void*>(from), bytes}, remote = {user, bytes};
  return bytes == 0 || process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

}  // namespace preload
