#include "experiments/evaluate_stage.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/interrupt.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "core/text.h"
#include "evolution/coordinator.h"
#include "experiments/fitness.h"
#include "experiments/memory_source.h"

namespace namm::experiments {

namespace {

SamplePlan plan_of(const RunContext& context, size_t index) {
  return {context.config.seed, context.stage_tasks[index]->pointers()};
}

std::vector<evolution::SampleId> samples_of(const RunContext& context, size_t index) {
  const EvaluateConfig& stage = *context.config.stages[index].evaluate;
  return plan_of(context, index).first(split_of(stage), context.config.contexts_of(stage));
}

bool uses_memory(const EvaluateConfig& stage) {
  return std::any_of(stage.policies.begin(), stage.policies.end(), memory::needs_memory);
}

std::vector<StageResult> earlier_results(const RunDirectory& directory) {
  std::error_code error;
  if (!std::filesystem::exists(directory.results(), error)) return {};
  return read_results(directory.results());
}

bool has_head_modes(const std::string& policy) {
  return policy == "namm" || policy == "namm-counts-random";
}

/// Predictions in the official format, one file a policy and task.
void write_predictions(const RunContext& context, const RunDirectory& directory, size_t index,
                       const std::vector<evolution::WorkItem>& items,
                       const std::vector<std::vector<PolicyOutcome>>& outcomes) {
  const EvaluateConfig& stage = *context.config.stages[index].evaluate;
  const StageTasks& tasks = *context.stage_tasks[index];
  const TokenCodec& codec = context.evaluation->archive().codec();
  for (size_t t = 0; t < tasks.tasks.size(); ++t) {
    std::vector<JsonLinesWriter> writers;
    for (const auto& policy : stage.policies) {
      const tasks::TaskInfo& info = tasks.tasks[t]->info();
      const std::string& dataset = info.predictions.empty() ? info.name : info.predictions;
      writers.emplace_back(directory.predictions(context.config.stage_name(index), policy, dataset));
    }
    for (size_t i = 0; i < items.size(); ++i) {
      const auto& id = items[i].samples.front();
      if (static_cast<size_t>(id.task) != t) continue;
      const tasks::Sample sample = tasks.tasks[t]->sample(split_of(stage), id.sample, codec);
      for (size_t p = 0; p < writers.size(); ++p) {
        const PolicyOutcome& outcome = outcomes[i].at(p);
        for (size_t q = 0; q < outcome.predictions.size(); ++q) {
          // The results hold 0 where the official function fails; only asking it again tells which those are.
          std::optional<double> score = outcome.result.scores.at(q);
          if (outcome.result.unscored > 0)
            score = tasks.tasks[t]->score(outcome.predictions[q], sample.questions.at(q));
          writers[p].write(tasks::prediction_record(sample, q, outcome.predictions[q], score));
        }
      }
    }
    for (auto& writer : writers) writer.commit();
  }
}

}  // namespace

void check_evaluate_stage(const RunContext& context, size_t index) {
  const auto split = split_of(*context.config.stages[index].evaluate);
  plan_of(context, index).try_out(split, samples_of(context, index), context.evaluation->archive().codec());
}

void run_evaluate_stage(RunContext& context, const RunDirectory& directory, size_t index) {
  const EvaluateConfig& stage = *context.config.stages[index].evaluate;
  const auto& archive = context.evaluation->archive();
  const std::string name = context.config.stage_name(index);
  const memory::MemoryFile* memory = nullptr;
  if (uses_memory(stage)) memory = context.evolved ? &*context.evolved : &*context.given_memory;

  StageResult result;
  result.stage = name;
  result.memory = memory != nullptr ? memory->sha256() : "";
  result.identity = sha256_hex(context.identity + "\n" + std::to_string(index) + "\n" + result.memory);
  const evolution::ItemId batch{static_cast<int32_t>(index), evolution::Purpose::test, 0, 0, 0};
  auto results = earlier_results(directory);
  for (const auto& earlier : results) {
    if (earlier.stage != name) continue;
    if (earlier.identity == result.identity) {
      evolution::discard_journal(directory, batch);
      log_info(name + ": already evaluated");
      return;
    }
    throw DataError(
        format_text("{}: stage {} was evaluated with another configuration, model, memory or data; move the "
                    "file away to evaluate again",
                    directory.results().string(), name));
  }
  if (memory != nullptr) result.evolved_on = evolved_tasks(*memory).value_or(std::vector<std::string>());
  const bool budgeted = std::any_of(stage.policies.begin(), stage.policies.end(), memory::takes_budget);
  result.budget = budgeted ? stage.budget.text() : "";
  result.split = stage.split;
  result.notes = context.config.notes;
  std::ranges::copy(context.stage_tasks[index]->notes(), std::back_inserter(result.notes));
  if (context.config.memory.positions != memory::NammConfig{}.positions) {
    result.notes.push_back(
        format_text("Cached keys stand at {} positions after an update (memory.positions), under every "
                    "policy; moved keys "
                    "are held twice, and the bytes count both.",
                    context.config.memory.positions));
  }
  result.layers = archive.contract().shape.layers;
  result.kv_heads = archive.contract().shape.kv_heads;
  result.head_dim = archive.contract().shape.head_dim;
  result.element_bytes = static_cast<int64_t>(c10::elementSize(archive.dtype()));
  result.skipped_records = context.stage_tasks[index]->skipped_records();

  const auto shared = std::make_shared<const std::string>(memory_bytes(memory));
  const auto items = evolution::partition(batch, nullptr, samples_of(context, index), 1, 1, shared);
  Progress progress("evaluate " + name, items.size(), "contexts");
  evolution::CoordinatorOptions options;
  options.config_sha256 = context.identity;
  options.stage = static_cast<int32_t>(index);
  options.stop_requested = interrupt_requested;
  options.on_progress = [&](const evolution::ItemId&, int64_t done, int64_t) {
    progress.update(static_cast<uint64_t>(done), format_text("{} policies", stage.policies.size()));
  };
  evolution::Coordinator coordinator(options, directory, *context.queue);
  const auto gathered = coordinator.run_batch(items);
  progress.finish();

  std::vector<std::vector<PolicyOutcome>> outcomes;
  for (const auto& item : gathered) outcomes.push_back(read_outcomes(item));
  for (size_t p = 0; p < stage.policies.size(); ++p) {
    PolicyResult policy{
        stage.policies[p], has_head_modes(stage.policies[p]) ? context.config.memory.heads : "", {}};
    for (const auto& task : stage.tasks) policy.tasks.push_back({task, {}});
    for (size_t i = 0; i < items.size(); ++i) {
      policy.tasks.at(items[i].samples.front().task).contexts.push_back(outcomes[i].at(p).result);
    }
    result.policies.push_back(std::move(policy));
  }
  write_predictions(context, directory, index, items, outcomes);
  results.push_back(std::move(result));
  write_results(directory.results(), results);
  evolution::discard_journal(directory, batch);
}

}  // namespace namm::experiments
