#include "experiments/experiment.h"

#include <algorithm>
#include <set>

#include "core/sha256.h"
#include "core/text.h"
#include "experiments/places.h"
#include "experiments/results.h"

namespace namm::experiments {

namespace {

bool has_duplicates(const std::vector<std::string>& list) {
  return std::set<std::string>(list.begin(), list.end()).size() != list.size();
}

/// Names become folders of the run directory.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

void check_name(const ConfigNode& node, const std::string& name) {
  if (!name.empty() && !is_plain_name(name)) {
    node.fail_entry("name", name, "letters, digits, '-', '_' and '.', beginning with a letter or digit");
  }
}

void check_stage_name(const ConfigNode& node, const std::string& name) {
  check_name(node, name);
  if (name == kStageList)
    node.fail_entry("name", name, "another name: results.h5 lists its stages under this one");
}

void check_list(const ConfigNode& node, const char* key, const std::vector<std::string>& list) {
  if (has_duplicates(list)) node.fail_entry(key, "[" + join(list, ", ") + "]", "every entry once");
}

bool is_generated(const std::string& task) {
  return task.starts_with("needle/");
}

/// What the config says of the model, as far as it says anything.
void check_own_transformer(const ConfigNode& node, const memory::NammConfig& memory,
                           const ModelConfig& model) {
  if (!memory.has_own_transformer()) return;
  const std::pair<const char*, std::pair<int64_t, int64_t>> sizes[] = {
      {"layers", {memory.transformer.layers, model.layers}},
      {"kv_heads", {memory.transformer.kv_heads, model.kv_heads}}};
  for (const auto& [key, values] : sizes) {
    const auto [own, of_model] = values;
    if (own == of_model || of_model == 0 || own == 0) continue;
    node.at("memory")
        .at("transformer")
        .fail_entry(
            key, std::to_string(own),
            format_text("model.{} = {}: the memory's parameters belong to that model", key, of_model));
  }
}

/// A memory fits one of the policies that take one.
void check_policies_fit(const ConfigNode& stage, const std::vector<std::string>& policies,
                        const memory::NammConfig& memory) {
  for (const auto& policy : policies) {
    if (!memory::needs_memory(policy) || memory::fits_memory(policy, memory)) continue;
    stage.fail_entry("policies", "[" + join(policies, ", ") + "]",
                     format_text("{} for memory.scorer = {}, which {} cannot apply",
                                 memory::memory_policy(memory), memory.scorer, policy));
  }
}

/// The user's files that the tasks of all stages read, as far as they are there.
std::set<std::filesystem::path> data_files(const ExperimentConfig& config) {
  std::set<std::filesystem::path> files;
  for (const auto& stage : config.stages) {
    for (const auto& task : stage.tasks()) {
      for (auto& file : tasks::task_files(task, config.task_config(stage), config.data))
        files.insert(std::move(file));
    }
  }
  return files;
}

/// SHA-256 of the values alone.
std::string identity_of_values(const ExperimentConfig& numbers) {
  ConfigValue values = write_config(numbers);
  ConfigValue& memory = *values.find("memory");
  memory = memory::stored_form(std::move(memory));
  return config_sha256(values);
}

}  // namespace

StartPoint StartPoint::from_config(const ConfigNode& node) {
  StartPoint start;
  const std::string text = node.is_scalar() ? node.value().text : "";
  if (text == "auto" || text == "zero" || text == "previous") {
    start.kind = text;
    return start;
  }
  start.kind = "file";
  start.file = read_config<ConfigPath>(node, non_empty());
  return start;
}

ConfigValue StartPoint::to_config() const {
  return kind == "file" ? write_config(file) : ConfigValue::string(kind);
}

void EvolveConfig::check(const ConfigNode& node) const {
  check_stage_name(node, name);
  check_list(node, "tasks", tasks);
  const bool likelihood = fitness.score == "log_likelihood" || validation.score == "log_likelihood";
  if (fitness.normalize == "full_cache" && likelihood) {
    node.at("fitness").fail_entry(
        "normalize", "full_cache",
        "none where fitness or validation scores log_likelihood: a ratio of negative numbers falls as the "
        "answers get better");
  }
  if (!validation.bias_shifts.empty() && validation.every == 0) {
    node.at("validation")
        .fail_entry("bias_shifts", "[...]", "shifts are chosen on validation, so `every` must be at least 1");
  }
}

void EvaluateConfig::check(const ConfigNode& node) const {
  check_stage_name(node, name);
  check_list(node, "tasks", tasks);
  check_list(node, "policies", policies);
  if (std::any_of(policies.begin(), policies.end(), memory::gives_counts)) return;
  for (const auto& policy : policies) {
    if (!memory::needs_counts(policy, budget)) continue;
    node.fail_entry(
        "policies", "[" + join(policies, ", ") + "]",
        format_text("{} needs to know how much the memory kept: add namm (or namm-mix), or give a budget "
                    "{tokens: N}, {fraction: F} or {bytes: B}",
                    policy));
  }
}

void StageConfig::check(const ConfigNode& node) const {
  if (evolve.has_value() == evaluate.has_value()) {
    node.fail(evolve ? "one of evolve and evaluate, not both" : "one of evolve and evaluate");
  }
}

void ExperimentConfig::check(const ConfigNode& node) const {
  check_name(node, name);
  if (evolution.optimizer.population == 1) {
    node.at("evolution").fail_entry("population", "1", "at least 2, or 0 for the usual size");
  }
  check_own_transformer(node, memory, model);
  std::set<std::string> names;
  bool evolved = false;
  for (size_t i = 0; i < stages.size(); ++i) {
    const ConfigNode stage = node.at("stages").item(i);
    if (!names.insert(stage_name(i)).second) stage.fail("every stage a name of its own");
    if (!stages[i].evolve) {
      check_policies_fit(stage.at("evaluate"), stages[i].evaluate->policies, memory);
      continue;
    }
    const EvolveConfig& evolve = *stages[i].evolve;
    const ConfigNode place = stage.at("evolve");
    if (!evolve.validation.bias_shifts.empty() && memory.mix.keep_fraction > 0) {
      place.at("validation")
          .fail_entry(
              "bias_shifts", "[...]",
              "left out where memory.mix.keep_fraction fixes how much stays: the score's bias decides "
              "nothing");
    }
    if (evolve.start.kind == "previous" && !evolved) {
      place.fail_entry("start", "previous", "an evolve stage before this one, or zero, or a file");
    }
    evolved = true;
    const int64_t tokens = evolve.context_tokens.value_or(task.context_tokens);
    const bool all_generated = std::all_of(evolve.tasks.begin(), evolve.tasks.end(), is_generated);
    if (all_generated && tokens < memory.period_tokens) {
      const bool of_task = !evolve.context_tokens && node.has("task");
      (of_task ? node.at("task") : place)
          .fail_entry("context_tokens", std::to_string(tokens),
                      format_text("at least memory.period_tokens = {}: no token would ever be forgotten",
                                  memory.period_tokens));
    }
  }
}

std::string ExperimentConfig::stage_name(size_t index) const {
  const std::string& own = stages.at(index).name();
  return own.empty() ? "stage_" + std::to_string(index) : own;
}

tasks::TaskConfig ExperimentConfig::task_config(const StageConfig& stage) const {
  tasks::TaskConfig config = task;
  const auto replace = [&](const auto& own) {
    config.context_tokens = own.context_tokens.value_or(config.context_tokens);
    config.questions_per_context = own.questions_per_context.value_or(config.questions_per_context);
  };
  if (stage.evolve) replace(*stage.evolve);
  if (stage.evaluate) replace(*stage.evaluate);
  if (!haystack.empty()) config.haystack = haystack;
  return config;
}

tasks::DataConfig ExperimentConfig::data_with_dictionaries() const {
  tasks::DataConfig config = data;
  if (config.dictionaries.empty()) config.dictionaries.value = dictionaries_folder();
  return config;
}

std::string identity_of(const ExperimentConfig& config, const std::string& model_sha256,
                        const std::string& memory_sha256) {
  ExperimentConfig numbers = config;
  numbers.notes.clear();
  numbers.model.archive.value.clear();
  numbers.model.source.clear();
  numbers.memory.file.value.clear();
  numbers.evolution.schedule.keep_checkpoints = 1;
  numbers.queue = {};
  numbers.data = {};
  numbers.haystack.value.clear();
  numbers.task.haystack.value.clear();
  std::string text = identity_of_values(numbers) + "\n" + model_sha256 + "\n" + memory_sha256 + "\n";
  std::set<std::string> contents;  // in an order that the folders do not decide
  for (const auto& file : data_files(config))
    contents.insert(file.filename().string() + " " + sha256_file(file) + "\n");
  for (const auto& content : contents) text += content;
  return sha256_hex(text);
}

}  // namespace namm::experiments
