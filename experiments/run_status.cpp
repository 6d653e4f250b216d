#include "experiments/run_status.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/journal.h"
#include "core/run_directory.h"
#include "core/text.h"
#include "evolution/batch.h"
#include "evolution/work_item.h"
#include "experiments/experiment.h"
#include "experiments/generation_line.h"
#include "experiments/results.h"
#include "experiments/stage_answer.h"
#include "experiments/stage_work.h"

namespace namm::experiments {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// Files of a folder; none where it cannot be read.
std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    files.push_back(entry->path());
  std::ranges::sort(files);
  return files;
}

std::optional<double> seconds_since_change(const RunDirectory& run) {
  std::optional<fs::file_time_type> newest;
  for (const auto& folder : {run.path(), run.path() / "checkpoints", run.path() / "journal"}) {
    for (const auto& file : files_of(folder)) {
      std::error_code error;
      if (!fs::is_regular_file(file, error)) continue;
      const auto time = fs::last_write_time(file, error);
      if (!error && (!newest || time > *newest)) newest = time;
    }
  }
  if (!newest) return std::nullopt;
  return std::max(0.0, std::chrono::duration<double>(fs::file_time_type::clock::now() - *newest).count());
}

int64_t integer_of(const nlohmann::json& row, const char* key) {
  return static_cast<int64_t>(number_of(row, key).value_or(-1));
}

/// What the rows of a stage tell.
void read_rows(const std::vector<nlohmann::json>& rows, StageStatus& stage) {
  if (rows.empty()) return;
  stage.told = integer_of(rows.back(), "generation") - integer_of(rows.front(), "generation") + 1;
  stage.next_generation = integer_of(rows.back(), "generation") + 1;
  stage.scores = scores_of(rows.back());
  for (const auto& row : rows) {
    stage.reissued += static_cast<int64_t>(number_of(row, "reissued").value_or(0));
    const auto validation = number_of(row, "validation");
    if (!validation) continue;
    stage.scores.validation = validation;
    if (stage.best_validation && !(*validation > *stage.best_validation)) continue;
    stage.best_validation = validation;
    stage.best_generation = integer_of(row, "generation") + 1;
  }
  stage.pace = pace_of(rows);
}

BatchStatus read_batch(const fs::path& file, const evolution::ItemId& id, const std::string& identity) {
  BatchStatus batch;
  batch.purpose = evolution::to_string(id.purpose);
  batch.generation = id.generation;
  batch.variant = id.variant;
  std::set<evolution::ItemId> items;
  std::set<std::string> workers;
  for (const auto& record : Journal::read(file, identity).records) {
    const auto result = evolution::decode_result(record);
    if (result.failed() || !items.insert(result.id).second) continue;
    workers.insert(result.worker);
    batch.mean_seconds += result.seconds;
  }
  batch.done = std::ssize(items);
  batch.workers = std::ssize(workers);
  if (batch.done > 0) batch.mean_seconds /= static_cast<double>(batch.done);
  return batch;
}

/// Reads the parts of a run one by one; what is damaged becomes a problem.
class Reader {
 public:
  explicit Reader(const fs::path& path) : run_(RunDirectory::open_to_read(path)) {
    config_ = read_config<ExperimentConfig>(ConfigDocument::load(run_.config()));
  }

  RunStatus read() {
    status_.path = run_.path();
    status_.name = config_.name;
    const bool running = RunDirectory::in_use(run_.path());
    status_.seconds_since_change = seconds_since_change(run_);
    std::vector<nlohmann::json> rows;
    attempt([&] { rows = run_.log_rows(); });
    attempt([&] { read_identity(); });
    attempt([&] { read_evaluated(); });
    for (size_t i = 0; i < config_.stages.size(); ++i) read_stage(i, rows);
    read_journals();
    for (StageStatus& stage : status_.stages) estimate(stage);
    read_checkpoints(running);
    const bool complete = std::ranges::all_of(status_.stages, [](auto& s) { return s.state == "complete"; });
    status_.state = running ? "running" : complete ? "complete" : "stopped";
    return std::move(status_);
  }

 private:
  template <class Action>
  void attempt(Action action) {
    try {
      action();
    } catch (const Error& error) {
      status_.problems.emplace_back(error.what());
    }
  }

  void read_identity() {
    const auto facts = run_.read_provenance();
    if (facts.is_object() && facts.contains("config_sha256") && facts["config_sha256"].is_string())
      identity_ = facts["config_sha256"].get<std::string>();
  }

  void read_evaluated() {
    if (!is_there(run_.results())) return;
    for (const auto& stage : read_results(run_.results())) evaluated_.insert(stage.stage);
  }

  void read_stage(size_t index, const std::vector<nlohmann::json>& rows) {
    const StageConfig& config = config_.stages[index];
    StageStatus stage;
    stage.name = config_.stage_name(index);
    stage.evolves = config.evolve.has_value();
    bool complete = evaluated_.contains(stage.name);
    if (stage.evolves) {
      stage.generations = config.evolve->generations;
      read_rows(rows_of_stage(rows, static_cast<int64_t>(index)), stage);
      complete = is_there(answer_file(config_, run_, index));
    }
    // Stages run one after another.
    const bool first_open =
        std::ranges::all_of(status_.stages, [](auto& s) { return s.state == "complete"; });
    stage.state = complete ? "complete" : first_open ? "begun" : "waiting";
    status_.stages.push_back(std::move(stage));
  }

  void read_journals() {
    std::map<int32_t, std::optional<StageWork>> works;
    for (const auto& file : files_of(run_.path() / "journal")) {
      const auto id = evolution::parse_journal_name(file.filename().string());
      const bool known = id && id->stage >= 0 && id->stage < std::ssize(config_.stages);
      if (!known || identity_.empty()) continue;
      try {
        BatchStatus batch = read_batch(file, *id, identity_);
        StageStatus& stage = status_.stages[static_cast<size_t>(id->stage)];
        const int64_t told = stage.told > 0 ? id->generation - (stage.next_generation - stage.told) : 0;
        if (!works.contains(id->stage)) works[id->stage] = work_of(static_cast<size_t>(id->stage));
        if (const auto& work = works[id->stage]) batch.total = work->items_of(*id, told);
        stage.batches.push_back(std::move(batch));
      } catch (const Error& error) {
        // A journal goes away when its generation is complete.
        if (is_there(file)) status_.problems.emplace_back(error.what());
      }
    }
  }

  /// Nothing where the stage's tasks cannot be opened any more, which is no fault of the run's.
  std::optional<StageWork> work_of(size_t index) const {
    try {
      const auto tasks = open_or_expect_tasks(config_, index, config_.model.max_positions);
      return stage_work(config_, index, tasks.pointers());
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  static void estimate(StageStatus& stage) {
    if (stage.state != "begun") return;
    if (!stage.evolves) {
      for (const auto& batch : stage.batches) {
        if (batch.done == 0 || !batch.total) continue;
        stage.seconds_left = static_cast<double>(*batch.total - batch.done) * batch.mean_seconds /
                             static_cast<double>(batch.workers);
      }
      return;
    }
    if (stage.told == 0) return;
    double left = static_cast<double>(stage.generations - stage.told);
    for (const auto& batch : stage.batches) {
      const bool next = batch.purpose == "population" && batch.generation == stage.next_generation;
      if (next && batch.total && *batch.total > 0)
        left -= static_cast<double>(batch.done) / static_cast<double>(*batch.total);
    }
    stage.seconds_left = std::max(0.0, left) * stage.pace.seconds_per_generation;
  }

  /// The checksums of checkpoints are looked at where nobody writes them any more.
  void read_checkpoints(bool running) {
    attempt([&] {
      const auto files = run_.checkpoints();
      if (files.empty()) return;
      const auto name = [](const CheckpointFile& file) { return file.path.filename().string(); };
      status_.checkpoint = name(files.back());
      if (running) return;
      const auto intact = run_.newest_checkpoint();
      if (!intact) {
        status_.checkpoint.clear();
        throw DataError(format_text("{}: none of its {} checkpoints is intact: the run cannot be resumed",
                                    run_.path().string(), files.size()));
      }
      status_.checkpoint = name(*intact);
      if (intact->generation != files.back().generation) {
        throw DataError(format_text("{} is damaged: a resume goes on from {}", files.back().path.string(),
                                    status_.checkpoint));
      }
    });
  }

  RunDirectory run_;
  ExperimentConfig config_;
  std::string identity_;
  std::set<std::string> evaluated_;
  RunStatus status_;
};

template <class Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string rounded(double value) {
  return format_text("{}", std::round(value * 1e4) / 1e4);
}

std::string text_of(const StageStatus& stage) {
  if (stage.state == "waiting") return "not begun";
  if (!stage.evolves) return stage.state == "complete" ? "evaluated" : "evaluating";
  return format_text("generation {} of {}{}", stage.told, stage.generations,
                     stage.state == "complete" ? ", complete" : "");
}

void append_numbers(const StageStatus& stage, std::string& text) {
  auto numbers = words_of(stage.scores);
  if (stage.best_validation) {
    numbers.push_back(format_text("best validation {} after generation {}", rounded(*stage.best_validation),
                                  stage.best_generation));
  }
  if (stage.reissued > 0) numbers.push_back(format_text("{} items handed out again", stage.reissued));
  if (!numbers.empty()) text += format_text("    {}\n", join(numbers, ", "));
  if (const auto pace = words_of(stage.pace); !pace.empty())
    text += format_text("    {}\n", join(pace, ", "));
}

}  // namespace

RunStatus read_run_status(const fs::path& path) {
  return Reader(path).read();
}

nlohmann::ordered_json to_json(const RunStatus& status) {
  Json json{{"path", status.path.string()},
            {"name", status.name},
            {"state", status.state},
            {"seconds_since_change", or_null(status.seconds_since_change)},
            {"checkpoint", status.checkpoint.empty() ? Json(nullptr) : Json(status.checkpoint)},
            {"stages", Json::array()}};
  for (const auto& stage : status.stages) {
    Json entry{
        {"stage", stage.name}, {"kind", stage.evolves ? "evolve" : "evaluate"}, {"state", stage.state}};
    if (stage.evolves) {
      entry.update({{"generations", stage.generations},
                    {"told", stage.told},
                    {"best", or_null(stage.scores.best)},
                    {"mean", or_null(stage.scores.mean)},
                    {"sigma", or_null(stage.scores.sigma)},
                    {"cache_fraction", or_null(stage.scores.cache_fraction)},
                    {"validation", or_null(stage.scores.validation)},
                    {"best_validation", or_null(stage.best_validation)},
                    {"best_generation", stage.best_generation},
                    {"seconds_per_generation", stage.pace.seconds_per_generation},
                    {"evaluations_per_second", stage.pace.evaluations_per_second},
                    {"reissued", stage.reissued}});
    }
    entry["seconds_left"] = or_null(stage.seconds_left);
    entry["batches"] = Json::array();
    for (const auto& batch : stage.batches) {
      entry["batches"].push_back({{"purpose", batch.purpose},
                                  {"generation", batch.generation},
                                  {"variant", batch.variant},
                                  {"done", batch.done},
                                  {"total", or_null(batch.total)},
                                  {"mean_seconds", batch.mean_seconds},
                                  {"workers", batch.workers}});
    }
    json["stages"].push_back(std::move(entry));
  }
  json["problems"] = status.problems;
  return json;
}

std::string to_text(const RunStatus& status) {
  std::string text = format_text("{} ({}): {}", status.path.string(), status.name, status.state);
  if (status.seconds_since_change)
    text += format_text(", last change {} ago", format_seconds(*status.seconds_since_change));
  text += "\n";
  for (size_t i = 0; i < status.stages.size(); ++i) {
    const StageStatus& stage = status.stages[i];
    text +=
        format_text("  stage {} of {}, {}: {}\n", i + 1, status.stages.size(), stage.name, text_of(stage));
    append_numbers(stage, text);
    for (const auto& batch : stage.batches) {
      if (batch.total && batch.done == *batch.total) continue;
      text += format_text("    {} of generation {}: {} of {} items, {} each, {} workers\n", batch.purpose,
                          batch.generation, batch.done, batch.total ? std::to_string(*batch.total) : "?",
                          format_seconds(batch.mean_seconds), batch.workers);
    }
    if (stage.seconds_left) text += format_text("    {} of this stage\n", left_in_words(*stage.seconds_left));
  }
  if (!status.checkpoint.empty()) text += format_text("  newest checkpoint: {}\n", status.checkpoint);
  if (status.state == "stopped")
    text += format_text("  go on with: namm run --resume {}\n", status.path.string());
  for (const auto& problem : status.problems) text += format_text("  problem: {}\n", problem);
  return text;
}

}  // namespace namm::experiments
