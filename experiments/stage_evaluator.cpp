#include "experiments/stage_evaluator.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/fitness.h"
#include "experiments/out_of_memory.h"
#include "memory/policies/full.h"

namespace namm::experiments {

namespace {

using evolution::Purpose;

std::vector<tasks::Sample> samples_of(const evolution::WorkItem& item, const tasks::Task& task,
                                      tasks::Split split, const TokenCodec& codec) {
  std::vector<tasks::Sample> samples;
  for (const auto& id : item.samples) samples.push_back(task.sample(split, id.sample, codec));
  return samples;
}

const tasks::Task& task_of(const evolution::WorkItem& item, const StageTasks& tasks) {
  const int32_t index = item.samples.front().task;
  if (index < 0 || static_cast<size_t>(index) >= tasks.tasks.size())
    throw DataError("a work item names an unknown task");
  return *tasks.tasks[index];
}

/// theta [members, n] of the item's members.
at::Tensor theta_of(const evolution::WorkItem& item) {
  const int64_t n = item.candidates->dimension;
  at::Tensor theta = at::empty({item.rows(), n}, at::kFloat);
  for (int64_t i = 0; i < item.rows(); ++i) {
    const auto row = item.parameters(i);
    std::copy(row.begin(), row.end(), theta.data_ptr<float>() + i * n);
  }
  return theta;
}

/// The coordinator numbers the reference of the validation samples 1, that of a generation 0.
bool is_validation_reference(const evolution::ItemId& id) {
  return id.purpose == Purpose::reference && id.variant == 1;
}

/// What the items of an evolve stage are computed with. Read-only, shared by all workers.
struct EvolveContext {
  std::shared_ptr<const Evaluation> evaluation;
  std::shared_ptr<const StageTasks> tasks;
  memory::NammConfig memory;
  bool greedy_training = false;    ///< the fitness asks for greedy answers
  bool greedy_validation = false;  ///< the validation does
};

/// The same for an evaluate stage: an item is one sample under all policies, the memory first, so that its
/// counts give the others' budgets.
struct EvaluateContext {
  std::shared_ptr<const Evaluation> evaluation;
  std::shared_ptr<const StageTasks> tasks;
  tasks::Split split = tasks::Split::test;
  memory::PolicyArguments arguments;  ///< what is the item's own is filled in item by item
  std::vector<std::string> policies;  ///< in the order of the table
};

/// Parameters and statistics of `memory_bytes`.
void read_memory(std::string_view bytes, c10::Device device, memory::PolicyArguments& arguments) {
  const auto arrays = evolution::decode_arrays(bytes);
  const auto& parameters = evolution::doubles_of(arrays, "parameters");
  arguments.parameters = at::tensor(parameters, at::kDouble).to(at::kFloat).unsqueeze(0).to(device);
  arguments.statistics = memory::FeatureStatistics::from_values(evolution::doubles_of(arrays, "statistics"));
}

evolution::WorkResult evaluate_item(const EvolveContext& context, const evolution::WorkItem& item) {
  const c10::InferenceMode inference;
  const Evaluation& evaluation = *context.evaluation;
  const tasks::Task& task = task_of(item, *context.tasks);
  const bool validation = item.id.purpose == Purpose::validation || is_validation_reference(item.id);
  const auto split = validation ? tasks::Split::validation : tasks::Split::train;
  const auto samples = samples_of(item, task, split, evaluation.archive().codec());
  evolution::WorkResult result;
  if (item.id.purpose == Purpose::calibrate) {
    const auto statistics = evaluation.calibrate(context.memory, task, samples);
    result.bytes = to_bytes(statistics.to_values());
    result.records.resize(samples.size());
    return result;
  }
  std::shared_ptr<const memory::EvictionPolicy> policy;
  if (item.id.purpose == Purpose::reference) {
    policy = std::make_shared<memory::FullPolicy>();
  } else {
    memory::PolicyArguments arguments;
    static_cast<memory::NammConfig&>(arguments.config) = context.memory;
    arguments.parameters = theta_of(item).to(evaluation.archive().device());
    arguments.statistics =
        memory::FeatureStatistics::from_values(from_bytes(item.shared ? *item.shared : ""));
    policy = memory::make_policy(memory::memory_policy(context.memory), arguments);
  }
  const bool greedy = validation ? context.greedy_validation : context.greedy_training;
  for (const auto& outcome : evaluation.score(policy, item.rows(), task, samples, greedy)) {
    result.records.push_back({outcome.to_values(), ""});
  }
  return result;
}

nlohmann::json to_json(const PolicyOutcome& outcome) {
  nlohmann::json predictions = nlohmann::json::array();
  for (const auto& text : outcome.predictions) {
    predictions.push_back(nlohmann::json::binary({text.begin(), text.end()}));
  }
  const ContextResult& result = outcome.result;
  return {{"sample", result.sample},
          {"scores", result.scores},
          {"prompt_tokens", result.prompt_tokens},
          {"cached_tokens", result.cached_tokens},
          {"cache_bytes", result.cache_bytes},
          {"excess_tokens", result.excess_tokens},
          {"unscored", result.unscored},
          {"truncated", result.truncated},
          {"predictions", predictions}};
}

std::string to_cbor(const nlohmann::json& document) {
  const auto bytes = nlohmann::json::to_cbor(document);
  return {bytes.begin(), bytes.end()};
}

evolution::WorkResult evaluate_item(const EvaluateContext& context, const evolution::WorkItem& item) {
  const c10::InferenceMode inference;
  const Evaluation& evaluation = *context.evaluation;
  const tasks::Task& task = task_of(item, *context.tasks);
  const auto samples = samples_of(item, task, context.split, evaluation.archive().codec());
  // The memory runs first: others may need what it kept.
  std::vector<size_t> order;
  for (size_t i = 0; i < context.policies.size(); ++i) {
    order.insert(memory::gives_counts(context.policies[i]) ? order.begin() : order.end(), i);
  }
  memory::PolicyArguments shared_arguments = context.arguments;
  if (item.shared && !item.shared->empty()) {
    read_memory(*item.shared, evaluation.archive().device(), shared_arguments);
  }
  evolution::WorkResult result;
  nlohmann::json seconds = nlohmann::json::array();
  for (const auto& sample : samples) {
    constexpr int kTaskShift = 48;
    const int64_t tag = (static_cast<int64_t>(item.samples.front().task) << kTaskShift) + sample.id;
    auto recorded = std::make_shared<memory::RecordedCounts>();
    memory::PolicyArguments arguments = shared_arguments;
    nlohmann::json outcomes = nlohmann::json::array();
    nlohmann::json times = nlohmann::json::array();
    outcomes.get_ref<nlohmann::json::array_t&>().resize(order.size());
    times.get_ref<nlohmann::json::array_t&>().resize(order.size());
    for (const size_t i : order) {
      const std::string& name = context.policies[i];
      arguments.recorded = recorded;
      auto run = evaluation.run(memory::make_policy(name, arguments), task, sample, tag);
      if (memory::gives_counts(name)) {
        recorded = std::make_shared<memory::RecordedCounts>(std::move(run.kept));
      }
      times[i] = {run.result.prefill_seconds, run.result.decode_seconds};
      outcomes[i] = to_json({std::move(run.result), std::move(run.predictions)});
    }
    result.records.push_back({{}, to_cbor(outcomes)});
    seconds.push_back(times);
  }
  result.timings = to_cbor(seconds);
  return result;
}

template <class Context>
evolution::Evaluator evaluator_of(std::shared_ptr<const Context> context) {
  return [context](const evolution::WorkItem& whole) {
    return evaluate_within_memory(
        [&](const evolution::WorkItem& item) { return evaluate_item(*context, item); }, whole);
  };
}

evolution::Evaluator evolve_evaluator(const ExperimentConfig& config, const EvolveConfig& stage,
                                      std::shared_ptr<const Evaluation> evaluation,
                                      std::shared_ptr<const StageTasks> tasks) {
  auto context = std::make_shared<EvolveContext>();
  context->evaluation = std::move(evaluation);
  context->tasks = std::move(tasks);
  context->memory = config.memory;
  context->greedy_training = stage.fitness.score == "exact";
  context->greedy_validation = stage.validation.score == "exact";
  return evaluator_of<EvolveContext>(context);
}

evolution::Evaluator evaluate_evaluator(const ExperimentConfig& config, const EvaluateConfig& stage,
                                        std::shared_ptr<const Evaluation> evaluation,
                                        std::shared_ptr<const StageTasks> tasks) {
  auto context = std::make_shared<EvaluateContext>();
  context->evaluation = std::move(evaluation);
  context->tasks = std::move(tasks);
  context->split = split_of(stage);
  context->arguments.config = config.memory;
  context->arguments.budget = stage.budget;
  context->policies = stage.policies;
  return evaluator_of<EvaluateContext>(context);
}

}  // namespace

StageTasks::StageTasks(const std::vector<std::string>& names, const tasks::TaskConfig& config,
                       const tasks::DataConfig& data, int64_t max_positions) {
  for (const auto& name : names) tasks.push_back(tasks::make_task(name, config, data, max_positions));
}

std::vector<const tasks::Task*> StageTasks::pointers() const {
  std::vector<const tasks::Task*> list;
  for (const auto& task : tasks) list.push_back(task.get());
  return list;
}

int64_t StageTasks::skipped_records() const {
  int64_t count = 0;
  for (const auto& task : tasks) count += task->info().skipped_records;
  return count;
}

std::vector<std::string> StageTasks::notes() const {
  std::vector<std::string> notes;
  const auto add = [&](std::string note) {
    if (std::ranges::find(notes, note) == notes.end()) notes.push_back(std::move(note));
  };
  for (const auto& task : tasks) {
    const tasks::TaskInfo& info = task->info();
    const std::string benchmark = info.name.substr(0, info.name.find('/'));
    if (info.unofficial_prompts) {
      add(format_text(
          "{}: unofficial prompts, plain ones of ours: the scores are not comparable with published "
          "ones.",
          benchmark));
    }
    if (info.never_right > 0) {
      add(format_text(
          "{}: on {} records no answer can be right for this version of the official scorer, because of "
          "the labels' type (task.scorer).",
          info.name, info.never_right));
    }
    if (!info.dictionary.empty()) {
      add(format_text("{}, {}: words are those of {}.", benchmark, info.language, info.dictionary));
    }
    if (info.record_splits == "disjoint") {
      add(
          format_text("{}: held-out half of the records (task.record_splits: disjoint); published scores are "
                      "those of all records (test).",
                      benchmark));
    } else if (info.record_splits == "shared") {
      add(format_text(
          "{}: the same records serve evolution and evaluation (task.record_splits: shared), as in "
          "the paper: scores of tasks that a memory was evolved on are not held out.",
          benchmark));
    }
  }
  return notes;
}

tasks::Split split_of(const EvaluateConfig& stage) {
  return stage.split == "test" ? tasks::Split::test : tasks::Split::validation;
}

std::string memory_bytes(const memory::MemoryFile* memory) {
  if (memory == nullptr) return "";
  return evolution::encode(evolution::NamedArrays{
      evolution::vector_array("parameters",
                              std::vector<double>(memory->parameters.begin(), memory->parameters.end())),
      evolution::vector_array("statistics", memory->statistics.to_values())});
}

evolution::EvaluatorFactory make_run_evaluator(const ExperimentConfig& config,
                                               std::shared_ptr<const Evaluation> evaluation,
                                               std::vector<std::shared_ptr<const StageTasks>> stage_tasks) {
  std::vector<evolution::Evaluator> stages;
  for (size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& stage = config.stages[i];
    stages.push_back(stage.evolve
                         ? evolve_evaluator(config, *stage.evolve, evaluation, stage_tasks.at(i))
                         : evaluate_evaluator(config, *stage.evaluate, evaluation, stage_tasks.at(i)));
  }
  return [stages = std::move(stages), threads = static_cast<int>(config.threads_per_item)] {
    // LibTorch's thread counts belong to the calling thread.
    at::set_num_threads(threads);
    return [stages](const evolution::WorkItem& item) {
      if (item.id.stage < 0 || static_cast<size_t>(item.id.stage) >= stages.size())
        throw DataError("a work item names an unknown stage");
      return stages[static_cast<size_t>(item.id.stage)](item);
    };
  };
}

std::vector<PolicyOutcome> read_outcomes(const evolution::WorkResult& result) {
  try {
    const auto document = nlohmann::json::from_cbor(result.records.at(0).bytes);
    const auto seconds = nlohmann::json::from_cbor(result.timings);
    std::vector<PolicyOutcome> outcomes;
    for (size_t i = 0; i < document.size(); ++i) {
      const auto& entry = document.at(i);
      PolicyOutcome outcome;
      outcome.result.sample = entry.at("sample").get<int64_t>();
      outcome.result.scores = entry.at("scores").get<std::vector<double>>();
      outcome.result.prompt_tokens = entry.at("prompt_tokens").get<int64_t>();
      outcome.result.cached_tokens = entry.at("cached_tokens").get<std::vector<int64_t>>();
      outcome.result.cache_bytes = entry.at("cache_bytes").get<int64_t>();
      outcome.result.excess_tokens = entry.at("excess_tokens").get<int64_t>();
      outcome.result.unscored = entry.at("unscored").get<int64_t>();
      outcome.result.truncated = entry.at("truncated").get<bool>();
      outcome.result.prefill_seconds = seconds.at(0).at(i).at(0).get<double>();
      outcome.result.decode_seconds = seconds.at(0).at(i).at(1).get<double>();
      for (const auto& text : entry.at("predictions")) {
        const auto& bytes = text.get_binary();
        outcome.predictions.emplace_back(bytes.begin(), bytes.end());
      }
      outcomes.push_back(std::move(outcome));
    }
    return outcomes;
  } catch (const std::exception& error) {
    throw DataError(std::string("a journalled evaluation cannot be read: ") + error.what());
  }
}

}  // namespace namm::experiments
