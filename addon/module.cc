#include <napi.h>

#include "account.h"
#include "buffer_record.h"
#include "command_table.h"
#include "datagram.h"
#include "event_fd.h"
#include "fd_poller.h"
#include "guest_memory.h"
#include "linear_mapping.h"
#include "memory_file.h"
#include "node_file.h"
#include "privileges.h"
#include "region.h"
#include "ring.h"
#include "socket.h"
#include "v4l2_layout.h"

namespace vmb {

namespace {

Napi::Object Export(Napi::Env env, Napi::Object exports) {
  ExportSocket(env, exports);
  ExportDatagram(env, exports);
  ExportEventFd(env, exports);
  ExportMemoryFile(env, exports);
  Region::Export(env, exports);
  GuestMemoryObject::Export(env, exports);
  CommandTableObject::Export(env, exports);
  ExportBufferRecords(env, exports);
  Ring::Export(env, exports);
  ExportLinearMapping(env, exports);
  FdPoller::Export(env, exports);
  NodeFile::Export(env, exports);
  ExportLayout(env, exports);
  ExportAccount(env, exports);
  ExportPrivileges(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(virtio_media_bridge, Export)

}  // namespace vmb
