// G_EDID and S_EDID: the blocks follow the record in both parts of the chain.
#include <cerrno>

#include "ioctl_table.h"

namespace preload {

int edid(Call& call) {
  void* const user = call.as<v4l2_edid>().edid;
  const int result = forward(call, {}, {sizeof(wire::ResponseHeader) + sizeof(v4l2_edid), 0});
  call.as<v4l2_edid>().edid = static_cast<uint8_t*>(user);
  return result;
}

}  // namespace preload
