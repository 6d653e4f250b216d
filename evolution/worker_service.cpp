#include "evolution/worker_service.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "core/errors.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_client.h"
#include "evolution/queues/nats_names.h"
#include "evolution/queues/nats_runs.h"
#include "evolution/queues/nats_source.h"

namespace namm::evolution {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kLook = 500ms;

struct Counts {
  std::atomic<int64_t> items{0};
  std::atomic<int64_t> in_hand{0};
};

/// An item source that counts what is in hand and what was posted.
class CountingSource : public ItemSource {
 public:
  CountingSource(ItemSource& source, Counts& counts) : source_(source), counts_(counts) {}
  std::optional<WorkItem> claim(std::chrono::milliseconds wait) override {
    auto item = source_.claim(wait);
    if (item) ++counts_.in_hand;
    return item;
  }
  bool renew(const WorkItem& item) override { return source_.renew(item); }
  std::chrono::milliseconds renew_interval() const override { return source_.renew_interval(); }
  void post(WorkResult result) override {
    source_.post(std::move(result));
    --counts_.in_hand;
    ++counts_.items;
  }
  bool closed() const override { return source_.closed(); }

 private:
  ItemSource& source_;
  Counts& counts_;
};

class WorkerService {
 public:
  WorkerService(const WorkerServiceOptions& options, const OpenRun& open)
      : options_(options),
        open_(open),
        client_(options.address, "namm worker " + options.name, true, options.stop_requested) {}

  int64_t serve() {
    auto idle_since = Clock::now();
    while (!stopping()) {
      try {
        if (const auto run = choose()) {
          serve_run(*run);
          idle_since = Clock::now();
          continue;
        }
      } catch (const Interrupted&) {
        break;
      }
      const double idle = std::chrono::duration<double>(Clock::now() - idle_since).count();
      if (options_.idle_limit_seconds && idle > *options_.idle_limit_seconds) {
        log_info("no run to serve: the worker ends");
        break;
      }
      std::this_thread::sleep_for(kLook);
    }
    return total_;
  }

 private:
  bool stopping() const { return options_.stop_requested(); }

  std::optional<RunAnnouncement> choose() {
    bool others = false;
    for (RunAnnouncement& run : nats::announced_runs(client_)) {
      if (!run.running() || (!options_.run.empty() && run.run != options_.run)) continue;
      // A run that was resumed with another configuration is another run.
      if (refused_.contains(run.run + run.config_sha256)) continue;
      if (run.run == left_idle_) {
        others = true;
        continue;
      }
      return run;
    }
    if (others) left_idle_.clear();
    if (!told_waiting_) {
      log_info(options_.run.empty() ? "waiting for a run" : "waiting for run " + options_.run);
      told_waiting_ = true;
    }
    return std::nullopt;
  }

  void serve_run(const RunAnnouncement& run) {
    told_waiting_ = false;
    EvaluatorFactory factory;
    try {
      factory = open_(run);
    } catch (const Error& error) {
      if (error.code() != ExitCode::config && error.code() != ExitCode::data) throw;
      const std::string text =
          format_text("worker {} cannot serve run {}: {}", options_.name, run.run, error.what());
      client_.send(nats::notice_subject(run.run), text);
      if (!options_.run.empty()) throw;
      log_warning(text);
      refused_.insert(run.run + run.config_sha256);
      return;
    }
    log_info(format_text("serving run {} ({})", run.run, run.name));
    std::atomic<bool> over{false};
    Counts counts;
    {
      std::vector<std::thread> threads;
      for (int i = 0; i < options_.items_at_once; ++i) {
        threads.emplace_back([&, i] { work(run, factory, i, over, counts); });
      }
      watch(run, over, counts);
      for (std::thread& thread : threads) thread.join();
    }
    total_ += counts.items;
    log_info(format_text("run {}: {} items evaluated here", run.run, counts.items.load()));
  }

  void work(const RunAnnouncement& run, const EvaluatorFactory& factory, int index, std::atomic<bool>& over,
            Counts& counts) {
    try {
      NatsSource source(client_, run, [&] { return over || stopping(); });
      CountingSource counting(source, counts);
      run_worker(counting, factory,
                 options_.items_at_once == 1 ? options_.name : format_text("{}/{}", options_.name, index));
    } catch (const std::exception& error) {
      log_warning(format_text("run {}: {}", run.run, error.what()));
    }
    over = true;
  }

  /// Until the run is over, or has no items for this worker while another run waits.
  void watch(const RunAnnouncement& run, std::atomic<bool>& over, const Counts& counts) {
    constexpr auto kPatience = 30s;
    int64_t seen = 0;
    auto busy = Clock::now();
    const nats::Subscription pings = client_.listen(nats::ping_subject(run.run));
    while (!over && !stopping()) {
      answer_pings(pings, counts);
      if (!client_.connected()) continue;
      try {
        const auto value = client_.get(nats::bucket(run.run), nats::kAnnouncementKey);
        const bool same = value && parse_announcement(value->bytes).running() &&
                          parse_announcement(value->bytes).config_sha256 == run.config_sha256;
        if (!same) over = true;
        if (counts.items != seen || counts.in_hand > 0) busy = Clock::now();
        seen = counts.items;
        if (options_.run.empty() && Clock::now() - busy > kPatience && another_waits(run)) {
          left_idle_ = run.run;
          over = true;
        }
      } catch (const std::exception& error) {
        log_debug(format_text("run {}: {}", run.run, error.what()));
      }
    }
    over = true;
  }

  /// Waits as long for one.
  void answer_pings(const nats::Subscription& pings, const Counts& counts) {
    const auto end = Clock::now() + kLook;
    for (auto left = kLook; left > 0ms;
         left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now())) {
      if (const auto reply_to = client_.next_question(pings, left)) {
        client_.send(*reply_to, nats::to_json_text({options_.name, counts.items, counts.in_hand}));
      }
    }
  }

  bool another_waits(const RunAnnouncement& run) {
    const auto runs = nats::announced_runs(client_);
    return std::any_of(runs.begin(), runs.end(), [&](const RunAnnouncement& other) {
      return other.run != run.run && other.running() && !refused_.contains(other.run + other.config_sha256);
    });
  }

  const WorkerServiceOptions& options_;
  const OpenRun& open_;
  nats::NatsClient client_;
  std::set<std::string> refused_;
  std::string left_idle_;  ///< a run that had no items when others waited: its turn comes after theirs
  bool told_waiting_ = false;
  int64_t total_ = 0;
};

}  // namespace

int64_t serve_runs(const WorkerServiceOptions& options, const OpenRun& open) {
  return WorkerService(options, open).serve();
}

}  // namespace namm::evolution
