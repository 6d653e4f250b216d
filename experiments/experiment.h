#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config.h"
#include "evolution/evolution_config.h"
#include "memory/policy_list.h"
#include "tasks/task_list.h"

namespace namm::experiments {

/// The Transformer. The archive says everything about itself; what a config states of it beside the path is
/// checked against the archive when a run starts, and stands in for it in `namm describe` where the archive
/// is not there.
struct ModelConfig {
  ConfigPath archive;
  std::string source;  ///< what the archive is exported from; named when it is missing
  int64_t layers = 0;  ///< 0 here and below: whatever the archive has
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int64_t max_positions = 0;
  std::string dtype;
  std::string rope_rule;
  std::map<std::string, double> rope_numbers;
  int64_t chunk_tokens = 1024;

  bool operator==(const ModelConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("archive", self.archive, needed() && non_empty(),
          "TorchScript archive with contract and tokenizer");
    visit("source", self.source, "what the archive is exported from, for messages");
    visit("layers", self.layers, at_least(0), "expected of the archive; 0 here and below: not checked");
    visit("heads", self.heads, at_least(0), "query heads");
    visit("kv_heads", self.kv_heads, at_least(0), "key and value heads");
    visit("head_dim", self.head_dim, at_least(0), "numbers of a head");
    visit("hidden", self.hidden, at_least(0), "width of the residual stream");
    visit("vocabulary", self.vocabulary, at_least(0), "tokens of the tokenizer");
    visit("max_positions", self.max_positions, at_least(0), "longest sequence that the model supports");
    visit("dtype", self.dtype, one_of({"", "float32", "bfloat16"}), "type of weights and cache");
    visit("rope_rule", self.rope_rule, one_of({"", "plain", "linear", "static-ntk", "llama3"}),
          "rule of the rotary position embedding");
    visit("rope_numbers", self.rope_numbers,
          "numbers of that rule, e.g. {theta: 500000, factor: 4, alpha: 2}");
    visit("chunk_tokens", self.chunk_tokens, between(1, 1 << 20),
          "most tokens of a sequence read at once; decides rounding, not results");
  }
};

struct FitnessConfig {
  std::string score = "log_likelihood";
  double cache_weight = 0;
  double shortfall_weight = 0;
  std::string normalize = "none";

  /// Whether the full cache has to be scored on the same samples.
  bool needs_reference() const { return shortfall_weight > 0 || normalize == "full_cache"; }

  bool operator==(const FitnessConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("score", self.score, one_of({"log_likelihood", "exact"}),
          "log_likelihood: of the answer, mean over its tokens; exact: the task's own metric on the greedy "
          "answer");
    visit("cache_weight", self.cache_weight, between(0, 100),
          "subtracted: this times the kept share of the cache");
    visit("shortfall_weight", self.shortfall_weight, between(0, 100),
          "subtracted: this times how far a task falls below the full cache on the same samples, mean over "
          "the tasks");
    visit("normalize", self.normalize, one_of({"none", "full_cache"}),
          "full_cache: each task's score is divided by the full cache's on the same samples (the paper's "
          "fitness)");
  }
};

struct ValidationConfig {
  int64_t every = 5;
  int64_t contexts_per_task = 16;
  std::string score = "exact";
  double cache_weight = 0;
  double shortfall_weight = 0;
  std::vector<double> bias_shifts;

  bool operator==(const ValidationConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("every", self.every, at_least(0),
          "generations between two validations of the mean; 0: never, the last mean is the answer");
    visit("contexts_per_task", self.contexts_per_task, between(1, 1 << 20), "contexts, the same every time");
    visit("score", self.score, one_of({"log_likelihood", "exact"}), "what the mean is judged by");
    visit("cache_weight", self.cache_weight, between(0, 100),
          "subtracted: this times the kept share of the cache");
    visit("shortfall_weight", self.shortfall_weight, between(0, 100),
          "subtracted: this times how far a task falls below the full cache, mean over the tasks");
    visit("bias_shifts", self.bias_shifts, between(-100, 100),
          "added to the score's bias of the best mean at the end; the best on validation is the answer");
  }
};

struct CalibrationConfig {
  int64_t contexts_per_task = 4;

  bool operator==(const CalibrationConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("contexts_per_task", self.contexts_per_task, between(1, 1 << 20),
          "contexts of the pass under the full cache that collects normalisation statistics");
  }
};

/// Where an evolve stage begins: `auto`, `zero`, `previous`, or a file: a memory file (mean and statistics),
/// or a checkpoint or run directory (the optimiser's whole state).
struct StartPoint {
  std::string kind = "auto";  ///< auto | zero | previous | file
  ConfigPath file;

  static StartPoint from_config(const ConfigNode& node);
  ConfigValue to_config() const;
  bool operator==(const StartPoint&) const = default;
};

struct EvolveConfig {
  std::string name;
  std::vector<std::string> tasks;
  int64_t generations = 24;
  int64_t contexts_per_task = 4;
  std::optional<int64_t> questions_per_context;
  std::optional<int64_t> context_tokens;
  std::optional<double> sigma;
  FitnessConfig fitness;
  ValidationConfig validation;
  CalibrationConfig calibration;
  StartPoint start;

  /// What a validated mean is worth: `validation`'s terms, normalised as `fitness` is.
  FitnessConfig validation_fitness() const {
    return {validation.score, validation.cache_weight, validation.shortfall_weight, fitness.normalize};
  }

  bool operator==(const EvolveConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("name", self.name, "of the stage; none: stage_<number>");
    visit("tasks", self.tasks, needed() && non_empty() && one_of(tasks::task_names()),
          "tasks of the fitness");
    visit("generations", self.generations, between(1, 1 << 20), "generations of this stage");
    visit("contexts_per_task", self.contexts_per_task, between(1, 1 << 20),
          "fresh contexts a task and generation, the same for all members");
    visit("questions_per_context", self.questions_per_context, between(1, 64),
          "instead of task.questions_per_context");
    visit("context_tokens", self.context_tokens, between(16, 1 << 24), "instead of task.context_tokens");
    visit("sigma", self.sigma, above(0),
          "initial step size of this stage; none: that of the checkpoint it starts from, or where the stage "
          "before ended, else evolution.sigma");
    visit("fitness", self.fitness, "of a member");
    visit("validation", self.validation, "choice of the answer among the means");
    visit("calibration", self.calibration, "normalisation statistics");
    visit("start", self.start,
          "auto (the stage before, else zero), zero, previous, a memory file (mean and statistics), or a "
          "checkpoint or run directory (the optimiser's whole state: also its step size, unless sigma is "
          "given, its seed and its count of generations)");
  }
  void check(const ConfigNode& node) const;
};

struct EvaluateConfig {
  std::string name;
  std::vector<std::string> tasks;
  std::vector<std::string> policies;
  memory::Budget budget;
  std::optional<int64_t> contexts_per_task;
  std::optional<int64_t> questions_per_context;
  std::optional<int64_t> context_tokens;
  std::string split = "test";

  bool operator==(const EvaluateConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("name", self.name, "of the stage; none: stage_<number>");
    visit("tasks", self.tasks, needed() && non_empty() && one_of(tasks::task_names()),
          "columns of the table");
    visit("policies", self.policies, needed() && non_empty() && one_of(memory::policy_names()),
          "rows of the table");
    visit("budget", self.budget,
          "cache of the baselines: match_namm, match_namm_layers, match_namm_heads, {tokens: N} or "
          "{fraction: F}");
    visit("contexts_per_task", self.contexts_per_task, between(1, 1 << 24),
          "samples a task; none: samples_per_task");
    visit("questions_per_context", self.questions_per_context, between(1, 64),
          "instead of task.questions_per_context");
    visit("context_tokens", self.context_tokens, between(16, 1 << 24), "instead of task.context_tokens");
    visit("split", self.split, one_of({"test", "validation"}),
          "validation while settings are chosen, test once");
  }
  void check(const ConfigNode& node) const;
};

/// One entry of `stages`: exactly one of the two.
struct StageConfig {
  std::optional<EvolveConfig> evolve;
  std::optional<EvaluateConfig> evaluate;

  bool operator==(const StageConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("evolve", self.evolve, "evolves a memory");
    visit("evaluate", self.evaluate, "measures policies");
  }
  void check(const ConfigNode& node) const;

  const std::string& name() const { return evolve ? evolve->name : evaluate->name; }
  const std::vector<std::string>& tasks() const { return evolve ? evolve->tasks : evaluate->tasks; }
};

struct QueueConfig {
  double lease_seconds = 10;
  int64_t max_deliveries = 20;
  double item_limit_seconds = 3600;

  bool operator==(const QueueConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("lease_seconds", self.lease_seconds, between(0.1, 86400),
          "after this long without a sign of life of its worker an item is given to another");
    visit("max_deliveries", self.max_deliveries, between(1, 1000),
          "an item that so many workers took and never answered stops the run");
    visit("item_limit_seconds", self.item_limit_seconds, between(0, 1e7),
          "a worker fails an item that takes longer and ends; the coordinator takes it away at twice as "
          "long; 0: never");
  }
};

struct ExperimentConfig {
  std::string name;
  uint64_t seed = 1;
  ModelConfig model;
  memory::MemoryConfig memory;
  evolution::EvolutionConfig evolution;
  tasks::TaskConfig task;
  tasks::DataConfig data;
  ConfigPath haystack;
  int64_t samples_per_task = 32;
  int64_t threads_per_item = 1;
  QueueConfig queue;
  std::vector<StageConfig> stages;
  std::vector<std::string> notes;

  bool operator==(const ExperimentConfig&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("name", self.name, needed() && non_empty(), "of the experiment; its run directory is runs/<name>");
    visit("seed", self.seed,
          "of training samples and optimiser (one from a checkpoint keeps its own); validation and test "
          "samples go by task.seed");
    visit("model", self.model, needed(), "the Transformer");
    visit("memory", self.memory, "the memory's constants and the baselines' settings");
    visit("evolution", self.evolution, "the optimiser, and how its population is cut into work items");
    visit("task", self.task, "settings of all tasks");
    visit("data", self.data, "where benchmark files are");
    visit("haystack", self.haystack, "text for tasks in real text; none: task.haystack");
    visit("samples_per_task", self.samples_per_task, between(1, 1 << 24),
          "samples a task in evaluate stages that do not say otherwise");
    visit("threads_per_item", self.threads_per_item, between(1, 1024),
          "threads that one work item uses; part of the run's identity");
    visit("queue", self.queue, "work queue");
    visit("stages", self.stages, needed() && non_empty(), "run one after another");
    visit("notes", self.notes, "sentences that stand under the table: what it shows and what it does not");
  }
  void check(const ConfigNode& node) const;

  /// Name of stage `index`: its own or stage_<index>.
  std::string stage_name(size_t index) const;
  /// Settings of the tasks of a stage.
  tasks::TaskConfig task_config(const StageConfig& stage) const;
  /// `data`, with the dictionaries that come with the program where it names none.
  tasks::DataConfig data_with_dictionaries() const;
  int64_t contexts_of(const EvaluateConfig& stage) const {
    return stage.contexts_per_task.value_or(samples_per_task);
  }
};

/// SHA-256 of everything that decides a run's results. Files count by content, not by place: model and memory
/// by their hashes given here, haystack, benchmark and prompt files of the tasks in use by name and bytes as
/// they are now (one that is missing does not count; opening the task will tell). Number of workers, notes
/// and table texts do not count. Throws DataError for a data file that cannot be read.
std::string identity_of(const ExperimentConfig& config, const std::string& model_sha256,
                        const std::string& memory_sha256);

}  // namespace namm::experiments
