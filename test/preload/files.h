// Which of the program's descriptors are open files of ours.
#pragma once

#include <memory>

#include "session.h"

namespace preload {

// Null: the descriptor is not ours. The file stays open while the pointer is held, as a file does during a call.
std::shared_ptr<OpenFile> file_of(int fd);
// Null: it is not one of a node.
std::shared_ptr<Session> session_of(int fd);

// A new descriptor for a file: `flags` as open has them. -1 and errno.
int install(std::shared_ptr<OpenFile> file, int flags);

// The descriptor `copy` is a copy of `fd`.
void copied(int fd, int copy);

// The descriptor is about to be closed or replaced. The file ends with its last descriptor and mapping.
std::shared_ptr<OpenFile> forget(int fd);

// After a fork.
void abandon_files();
bool are_abandoned();

}  // namespace preload
