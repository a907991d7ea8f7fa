// Which of the program's descriptors are open files of this library.
#pragma once

#include <memory>

#include "session.h"

namespace preload {

// The open file of a descriptor. Null: the descriptor is not ours. The file stays open while the pointer
// exists, as a kernel file does during a call.
std::shared_ptr<OpenFile> file_of(int fd);
// As file_of, for open files of nodes. Null: it is none.
std::shared_ptr<Session> session_of(int fd);

// Makes a descriptor for a file. `flags`: as for open. On an error: -1 and errno.
int install(std::shared_ptr<OpenFile> file, int flags);

// Records that the descriptor `copy` is a copy of `fd`.
void copied(int fd, int copy);

// Called before a descriptor is closed or replaced. The file ends when its last descriptor and mapping are
// gone.
std::shared_ptr<OpenFile> forget(int fd);

// Called in the child after a fork.
void abandon_files();
bool are_abandoned();

}  // namespace preload
