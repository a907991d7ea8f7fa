#include "command_table.h"

#include <cstring>
#include <utility>

#include "arguments.h"
#include "node_file.h"

namespace vmb {

namespace {

constexpr napi_type_tag kTableTag = {0x5e3d7710c94b4af2, 0x8c6fb21d90e7a354};

/** Arguments: a payload, and the words of a RowRule without the last. */
void HideBits(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "hideBits");
  const auto payload = arguments.Bytes(0);
  const auto word = [&](size_t index) { return static_cast<uint32_t>(arguments.Integer(index, UINT32_MAX)); };
  const RowRule rule{word(1), word(2), word(3), word(4), 0};
  if (arguments.ok() && !rule.HideBits(payload)) arguments.Refuse(1, "an offset inside the payload");
}

}  // namespace

void CommandTableObject::Export(Napi::Env env, Napi::Object exports) {
  exports.Set("CommandTable", DefineClass(env, "CommandTable",
                                          {InstanceMethod("add", &CommandTableObject::Add),
                                           InstanceMethod("remove", &CommandTableObject::Remove)}));
  exports.Set("hideBits", Napi::Function::New<HideBits>(env, "hideBits"));
}

std::shared_ptr<CommandTable> CommandTableObject::TableOf(Napi::Env env, napi_value value) {
  const auto* object = static_cast<CommandTableObject*>(UnwrapTagged(env, value, kTableTag));
  return object == nullptr ? nullptr : object->table_;
}

CommandTableObject::CommandTableObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<CommandTableObject>(info) {
  Arguments arguments(info, "CommandTable");
  const auto bytes = arguments.Bytes(0);
  if (!arguments.ok()) return;
  RowRules rules;
  if (bytes.size() != sizeof rules) {
    arguments.Refuse(0, "256 rules");
    return;
  }
  std::memcpy(rules.data(), bytes.data(), sizeof rules);
  table_ = std::make_shared<CommandTable>(rules);
  napi_type_tag_object(info.Env(), info.This(), &kTableTag);
}

/** Arguments: the session's id, its file, and the kind of each ioctl, by number. */
void CommandTableObject::Add(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "add");
  const uint64_t id = arguments.Integer(0, UINT32_MAX);
  const Napi::Object file = arguments.Object(1);
  const auto kinds = arguments.Bytes(2);
  if (!arguments.ok()) return;
  FlatSession session{static_cast<uint32_t>(id), NodeFile::LaneOf(info.Env(), file), {}};
  if (session.lane == nullptr) return arguments.Refuse(1, "a NodeFile");
  if (kinds.size() != session.kinds.size()) return arguments.Refuse(2, "256 kinds");
  for (size_t nr = 0; nr < kinds.size(); nr++) {
    if (kinds[nr] > static_cast<uint8_t>(FlatKind::kQueue)) return arguments.Refuse(2, "256 kinds");
    session.kinds[nr] = static_cast<FlatKind>(kinds[nr]);
  }
  table_->Add(std::move(session));
}

void CommandTableObject::Remove(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "remove");
  const uint64_t id = arguments.Integer(0, UINT32_MAX);
  if (arguments.ok()) table_->Remove(static_cast<uint32_t>(id));
}

}  // namespace vmb
