#include "evolution/batch.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "core/errors.h"
#include "core/journal.h"
#include "core/log.h"
#include "core/text.h"

namespace namm::evolution {
namespace {

constexpr std::chrono::milliseconds kGatherWait{100};

/// Collects the results of one batch.
class BatchRun {
 public:
  BatchRun(const BatchOptions& options, const RunDirectory& run, Queue& queue, std::vector<WorkItem> items,
           BatchCounts& counts)
      : options_(options),
        queue_(queue),
        counts_(counts),
        items_(std::move(items)),
        results_(items_.size()),
        failures_(items_.size(), 0),
        batch_(items_.front().id),
        journal_path_(run.journal(journal_name(batch_))),
        journal_(Journal::open(journal_path_, options.config_sha256)) {
    batch_.index = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      hashes_.push_back(items_[i].content_hash());
      if (!positions_.emplace(items_[i].id, i).second) {
        throw std::invalid_argument("Coordinator::run_batch: two items are " + describe(items_[i].id));
      }
    }
  }

  std::vector<WorkResult> finish() {
    read_journal();
    report_progress();
    if (done_ < items_.size()) {
      if (stop_requested()) {
        throw_interrupted();
      }
      std::vector<WorkItem> missing;
      for (std::size_t i = 0; i < items_.size(); ++i) {
        if (!results_[i]) {
          missing.push_back(items_[i]);
        }
      }
      for (const WorkItem& item : missing) {
        open_.insert(positions_.at(item.id));
      }
      queue_.publish(std::move(missing));
      try {
        gather();
      } catch (...) {
        queue_.withdraw();
        throw;
      }
    }
    queue_.forget(items_);
    std::vector<WorkResult> results;
    for (std::optional<WorkResult>& result : results_) {
      results.push_back(std::move(*result));
    }
    return results;
  }

 private:
  void read_journal() {
    if (journal_.contents().dropped_bytes > 0) {
      log_warning(format_text(
          "{}: {} bytes behind the last complete record were dropped; what they held is computed again",
          journal_path_.string(), journal_.contents().dropped_bytes));
    }
    for (const std::string& record : journal_.contents().records) {
      try {
        WorkResult result = decode_result(record);
        const auto found = positions_.find(result.id);
        if (found == positions_.end() || results_[found->second] || result.failed() ||
            misfit(found->second, result)) {
          continue;
        }
        results_[found->second] = std::move(result);
        ++done_;
      } catch (const DataError& error) {
        log_warning(format_text("{}: a record is ignored: {}", journal_path_.string(), error.what()));
      }
    }
  }

  /// Why a result cannot be that of the item, if so: such a one must not reach the journal, from where every
  /// resume would take it again.
  std::optional<std::string> misfit(std::size_t position, const WorkResult& result) const {
    if (result.content_hash != hashes_[position]) return "was computed for other candidates or settings";
    if (!has_shape_of(result, items_[position])) return "has another shape than the item";
    return std::nullopt;
  }

  void gather() {
    bool stopping = false;
    while (!open_.empty()) {
      if (!stopping && stop_requested()) {
        stopping = true;
        for (const ItemId& id : queue_.withdraw()) {
          open_.erase(positions_.at(id));
        }
        continue;
      }
      std::vector<WorkResult> results = queue_.gather(kGatherWait);
      try {
        for (WorkResult& result : results) {
          take(std::move(result), stopping);
        }
      } catch (...) {
        save();
        throw;
      }
      save();
    }
    if (done_ < items_.size()) {
      throw_interrupted();
    }
  }

  void take(WorkResult result, bool stopping) {
    const auto found = positions_.find(result.id);
    if (found == positions_.end()) {
      log_warning(format_text("a result of {} does not belong to the running batch and is ignored",
                              describe(result.id)));
      return;
    }
    const std::size_t position = found->second;
    if (results_[position]) {
      if (!result.failed() && !results_[position]->same_outcome(result)) {
        log_error(format_text("{} gave different results on {} and on {}; the first one counts",
                              describe(result.id), results_[position]->worker, result.worker));
      }
      return;
    }
    if (const auto reason = result.failed() ? std::nullopt : misfit(position, result)) {
      result.failure = format_text("the result from {} {}", result.worker, *reason);
      result.failure_code = ExitCode::infrastructure;
    }
    if (result.failed()) {
      handle_failure(position, result, stopping);
      return;
    }
    unsaved_.push_back(encode(result));
    counts_.reissued += result.delivery - 1;
    counts_.workers.insert(result.worker);
    results_[position] = std::move(result);
    ++done_;
    open_.erase(position);
  }

  /// What came in together is written together: a wait for the disk can take longer than an item.
  void save() {
    if (unsaved_.empty()) {
      return;
    }
    journal_.append(unsaved_);
    unsaved_.clear();
    report_progress();
  }

  void handle_failure(std::size_t position, const WorkResult& result, bool stopping) {
    if (is_users_fault(result.failure_code) && queue_.in_process()) {
      throw_failure(result, result.failure);
    }
    // An evaluator in this process may notice Ctrl-C first; elsewhere it is that worker's own.
    if (stopping || (result.failure_code == ExitCode::interrupted && stop_requested())) {
      open_.erase(position);
      return;
    }
    const int failures = ++failures_[position];
    if (failures >= options_.attempts) {
      throw_failure(
          result, format_text("{} failed {} times, the last time on {}: {}. The run's state is saved; repair "
                              "the cause and resume it",
                              describe(result.id), failures, result.worker, result.failure));
    }
    log_warning(format_text("{} failed on {} (attempt {} of {}): {}", describe(result.id), result.worker,
                            failures, options_.attempts, result.failure));
    WorkItem again = items_[position];
    again.attempt = failures + 1;
    ++counts_.reissued;
    queue_.publish({std::move(again)});
  }

  bool stop_requested() const { return options_.stop_requested && options_.stop_requested(); }

  [[noreturn]] void throw_interrupted() const {
    throw Interrupted(
        format_text("stopped with {} of {} items of stage {}, generation {} ({}) done and saved", done_,
                    items_.size(), batch_.stage, batch_.generation, to_string(batch_.purpose)));
  }

  void report_progress() const {
    if (options_.on_progress) {
      options_.on_progress(batch_, static_cast<int64_t>(done_), static_cast<int64_t>(items_.size()));
    }
  }

  const BatchOptions& options_;
  Queue& queue_;
  BatchCounts& counts_;
  std::vector<WorkItem> items_;
  std::vector<std::string> hashes_;
  std::map<ItemId, std::size_t> positions_;
  std::vector<std::optional<WorkResult>> results_;
  std::vector<std::string> unsaved_;  ///< records of results that are not in the journal yet
  std::vector<int> failures_;
  ItemId batch_;
  std::filesystem::path journal_path_;
  Journal journal_;
  std::size_t done_ = 0;
  std::set<std::size_t> open_;  ///< published and not yet back
};

}  // namespace

std::vector<WorkResult> compute_batch(std::vector<WorkItem> items, const BatchOptions& options,
                                      const RunDirectory& run, Queue& queue, BatchCounts& counts) {
  return BatchRun(options, run, queue, std::move(items), counts).finish();
}

std::string journal_name(const ItemId& batch) {
  return format_text("stage_{}_generation_{}_{}_{}.journal", batch.stage, batch.generation,
                     to_string(batch.purpose), batch.variant);
}

std::optional<ItemId> parse_journal_name(const std::string& name) {
  char purpose[16] = {};
  long long generation = 0;
  int stage = 0, variant = 0;
  // NOLINTNEXTLINE(cert-err34-c): the whole name must match
  const int found = std::sscanf(name.c_str(), "stage_%d_generation_%lld_%15[a-z]_%d.journal", &stage,
                                &generation, purpose, &variant);
  const auto known = parse_purpose(purpose);
  if (found != 4 || !known) return std::nullopt;
  const ItemId batch{stage, *known, generation, variant, 0};
  return journal_name(batch) == name ? std::optional(batch) : std::nullopt;
}

void discard_journal(const RunDirectory& run, const ItemId& batch) {
  std::error_code ignored;
  std::filesystem::remove(run.journal(journal_name(batch)), ignored);
}

}  // namespace namm::evolution
