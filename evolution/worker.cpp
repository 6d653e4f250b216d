#include "evolution/worker.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>

#include "core/text.h"

namespace namm::evolution {
namespace {

constexpr std::chrono::milliseconds kClaimWait{500};

/// Prolongs the lease of an item while it is being evaluated.
class LeaseKeeper {
 public:
  LeaseKeeper(ItemSource& source, const WorkItem& item) {
    const std::chrono::milliseconds interval = source.renew_interval();
    if (interval.count() == 0) {
      return;
    }
    thread_ = std::thread([this, &source, &item, interval] {
      std::unique_lock lock(mutex_);
      while (!changed_.wait_for(lock, interval, [this] { return done_; })) {
        source.renew(item);
      }
    });
  }
  ~LeaseKeeper() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  LeaseKeeper(const LeaseKeeper&) = delete;
  LeaseKeeper& operator=(const LeaseKeeper&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

WorkResult failure(ExitCode code, const std::string& reason) {
  WorkResult result;
  result.failure = reason.empty() ? "failed without a reason" : reason;
  result.failure_code = code;
  return result;
}

WorkResult evaluate(Evaluator& evaluator, const EvaluatorFactory& factory, const WorkItem& item) {
  try {
    if (!evaluator) {
      evaluator = factory();
    }
    WorkResult result = evaluator(item);
    result.rows = item.rows();
    result.samples = std::ssize(item.samples);
    if (!result.failed() && !has_shape_of(result, item)) {
      return failure(ExitCode::infrastructure,
                     format_text("the evaluator returned {} records for {} rows x {} samples",
                                 result.records.size(), result.rows, result.samples));
    }
    return result;
  } catch (const Error& error) {
    return failure(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return failure(ExitCode::infrastructure, "out of memory");
  } catch (const std::exception& error) {
    return failure(ExitCode::infrastructure, error.what());
  } catch (...) {
    return failure(ExitCode::infrastructure, "an exception of unknown type");
  }
}

}  // namespace

std::optional<std::string> run_worker(ItemSource& source, const EvaluatorFactory& factory,
                                      const std::string& name) {
  Evaluator evaluator;
  while (!source.closed()) {
    const std::optional<WorkItem> item = source.claim(kClaimWait);
    if (!item) {
      continue;
    }
    const auto start = std::chrono::steady_clock::now();
    WorkResult result;
    {
      const LeaseKeeper keeper(source, *item);
      result = evaluate(evaluator, factory, *item);
    }
    result.id = item->id;
    result.attempt = item->attempt;
    result.delivery = item->delivery;
    result.content_hash = item->content_hash();
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    // An evaluator may name its device; the loop's name says which worker it was.
    result.worker = result.worker.empty() ? name : name + ", " + result.worker;
    const bool hopeless = result.failed() && is_users_fault(result.failure_code);
    std::string failure = result.failure;
    source.post(std::move(result));
    if (hopeless) {
      return failure;
    }
  }
  return std::nullopt;
}

}  // namespace namm::evolution
