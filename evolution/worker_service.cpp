#include "evolution/worker_service.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <system_error>
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

constexpr std::chrono::milliseconds kLook{500};
constexpr std::chrono::milliseconds kLongestPause{30000};
/// Others shall have taken the item by then, which would stop the run if it came back here.
constexpr std::chrono::milliseconds kAfterHopeless{1500};

/// What the threads that serve a run share.
struct State {
  std::atomic<int64_t> items{0};
  std::atomic<int64_t> in_hand{0};
  std::atomic<int> working{0};    ///< threads
  std::atomic<bool> over{false};  ///< no further items
};

/// An item source that counts what is in hand and what was posted.
class CountingSource : public ItemSource {
 public:
  CountingSource(ItemSource& source, State& state) : source_(source), state_(state) {}
  std::optional<WorkItem> claim(std::chrono::milliseconds wait) override {
    auto item = source_.claim(wait);
    if (item) ++state_.in_hand;
    return item;
  }
  bool renew(const WorkItem& item) override { return source_.renew(item); }
  std::chrono::milliseconds renew_interval() const override { return source_.renew_interval(); }
  void post(WorkResult result) override {
    source_.post(std::move(result));
    --state_.in_hand;
    ++state_.items;
  }
  bool closed() const override { return source_.closed(); }

 private:
  ItemSource& source_;
  State& state_;
};

/// A thread that hangs cannot be ended: the process is, and whatever supervises it starts another.
[[noreturn]] void end_hanging_process() {
  log_error("the worker ends, since the item may never do so");
  std::_Exit(static_cast<int>(ExitCode::infrastructure));
}

class WorkerService {
 public:
  WorkerService(const WorkerServiceOptions& options, const OpenRun& open)
      : options_(options),
        open_(open),
        client_(options.address, "namm worker " + options.name, true, options.stop_requested) {}

  int64_t serve() {
    auto idle_since = Clock::now();
    auto pause = kLook;
    while (!stopping()) {
      try {
        if (const auto run = choose()) {
          const int64_t before = total_;
          serve_run(*run);
          if (hopeless_.exchange(false)) {
            pause = kAfterHopeless;
          } else if (total_ > before) {
            pause = kLook;
          }
          if (total_ > before) idle_since = Clock::now();
        }
      } catch (const Interrupted&) {
        break;
      }
      const double idle = std::chrono::duration<double>(Clock::now() - idle_since).count();
      if (options_.idle_limit_seconds && idle > *options_.idle_limit_seconds) {
        log_info("no run to serve: the worker ends");
        break;
      }
      // A run whose streams are gone ends at once: it must not be opened again and again.
      for (auto slept = 0ms; slept < pause && !stopping(); slept += kLook) std::this_thread::sleep_for(kLook);
      pause = failed_ ? std::min<std::chrono::milliseconds>(2 * pause, kLongestPause) : kLook;
    }
    return total_;
  }

 private:
  bool stopping() const { return options_.stop_requested(); }

  std::optional<RunAnnouncement> choose() {
    bool others = false;
    std::vector<RunAnnouncement> runs = nats::announced_runs(client_);
    // What a run was refused for may be repaired until it runs again.
    std::erase_if(refused_, [&](const std::string& refused) {
      return std::none_of(runs.begin(), runs.end(),
                          [&](const auto& run) { return to_json_text(run) == refused; });
    });
    for (RunAnnouncement& run : runs) {
      if (!run.running() || (!options_.run.empty() && run.run != options_.run)) continue;
      // A run that was resumed by another build, or with other settings, is another run.
      if (refused_.contains(to_json_text(run))) continue;
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
      refused_.insert(to_json_text(run));
      return;
    }
    log_info(format_text("serving run {} ({})", run.run, run.name));
    // Before the threads, since it may throw.
    const nats::Subscription pings = client_.listen(nats::ping_subject(run.run));
    failed_ = false;
    State state;
    {
      std::vector<std::jthread> threads;
      try {
        for (int i = 0; i < options_.items_at_once; ++i) {
          ++state.working;
          threads.emplace_back([&, i] { work(run, factory, i, state); });
        }
      } catch (const std::system_error& error) {
        state.over = true;
        throw InfrastructureError(
            format_text("thread {} of {} cannot be made ({}): choose fewer with --threads",
                        threads.size() + 1, options_.items_at_once, error.what()));
      }
      watch(run, pings, state);
    }
    total_ += state.items;
    log_info(format_text("run {}: {} items evaluated here", run.run, state.items.load()));
  }

  void work(const RunAnnouncement& run, const EvaluatorFactory& factory, int index, State& state) {
    try {
      NatsSource source(
          client_, run, [&] { return state.over || stopping(); }, [] { end_hanging_process(); });
      CountingSource counting(source, state);
      const auto failure = run_worker(
          counting, factory,
          options_.items_at_once == 1 ? options_.name : format_text("{}/{}", options_.name, index));
      if (failure) {
        log_warning(format_text("run {}: {}; the run is left and opened anew", run.run, *failure));
        hopeless_ = true;
      }
    } catch (const std::exception& error) {
      log_warning(format_text("run {}: {}", run.run, error.what()));
      failed_ = true;
    }
    state.over = true;
    --state.working;
  }

  /// Until the run is over, or has no items for this worker while another run waits. Pings are answered until
  /// the last item in hand has ended.
  void watch(const RunAnnouncement& run, const nats::Subscription& pings, State& state) {
    constexpr auto kPatience = 30s;
    int64_t seen = 0;
    auto busy = Clock::now();
    while (state.working > 0) {
      answer_pings(pings, state);
      if (client_.closed()) state.over = true;
      if (state.over || stopping() || !client_.connected()) continue;
      try {
        const auto value = client_.get(nats::kAnnouncements, run.run);
        if (!value || value->bytes != to_json_text(run)) state.over = true;
        if (state.items != seen || state.in_hand > 0) busy = Clock::now();
        seen = state.items;
        if (options_.run.empty() && Clock::now() - busy > kPatience && another_waits(run)) {
          left_idle_ = run.run;
          state.over = true;
        }
      } catch (const std::exception& error) {
        log_debug(format_text("run {}: {}", run.run, error.what()));
      }
    }
  }

  /// Waits as long for one.
  void answer_pings(const nats::Subscription& pings, const State& state) {
    const auto end = Clock::now() + kLook;
    for (auto left = kLook; left > 0ms && state.working > 0;
         left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now())) {
      if (const auto reply_to = client_.next_question(pings, left)) {
        client_.send(*reply_to, nats::to_json_text({options_.name, state.items, state.in_hand}));
      }
    }
  }

  bool another_waits(const RunAnnouncement& run) {
    const auto runs = nats::announced_runs(client_);
    return std::any_of(runs.begin(), runs.end(), [&](const RunAnnouncement& other) {
      return other.run != run.run && other.running() && !refused_.contains(to_json_text(other));
    });
  }

  const WorkerServiceOptions& options_;
  const OpenRun& open_;
  nats::NatsClient client_;
  std::set<std::string> refused_;
  std::string left_idle_;  ///< a run that had no items when others waited: its turn comes after theirs
  bool told_waiting_ = false;
  std::atomic<bool> failed_{false};    ///< the run that was served last could not be
  std::atomic<bool> hopeless_{false};  ///< by configuration or data of this machine
  int64_t total_ = 0;
};

}  // namespace

int64_t serve_runs(const WorkerServiceOptions& options, const OpenRun& open) {
  return WorkerService(options, open).serve();
}

}  // namespace namm::evolution
