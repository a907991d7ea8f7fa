#include "node_lane.h"

#include <pthread.h>
#include <sys/epoll.h>

#include <utility>

#include "thread.h"

namespace vmb {

void NodeLane::Submit(std::shared_ptr<NodeCall> call) {
  std::unique_lock lock(mutex_);
  calls_.push_back(std::move(call));
  const int error = running_ ? 0 : Start();
  if (error != 0) {
    // No thread was running, so this call is the only one in the queue.
    calls_.pop_back();
    results_.push_back(error);
  }
  // A thread that wakes up wants the lock at once.
  lock.unlock();
  error == 0 ? submitted_.NotifyOne() : wake_->Send();
}

void NodeLane::Leave(SessionGate::Left left) {
  bool done = true;
  left = node_.Settle(left, nullptr, done);
  if (left.frames || !done) {
    wake_->Send(EPOLLIN);
  } else if (left.held) {
    wake_->Send();
  }
}

int NodeLane::Start() {
  auto self = std::make_unique<std::shared_ptr<NodeLane>>(shared_from_this());
  const int error = StartThread(Main, self.get(), nullptr);
  if (error != 0) return error;
  self.release();
  running_ = true;
  return 0;
}

std::optional<int> NodeLane::TakeResult() {
  const std::lock_guard lock(mutex_);
  if (results_.empty()) return std::nullopt;
  const int error = results_.front();
  results_.pop_front();
  return error;
}

void* NodeLane::Main(void* argument) {
  const std::unique_ptr<std::shared_ptr<NodeLane>> lane(static_cast<std::shared_ptr<NodeLane>*>(argument));
  pthread_setname_np(pthread_self(), "vmb-lane");
  (*lane)->Work();
  return nullptr;
}

void NodeLane::Work() {
  std::unique_lock lock(mutex_);
  while (!calls_.empty() || node_.is_open()) {
    while (calls_.empty()) submitted_.Wait(lock);
    std::shared_ptr<NodeCall> call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    const int error = call->Run(node_);
    call.reset();
    lock.lock();
    results_.push_back(error);
    lock.unlock();
    wake_->Send();
    lock.lock();
  }
  running_ = false;
}

}  // namespace vmb
