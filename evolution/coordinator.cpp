#include "evolution/coordinator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"

namespace namm::evolution {
namespace {

/// A row's stage and generation; a row without them is older than everything.
std::pair<int64_t, int64_t> place_of(const nlohmann::json& row) {
  const auto number = [&](const char* key) {
    return row.contains(key) && row[key].is_number_integer() ? row[key].get<int64_t>() : -1;
  };
  return {number("stage"), number("generation")};
}

/// One evolve stage from its first checkpoint to its last.
class EvolveStage {
 public:
  EvolveStage(const CoordinatorOptions& options, const RunDirectory& run, Coordinator& coordinator,
              const EvolutionProblem& problem, Optimizer& optimizer, const EvolveSettings& settings)
      : options_(options),
        run_(run),
        coordinator_(coordinator),
        problem_(problem),
        optimizer_(optimizer),
        settings_(settings),
        validation_samples_(settings.validate_every > 0 ? problem.validation_samples()
                                                        : std::vector<SampleId>()) {}

  StageOutcome finish(BatchCounts& counts) {
    if (!resume()) {
      start();
    }
    while (current_.stage == options_.stage && current_.generation < last_generation() &&
           run_generation(counts)) {
    }
    StageOutcome outcome;
    if (current_.stage == options_.stage) {
      if (validation_reference() != nullptr) {
        outcome.validation_reference = validation_reference_;
      }
      discard_journal(run_, reference_id());
    }
    outcome.mean.assign(optimizer_.mean().begin(), optimizer_.mean().end());
    outcome.best = current_.best;
    if (outcome.best.mean.empty()) {
      outcome.best.generation = current_.generation;
      outcome.best.mean = outcome.mean;
    }
    outcome.statistics = current_.statistics;
    outcome.origin = current_.origin;
    outcome.generation = current_.generation;
    outcome.state_sha256 = current_.state_sha256();
    outcome.stop = optimizer_.stop();
    return outcome;
  }

 private:
  ItemId id_of(Purpose purpose, int64_t generation) const {
    return {options_.stage, purpose, generation, 0, 0};
  }
  /// The reference scores of the validation samples: computed once a stage.
  ItemId reference_id() const {
    return {options_.stage, Purpose::reference, current_.first_generation, 1, 0};
  }
  int64_t last_generation() const { return current_.first_generation + settings_.generations; }

  bool resume() {
    std::optional<Checkpoint> saved = newest_checkpoint(run_);
    std::vector<nlohmann::json> rows = run_.log_rows();
    if (!saved) {
      if (!rows.empty()) {
        throw DataError(
            format_text("{}: log.jsonl has {} rows but there is no checkpoint, so the run cannot be resumed; "
                        "start it anew with another --out",
                        run_.path().string(), rows.size()));
      }
      return false;
    }
    if (saved->config_sha256 != options_.config_sha256) {
      throw DataError(format_text(
          "{}: its checkpoints were written with another configuration, model or data; resume with the run's "
          "own config.yaml and files, or start anew with another --out",
          run_.path().string()));
    }
    // What a complete stage left stands, even where its last checkpoint does not.
    const bool begins = saved->stage < options_.stage;
    const std::pair<int64_t, int64_t> next{begins ? options_.stage : saved->stage,
                                           begins ? -1 : saved->generation};
    std::erase_if(rows, [&](const nlohmann::json& row) { return place_of(row) >= next; });
    // Killed between checkpoint and row: the checkpoint carries the row.
    if (!saved->log_row.empty()) {
      nlohmann::json row = parse_json(saved->log_row, "log row of the checkpoint");
      if (rows.empty() || place_of(rows.back()) < place_of(row)) {
        rows.push_back(std::move(row));
      }
    }
    // In any case: a torn last row must not stay before the next one.
    run_.replace_log(rows);
    if (begins) {
      generations_before_ = saved->generation;
      return false;
    }
    optimizer_.restore(saved->optimizer);
    current_ = std::move(*saved);
    if (current_.stage == options_.stage) {
      discard_journals(current_.generation - 1);
      log_info(format_text("stage {} goes on at generation {} of {}", options_.stage, current_.generation,
                           last_generation()));
    }
    return true;
  }

  void start() {
    current_ = {};
    current_.stage = options_.stage;
    current_.first_generation = current_.generation =
        std::max({generations_before_, options_.first_generation, optimizer_.generation()});
    current_.config_sha256 = options_.config_sha256;
    current_.origin = options_.origin;
    const std::vector<SampleId> samples = problem_.calibration_samples();
    std::vector<WorkResult> results;
    if (!samples.empty()) {
      auto items = partition(id_of(Purpose::calibrate, current_.generation), nullptr, samples, 1,
                             options_.schedule.samples_per_item, shared(Purpose::calibrate));
      results = coordinator_.run_batch(std::move(items));
    }
    current_.statistics = problem_.merge_calibration(results);
    save();
    discard_journals(current_.generation - 1);
  }

  /// Checkpoint of the state before `current_.generation` is published.
  void save() {
    current_.optimizer = optimizer_.state();
    current_.samples = problem_.samples(current_.generation);
    write_checkpoint(run_.checkpoint(current_.generation), current_);
    run_.remove_old_checkpoints(options_.schedule.keep_checkpoints);
  }

  std::shared_ptr<const std::string> shared(Purpose purpose) const {
    return std::make_shared<const std::string>(problem_.shared_bytes(purpose, current_.statistics));
  }

  /// False: the optimiser stopped.
  bool run_generation(BatchCounts& counts) {
    const auto begin = std::chrono::steady_clock::now();
    const int64_t reissued_before = counts.reissued;
    counts.workers.clear();
    GenerationRow row;
    row.generation = current_.generation;
    row.stage = options_.stage;

    const std::vector<double> x = optimizer_.ask();
    if (const auto reason = optimizer_.stop()) {
      return report_stop(*reason);
    }
    const auto candidates = make_candidates(optimizer_.population(), optimizer_.dimension(), x);
    const Reduction reduction = evaluate_population(candidates, row);
    if (static_cast<int64_t>(reduction.fitness.size()) != optimizer_.population()) {
      throw std::logic_error("EvolutionProblem::reduce must give one fitness per member");
    }
    row.cache_fraction = reduction.cache_fraction;
    row.extra = reduction.extra;
    summarise(reduction.fitness, row);
    const TellReport report = optimizer_.tell(reduction.fitness);
    if (!report.updated) {
      // A resume would take the same results from there, also when their cause is repaired.
      discard_journal(run_, id_of(Purpose::population, current_.generation));
      if (const auto reason = optimizer_.stop()) {
        return report_stop(*reason);
      }
      throw InfrastructureError(format_text(
          "stage {}, generation {}: the fitness of all {} members is NaN or infinite, there is nothing to "
          "rank. The state before this generation is saved and a resume computes it again; look for the "
          "cause in the model, its data type or the fitness",
          options_.stage, current_.generation, optimizer_.population()));
    }
    if (row.non_finite > 0) {
      log_warning(format_text("generation {}: {} of {} members have a NaN or infinite fitness and rank last",
                              current_.generation, row.non_finite, std::ssize(reduction.fitness)));
    }
    const auto reason = optimizer_.stop();
    const auto alarm = optimizer_.alarm();
    if (alarm && !alarmed_) {
      log_warning(format_text("generation {}: {}", current_.generation, *alarm));
    }
    alarmed_ = alarm.has_value();
    row.sigma = optimizer_.sigma();
    validate_if_due(row, reason.has_value());

    ++current_.generation;
    current_.optimizer = optimizer_.state();
    current_.samples = problem_.samples(current_.generation);
    row.state_sha256 = current_.state_sha256();
    row.reissued = counts.reissued - reissued_before;
    row.workers = std::ssize(counts.workers);
    row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const nlohmann::json json = to_json(row);
    current_.log_row = to_json_text(json);
    write_checkpoint(run_.checkpoint(current_.generation), current_, row.state_sha256);
    run_.append_log_row(json);
    run_.remove_old_checkpoints(options_.schedule.keep_checkpoints);
    discard_journals(row.generation);
    if (options_.on_generation) {
      options_.on_generation(row);
    }
    return reason ? report_stop(*reason) : true;
  }

  Reduction evaluate_population(const std::shared_ptr<const CandidateMatrix>& candidates,
                                GenerationRow& row) {
    const std::vector<SampleId>& samples = current_.samples;
    const ScheduleConfig& schedule = options_.schedule;
    std::vector<WorkItem> items =
        partition(id_of(Purpose::population, current_.generation), candidates, samples,
                  schedule.members_per_item, schedule.samples_per_item, shared(Purpose::population));
    if (items.empty()) {
      throw std::logic_error("EvolutionProblem::samples gave no sample");
    }
    const std::size_t population_items = items.size();
    row.evaluations = candidates->rows * static_cast<int64_t>(samples.size());
    const bool relative = problem_.needs_reference(Purpose::population);
    if (relative) {
      auto reference = partition(id_of(Purpose::reference, current_.generation), nullptr, samples, 1,
                                 schedule.samples_per_item, shared(Purpose::reference));
      std::move(reference.begin(), reference.end(), std::back_inserter(items));
      row.evaluations += static_cast<int64_t>(samples.size());
    }
    const std::vector<WorkResult> results = coordinator_.run_batch(items);
    const std::span all_items(items);
    const std::span all_results(results);
    const RecordTable table = assemble(all_items.first(population_items), all_results.first(population_items),
                                       candidates->rows, samples);
    if (!relative) {
      return problem_.reduce(table, nullptr);
    }
    const RecordTable reference =
        assemble(all_items.subspan(population_items), all_results.subspan(population_items), 1, samples);
    return problem_.reduce(table, &reference);
  }

  /// The reference on the validation samples, computed once; null where nothing needs it.
  const RecordTable* validation_reference() {
    if (validation_samples_.empty() || !problem_.needs_reference(Purpose::validation)) {
      return nullptr;
    }
    if (!validation_reference_) {
      const auto items = partition(reference_id(), nullptr, validation_samples_, 1,
                                   options_.schedule.samples_per_item, shared(Purpose::reference));
      validation_reference_ = assemble(items, coordinator_.run_batch(items), 1, validation_samples_);
    }
    return &*validation_reference_;
  }

  void validate_if_due(GenerationRow& row, bool stopped) {
    const int64_t told = current_.generation + 1;
    const bool due = settings_.validate_every > 0 && !validation_samples_.empty() &&
                     (stopped || (told - current_.first_generation) % settings_.validate_every == 0 ||
                      told == last_generation());
    if (!due) {
      return;
    }
    const RecordTable* const reference = validation_reference();
    // Belongs to the first validation, also where a resumed run takes it from the journal for a later one.
    if (reference != nullptr && told - current_.first_generation <= settings_.validate_every) {
      row.evaluations += static_cast<int64_t>(validation_samples_.size());
    }
    const std::span<const double> mean = optimizer_.mean();
    const auto candidates = make_candidates(1, optimizer_.dimension(), {mean.begin(), mean.end()});
    const auto items =
        partition(id_of(Purpose::validation, current_.generation), candidates, validation_samples_, 1,
                  options_.schedule.samples_per_item, shared(Purpose::validation));
    const RecordTable table = assemble(items, coordinator_.run_batch(items), 1, validation_samples_);
    row.evaluations += static_cast<int64_t>(validation_samples_.size());
    const Reduction reduction = problem_.reduce_validation(table, reference);
    row.validation = reduction.fitness.at(0);
    row.extra.emplace_back("validation_cache_fraction", reduction.cache_fraction);
    BestMean& best = current_.best;
    if (std::isfinite(*row.validation) && (best.mean.empty() || *row.validation > best.validation)) {
      best = {told, *row.validation, {mean.begin(), mean.end()}};
    }
  }

  void discard_journals(int64_t generation) {
    discard_journal(run_, id_of(Purpose::population, generation));
    discard_journal(run_, id_of(Purpose::validation, generation));
    discard_journal(run_, id_of(Purpose::calibrate, current_.first_generation));
  }

  bool report_stop(const std::string& reason) {
    log_warning(
        format_text("stage {} ends at generation {}: {}", options_.stage, current_.generation, reason));
    return false;
  }

  const CoordinatorOptions& options_;
  const RunDirectory& run_;
  Coordinator& coordinator_;
  const EvolutionProblem& problem_;
  Optimizer& optimizer_;
  const EvolveSettings& settings_;
  std::vector<SampleId> validation_samples_;
  std::optional<RecordTable> validation_reference_;
  Checkpoint current_;
  int64_t generations_before_ = 0;  ///< of the stages before: a run counts its generations through
  bool alarmed_ = false;
};

}  // namespace

Coordinator::Coordinator(CoordinatorOptions options, const RunDirectory& run, Queue& queue)
    : options_(std::move(options)), run_(run), queue_(queue) {}

std::vector<WorkResult> Coordinator::run_batch(std::vector<WorkItem> items) {
  if (items.empty()) {
    return {};
  }
  return compute_batch(std::move(items), options_, run_, queue_, counts_);
}

StageOutcome Coordinator::evolve(const EvolutionProblem& problem, Optimizer& optimizer,
                                 const EvolveSettings& settings) {
  EvolveStage stage(options_, run_, *this, problem, optimizer, settings);
  return stage.finish(counts_);
}

}  // namespace namm::evolution
