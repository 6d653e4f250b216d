#include "experiments/results.h"

#include <numeric>

#include "core/errors.h"
#include "core/hdf5.h"
#include "core/text.h"

namespace namm::experiments {

namespace {

constexpr int64_t kFormatVersion = 3;

template <class T, class Get>
std::vector<T> column(const TaskResult& task, Get get) {
  std::vector<T> values;
  values.reserve(task.contexts.size());
  for (const auto& context : task.contexts) values.push_back(static_cast<T>(get(context)));
  return values;
}

void write_task(Hdf5File& file, const std::string& group, const StageResult& stage, const TaskResult& task) {
  const auto n = static_cast<int64_t>(task.contexts.size());
  std::vector<double> scores;
  std::vector<int64_t> cached;
  std::vector<int64_t> head_bytes;
  for (const auto& context : task.contexts) {
    scores.insert(scores.end(), context.scores.begin(), context.scores.end());
    for (const int64_t tokens : context.cached_tokens) {
      cached.push_back(tokens);
      head_bytes.push_back(stage.token_bytes(tokens));
    }
  }
  file.write<int64_t>(group + "/sample", {n}, column<int64_t>(task, [](auto& c) { return c.sample; }));
  file.write<double>(group + "/score", {static_cast<int64_t>(scores.size())}, scores);
  file.write<int64_t>(group + "/questions", {n},
                      column<int64_t>(task, [](auto& c) { return c.scores.size(); }));
  file.write<int64_t>(group + "/prompt_tokens", {n},
                      column<int64_t>(task, [](auto& c) { return c.prompt_tokens; }));
  file.write<int64_t>(group + "/cached_tokens", {n, stage.layers, stage.kv_heads}, cached);
  file.write<int64_t>(group + "/head_bytes", {n, stage.layers, stage.kv_heads}, head_bytes);
  file.write<int64_t>(group + "/cache_bytes", {n},
                      column<int64_t>(task, [](auto& c) { return c.cache_bytes; }));
  file.write<int64_t>(group + "/excess_tokens", {n},
                      column<int64_t>(task, [](auto& c) { return c.excess_tokens; }));
  file.write<int64_t>(group + "/unscored", {n}, column<int64_t>(task, [](auto& c) { return c.unscored; }));
  file.write<uint8_t>(group + "/truncated", {n},
                      column<uint8_t>(task, [](auto& c) { return c.truncated ? 1 : 0; }));
  file.write<double>(group + "/prefill_seconds", {n},
                     column<double>(task, [](auto& c) { return c.prefill_seconds; }));
  file.write<double>(group + "/decode_seconds", {n},
                     column<double>(task, [](auto& c) { return c.decode_seconds; }));
}

TaskResult read_task(const Hdf5File& file, const std::string& group, const StageResult& stage,
                     const std::string& name) {
  TaskResult task{name, {}};
  const auto sample = file.read<int64_t>(group + "/sample", {-1});
  const auto n = static_cast<int64_t>(sample.size());
  const auto score = file.read<double>(group + "/score", {-1});
  const auto questions = file.read<int64_t>(group + "/questions", {n});
  const auto prompt = file.read<int64_t>(group + "/prompt_tokens", {n});
  const auto cached = file.read<int64_t>(group + "/cached_tokens", {n, stage.layers, stage.kv_heads});
  const auto bytes = file.read<int64_t>(group + "/cache_bytes", {n});
  // Counts that older files lack: there was nothing to count.
  const auto count_if_there = [&](const char* data_set) {
    return file.exists(group + data_set) ? file.read<int64_t>(group + data_set, {n})
                                         : std::vector<int64_t>(static_cast<size_t>(n));
  };
  const auto excess = count_if_there("/excess_tokens");
  const auto unscored = count_if_there("/unscored");
  const auto truncated = file.read<uint8_t>(group + "/truncated", {n});
  const auto prefill = file.read<double>(group + "/prefill_seconds", {n});
  const auto decode = file.read<double>(group + "/decode_seconds", {n});
  const int64_t heads = stage.layers * stage.kv_heads;
  int64_t next = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t left = static_cast<int64_t>(score.size()) - next;
    if (questions[i] < 1 || questions[i] > left || prompt[i] < 1 || (i + 1 == n && questions[i] != left)) {
      throw DataError(file.path().string() + ": " + group +
                      ": counts of questions or tokens do not fit the scores");
    }
    ContextResult context;
    context.sample = sample[i];
    context.scores.assign(score.begin() + next, score.begin() + next + questions[i]);
    next += questions[i];
    context.prompt_tokens = prompt[i];
    context.cached_tokens.assign(cached.begin() + i * heads, cached.begin() + (i + 1) * heads);
    context.cache_bytes = bytes[i];
    context.excess_tokens = excess[i];
    context.unscored = unscored[i];
    context.truncated = truncated[i] != 0;
    context.prefill_seconds = prefill[i];
    context.decode_seconds = decode[i];
    task.contexts.push_back(std::move(context));
  }
  return task;
}

}  // namespace

double ContextResult::score() const {
  return std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
}

double ContextResult::mean_cached_tokens() const {
  return std::accumulate(cached_tokens.begin(), cached_tokens.end(), 0.0) /
         static_cast<double>(cached_tokens.size());
}

const TaskResult* PolicyResult::find(std::string_view task) const {
  for (const auto& result : tasks) {
    if (result.task == task) return &result;
  }
  return nullptr;
}

const PolicyResult* StageResult::find(std::string_view policy) const {
  for (const auto& result : policies) {
    if (result.policy == policy) return &result;
  }
  return nullptr;
}

void write_results(const std::filesystem::path& path, const std::vector<StageResult>& stages) {
  Hdf5File file = Hdf5File::create(path);
  file.write_attribute("/", "format", "namm results");
  file.write_attribute("/", "version", kFormatVersion);
  std::vector<std::string> names;
  for (const auto& stage : stages) names.push_back(stage.stage);
  file.write_texts(kStageList, names);
  for (const auto& stage : stages) {
    const std::string root = "/" + stage.stage;
    file.make_group(root);
    file.write_text(root + "/identity", stage.identity);
    file.write_texts(root + "/evolved_on", stage.evolved_on);
    file.write_text(root + "/budget", stage.budget);
    file.write_text(root + "/split", stage.split);
    file.write_text(root + "/memory", stage.memory);
    file.write_texts(root + "/notes", stage.notes);
    file.write_attribute(root, "layers", stage.layers);
    file.write_attribute(root, "kv_heads", stage.kv_heads);
    file.write_attribute(root, "head_dim", stage.head_dim);
    file.write_attribute(root, "element_bytes", stage.element_bytes);
    file.write_attribute(root, "skipped_records", stage.skipped_records);
    std::vector<std::string> policies;
    std::vector<std::string> heads;
    for (const auto& policy : stage.policies) {
      policies.push_back(policy.policy);
      heads.push_back(policy.heads);
      std::vector<std::string> tasks;
      const std::string policy_root = root + "/" + policy.policy;
      file.make_group(policy_root);
      for (const auto& task : policy.tasks) {
        tasks.push_back(task.task);
        write_task(file, policy_root + "/" + task.task, stage, task);
      }
      file.write_texts(policy_root + "/tasks", tasks);
    }
    file.write_texts(root + "/policies", policies);
    file.write_texts(root + "/heads", heads);
  }
  file.commit();
}

std::vector<StageResult> read_results(const std::filesystem::path& path) {
  const Hdf5File file = Hdf5File::open(path);
  if (!file.has_attribute("/", "format") ||
      file.read_attribute<std::string>("/", "format") != "namm results") {
    throw DataError(path.string() + ": not a results file of namm");
  }
  if (const int64_t version = file.read_attribute<int64_t>("/", "version");
      version != kFormatVersion && version != kFormatVersion - 1) {
    throw DataError(format_text("{}: results of format version {}, this program reads versions {} and {}",
                                path.string(), version, kFormatVersion - 1, kFormatVersion));
  }
  std::vector<StageResult> stages;
  for (const auto& name : file.read_texts(kStageList)) {
    StageResult stage;
    stage.stage = name;
    const std::string root = "/" + name;
    stage.identity = file.read_text(root + "/identity");
    stage.evolved_on = file.read_texts(root + "/evolved_on");
    stage.budget = file.read_text(root + "/budget");
    stage.split = file.read_text(root + "/split");
    stage.memory = file.read_text(root + "/memory");
    stage.notes = file.read_texts(root + "/notes");
    stage.layers = file.read_attribute<int64_t>(root, "layers");
    stage.kv_heads = file.read_attribute<int64_t>(root, "kv_heads");
    stage.head_dim = file.read_attribute<int64_t>(root, "head_dim");
    stage.element_bytes = file.read_attribute<int64_t>(root, "element_bytes");
    stage.skipped_records = file.read_attribute<int64_t>(root, "skipped_records");
    if (stage.layers < 1 || stage.kv_heads < 1 || stage.head_dim < 1) {
      throw DataError(format_text("{}: {}: {} layers of {} heads of {} numbers are no model's", path.string(),
                                  root, stage.layers, stage.kv_heads, stage.head_dim));
    }
    const auto policies = file.read_texts(root + "/policies");
    const auto heads = file.read_texts(root + "/heads");
    if (policies.size() != heads.size())
      throw DataError(path.string() + ": " + root + ": policies and heads differ");
    for (size_t i = 0; i < policies.size(); ++i) {
      PolicyResult policy{policies[i], heads[i], {}};
      const std::string policy_root = root + "/" + policies[i];
      for (const auto& task : file.read_texts(policy_root + "/tasks")) {
        policy.tasks.push_back(read_task(file, policy_root + "/" + task, stage, task));
      }
      stage.policies.push_back(std::move(policy));
    }
    stages.push_back(std::move(stage));
  }
  return stages;
}

}  // namespace namm::experiments
