#include "evolution/worker_service.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <system_error>
#include <thread>
#include <tuple>

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
  void renew(const WorkItem& item) override { source_.renew(item); }
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
            left_in_vain_[run->run] = Clock::now();
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

  /// Runs that this worker can serve.
  std::vector<RunAnnouncement> open_runs() {
    std::vector<RunAnnouncement> runs = nats::announced_runs(client_);
    // What a run was refused for may be repaired until it runs again.
    std::erase_if(refused_, [&](const std::string& refused) {
      return std::none_of(runs.begin(), runs.end(),
                          [&](const auto& run) { return to_json_text(run) == refused; });
    });
    std::erase_if(runs, [&](const RunAnnouncement& run) {
      // A run that was resumed by another build, or with other settings, is another run.
      return !run.running() || (!options_.run.empty() && run.run != options_.run) ||
             refused_.contains(to_json_text(run));
    });
    return runs;
  }

  bool has_waiting_items(const std::string& run) {
    const auto items = client_.consumer_state(nats::items_stream(run), nats::kWorkersConsumer);
    return items && items->pending > 0;
  }

  /// Lately; another run is then better, even one that has no items at the moment.
  bool was_left_in_vain(const std::string& run) const {
    const auto left = left_in_vain_.find(run);
    return left != left_in_vain_.end() && Clock::now() - left->second < 4 * patience_;
  }

  /// Of the runs that have items to give the one with the fewest workers; which of equals differs from worker
  /// to worker.
  std::optional<RunAnnouncement> choose() {
    std::vector<RunAnnouncement> runs = open_runs();
    if (runs.empty()) {
      if (!told_waiting_) {
        log_info(options_.run.empty() ? "waiting for a run" : "waiting for run " + options_.run);
        told_waiting_ = true;
      }
      return std::nullopt;
    }
    if (runs.size() == 1) return std::move(runs.front());
    std::vector<std::string> names;
    for (const RunAnnouncement& run : runs) names.push_back(run.run);
    const auto workers = nats::ask_workers(client_, names);
    std::size_t best = 0;
    std::optional<std::tuple<bool, bool, std::size_t, std::size_t>> least;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const std::tuple rank(was_left_in_vain(names[i]), !has_waiting_items(names[i]), workers[i].size(),
                            std::hash<std::string>{}(options_.name + names[i]));
      if (least && rank >= *least) continue;
      least = rank;
      best = i;
    }
    return std::move(runs[best]);
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
        threads.emplace_back([&] { answer_pings(pings, state); });
      } catch (const std::system_error& error) {
        state.over = true;
        throw InfrastructureError(
            format_text("thread {} of {} cannot be made ({}): choose fewer with --threads",
                        threads.size() + 1, options_.items_at_once + 1, error.what()));
      }
      watch(run, state);
    }
    total_ += state.items;
    log_info(format_text("run {}: {} items evaluated here", run.run, state.items.load()));
  }

  void work(const RunAnnouncement& run, const EvaluatorFactory& factory, int index, State& state) {
    try {
      const std::string name =
          options_.items_at_once == 1 ? options_.name : format_text("{}/{}", options_.name, index);
      NatsSource source(
          client_, run, name, [&] { return state.over || stopping(); }, [] { end_hanging_process(); });
      CountingSource counting(source, state);
      if (const auto failure = run_worker(counting, factory, name)) {
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

  /// Until the run is over, or another run needs this worker more.
  void watch(const RunAnnouncement& run, State& state) {
    int64_t seen = 0;
    auto busy = Clock::now();
    auto next_look = busy + next_period();
    for (; state.working > 0; std::this_thread::sleep_for(kLook)) {
      if (client_.closed()) state.over = true;
      if (state.over || stopping() || !client_.connected()) continue;
      try {
        const auto value = client_.get(nats::kAnnouncements, run.run);
        if (!value || value->bytes != to_json_text(run)) state.over = true;
        if (state.items != seen || state.in_hand > 0) busy = Clock::now();
        seen = state.items;
        if (!options_.run.empty() || state.over || Clock::now() < next_look) continue;
        const bool idle = Clock::now() - busy > patience_;
        if (idle) left_in_vain_[run.run] = Clock::now();
        if (is_needed_elsewhere(run, idle)) state.over = true;
        next_look = Clock::now() + next_period();
      } catch (const std::exception& error) {
        log_debug(format_text("run {}: {}", run.run, error.what()));
      }
    }
  }

  /// Not the same for all workers, which would change over together.
  std::chrono::milliseconds next_period() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        patience_ * std::uniform_real_distribution(0.5, 1.5)(draw_));
  }

  /// Whether another run has items waiting, and fewer workers by two or more: then as many leave, by chance,
  /// as are more than the runs' mean. Who is idle leaves for any run with items.
  bool is_needed_elsewhere(const RunAnnouncement& run, bool idle) {
    std::vector<std::string> names = {run.run};
    for (const RunAnnouncement& other : open_runs()) {
      if (other.run == run.run || was_left_in_vain(other.run)) continue;
      if (has_waiting_items(other.run)) names.push_back(other.run);
    }
    if (names.size() == 1) return false;
    if (idle) return true;
    std::size_t all = 0, least = SIZE_MAX;
    const auto workers = nats::ask_workers(client_, names);
    for (const auto& answers : workers) {
      all += answers.size();
      least = std::min(least, answers.size());
    }
    const std::size_t here = workers.front().size();
    if (here < least + 2) return false;
    const double mean = static_cast<double>(all) / static_cast<double>(names.size());
    const double share = 1 - mean / static_cast<double>(here);
    if (std::uniform_real_distribution(0.0, 1.0)(draw_) >= share) return false;
    log_info(
        format_text("run {} has {} workers and another {}: this one changes over", run.run, here, least));
    return true;
  }

  /// Until the last item in hand has ended.
  void answer_pings(const nats::Subscription& pings, const State& state) {
    while (state.working > 0) {
      if (const auto reply_to = client_.next_question(pings, kLook)) {
        client_.send(*reply_to, nats::to_json_text({options_.name, state.items, state.in_hand}));
      }
    }
  }

  const WorkerServiceOptions& options_;
  const OpenRun& open_;
  nats::NatsClient client_;
  std::set<std::string> refused_;
  std::map<std::string, Clock::time_point> left_in_vain_;  ///< when a run was of no use here
  std::chrono::duration<double> patience_{options_.patience_seconds};
  std::mt19937 draw_{std::random_device{}()};
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
