#include "account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include <string>
#include <vector>

#include "arguments.h"
#include "failure.h"

namespace vmb {

namespace {

constexpr size_t kFirstRoom = 4096;
/** Bytes: enough for a group with very many members. */
constexpr size_t kLastRoom = 16 << 20;
constexpr uint64_t kMaxId = UINT32_MAX - 1;

/** Calls `ask` with a larger buffer each time until the entry fits. `found` stays null if there is no entry.
 * Returns an errno. */
template <typename Entry, typename Ask>
int Look(const Ask& ask, Entry& entry, std::vector<char>& room, Entry*& found) {
  int error = ERANGE;
  for (size_t size = kFirstRoom; size <= kLastRoom && (error == ERANGE || error == EINTR); size *= 4) {
    room.resize(size);
    error = ask(&entry, room.data(), room.size(), &found);
  }
  // getpwnam_r(3): these errnos also mean that there is no entry.
  return error == ENOENT || error == ESRCH || error == EBADF || error == EPERM ? 0 : error;
}

/** Looks up by name if the argument is a string, else by number. */
Napi::Value User(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, "user");
  const bool named = info[0].IsString();
  const std::string name = named ? arguments.Text(0) : std::string();
  const uid_t uid = named ? 0 : static_cast<uid_t>(arguments.Integer(0, kMaxId));
  if (!arguments.ok()) return env.Undefined();
  std::vector<char> room;
  passwd entry{};
  passwd* found = nullptr;
  const auto ask = [&](passwd* into, char* text, size_t size, passwd** result) {
    return named ? getpwnam_r(name.c_str(), into, text, size, result)
                 : getpwuid_r(uid, into, text, size, result);
  };
  if (const int error = Look(ask, entry, room, found)) return ThrowErrno(env, "user", name, error);
  if (found == nullptr) return env.Undefined();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("name", Napi::String::New(env, found->pw_name));
  result.Set("uid", Napi::Number::New(env, found->pw_uid));
  result.Set("gid", Napi::Number::New(env, found->pw_gid));
  return result;
}

Napi::Value Group(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, "group");
  const bool named = info[0].IsString();
  const std::string name = named ? arguments.Text(0) : std::string();
  const gid_t gid = named ? 0 : static_cast<gid_t>(arguments.Integer(0, kMaxId));
  if (!arguments.ok()) return env.Undefined();
  std::vector<char> room;
  group entry{};
  group* found = nullptr;
  const auto ask = [&](group* into, char* text, size_t size, group** result) {
    return named ? getgrnam_r(name.c_str(), into, text, size, result)
                 : getgrgid_r(gid, into, text, size, result);
  };
  if (const int error = Look(ask, entry, room, found)) return ThrowErrno(env, "group", name, error);
  if (found == nullptr) return env.Undefined();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("name", Napi::String::New(env, found->gr_name));
  result.Set("gid", Napi::Number::New(env, found->gr_gid));
  return result;
}

}  // namespace

void ExportAccount(Napi::Env env, Napi::Object exports) {
  exports.Set("user", Napi::Function::New<User>(env, "user"));
  exports.Set("group", Napi::Function::New<Group>(env, "group"));
}

}  // namespace vmb
