#include "evolution/queues/nats_coordinator_entry.h"

#include <cerrno>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/host.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_names.h"

namespace namm::evolution::nats {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kParting = 3s;  ///< for a server that is away; then the entry's lease runs out

/// Names where process numbers mean the same: this boot of this machine, and this namespace of processes.
std::string process_space() {
  std::error_code error;
  const auto space = std::filesystem::read_symlink("/proc/self/ns/pid", error);
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return boot + " " + space.string();
}

/// On this machine its process can be asked for.
bool holder_is_dead(const std::string& bytes) {
  try {
    const nlohmann::json holder = parse_json(bytes, "coordinator");
    return holder.at("process_space") == process_space() &&
           ::kill(holder.at("process").get<pid_t>(), 0) != 0 && errno == ESRCH;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

CoordinatorEntry::CoordinatorEntry(NatsClient& client, const RunAnnouncement& announcement,
                                   const std::function<bool()>& stop_requested)
    : client_(client), bucket_(bucket(announcement.run)), run_(announcement.run) {
  const auto lease = announcement.lease();
  std::optional<BucketValue> held = client_.get(bucket_, kCoordinatorKey);
  if (held && !holder_is_dead(held->bytes)) {
    log_info(format_text("run {} has a coordinator ({}); waiting whether it is alive", run_, held->bytes));
    const auto end = Clock::now() + lease + 500ms;
    while (held && Clock::now() < end) {
      if (stop_requested()) throw Interrupted("stopped while waiting for another coordinator's lease");
      std::this_thread::sleep_for(100ms);
      const auto now = client_.get(bucket_, kCoordinatorKey);
      if (now && now->revision != held->revision) refuse(now->bytes);
      if (!now) held = now;
    }
  }
  auto revision = client_.put_if(bucket_, kCoordinatorKey, value(), held ? held->revision : 0);
  // The answer to a first attempt may have got lost.
  if (!revision) revision = take_back();
  if (!revision) refuse("it came first");
  revision_ = *revision;
  thread_ = std::thread([this, interval = lease / 3] { prolong(interval); });
}

CoordinatorEntry::~CoordinatorEntry() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_all();
  client_.limit_waiting(kParting);
  thread_.join();
  try {
    if (!lost_ && client_.connected()) client_.purge_key(bucket_, kCoordinatorKey);
  } catch (const std::exception&) {
    // Its lease runs out.
  }
}

std::string CoordinatorEntry::value() {
  return namm::to_json_text({{"host", host_name()},
                             {"process_space", process_space()},
                             {"process", ::getpid()},
                             {"name", name_},
                             {"beat", beat_++}});
}

void CoordinatorEntry::refuse(const std::string& holder) const {
  throw ConfigError(
      format_text("run {} on {} has a coordinator that is alive ({}); stop it first, or start a new run",
                  run_, client_.shown(), holder));
}

void CoordinatorEntry::prolong(std::chrono::milliseconds interval) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, interval, [this] { return done_; })) {
    if (!client_.connected()) continue;
    lock.unlock();
    try {
      std::optional<uint64_t> revision = client_.put_if(bucket_, kCoordinatorKey, value(), revision_);
      if (!revision) revision = take_back();
      if (revision) {
        revision_ = *revision;
      } else {
        lost_ = true;
      }
    } catch (const std::exception&) {
      // The server is away: what matters is whose entry it holds when it is back.
    }
    lock.lock();
    if (lost_) return;
  }
}

/// After an update whose answer got lost the entry is ours all the same; after a server lost its data there
/// is none.
std::optional<uint64_t> CoordinatorEntry::take_back() {
  const auto now = client_.get(bucket_, kCoordinatorKey);
  if (now && parse_json(now->bytes, "coordinator").value("name", "") != name_) return std::nullopt;
  client_.ensure_bucket(bucket_);
  return client_.put_if(bucket_, kCoordinatorKey, value(), now ? now->revision : 0);
}

}  // namespace namm::evolution::nats
