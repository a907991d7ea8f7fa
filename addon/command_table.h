#pragma once

#include <napi.h>

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "flat_command.h"
#include "node_lane.h"
#include "row_rule.h"

namespace vmb {

/** A session whose flat commands a ring's threads may run. */
struct FlatSession {
  uint32_t id;
  std::shared_ptr<NodeLane> lane;
  /** By ioctl number. */
  std::array<FlatKind, 256> kinds;
};

/** The sessions of one device. The loop decides which are in it, and a ring's threads look them up. */
class CommandTable {
 public:
  explicit CommandTable(const RowRules& rules) : rules_(rules) {}

  /** `number`: below 256. The rule stays as long as the table. */
  const RowRule& rule(uint32_t number) const { return rules_[number]; }
  std::shared_ptr<const FlatSession> Find(uint32_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
  }
  void Add(FlatSession session) {
    const std::lock_guard lock(mutex_);
    sessions_[session.id] = std::make_shared<const FlatSession>(std::move(session));
  }
  void Remove(uint32_t id) {
    const std::lock_guard lock(mutex_);
    sessions_.erase(id);
  }

 private:
  const RowRules rules_;
  mutable std::mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<const FlatSession>> sessions_;
};

/** The JavaScript class CommandTable. */
class CommandTableObject : public Napi::ObjectWrap<CommandTableObject> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  /** Null: the value is something else. */
  static std::shared_ptr<CommandTable> TableOf(Napi::Env env, napi_value value);

  explicit CommandTableObject(const Napi::CallbackInfo& info);

 private:
  void Add(const Napi::CallbackInfo& info);
  void Remove(const Napi::CallbackInfo& info);

  std::shared_ptr<CommandTable> table_;
};

}  // namespace vmb
