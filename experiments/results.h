#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace namm::experiments {

/// One context under one policy. Its questions share the context's prefill and cache.
struct ContextResult {
  int64_t sample = 0;
  std::vector<double> scores;          ///< [questions], in [0, 1], the task's own metric
  int64_t prompt_tokens = 0;           ///< tokens of the context
  std::vector<int64_t> cached_tokens;  ///< [layers * kv_heads] at the end of the context, layer major
  int64_t cache_bytes = 0;             ///< allocated for keys and values at the end of the context
  int64_t excess_tokens = 0;           ///< of `cached_tokens`, kept beyond the budget because protected
  int64_t unscored = 0;                ///< answers on which the official function fails; they count as 0
  bool truncated = false;              ///< the prompt was cut to the limit
  double prefill_seconds = 0;
  double decode_seconds = 0;  ///< all questions together

  /// Mean over the questions: contexts, not questions, are the independent observations.
  double score() const;
  double mean_cached_tokens() const;
  double cache_fraction() const { return mean_cached_tokens() / static_cast<double>(prompt_tokens); }
  bool operator==(const ContextResult&) const = default;
};

struct TaskResult {
  std::string task;
  std::vector<ContextResult> contexts;
  bool operator==(const TaskResult&) const = default;
};

struct PolicyResult {
  std::string policy;
  std::string heads;  ///< ragged | parity; "" where head modes make no difference
  std::vector<TaskResult> tasks;

  const TaskResult* find(std::string_view task) const;
  bool operator==(const PolicyResult&) const = default;
};

/// What an evaluate stage leaves: the content of results.h5 that belongs to it.
struct StageResult {
  std::string stage;
  std::string identity;                 ///< SHA-256 of what was evaluated: configuration, model, memory
  std::vector<std::string> evolved_on;  ///< tasks that the evaluated memory was evolved on
  std::string budget;                   ///< as the configuration says
  std::string split = "test";           ///< of the tasks' samples: test | validation
  std::string memory;  ///< SHA-256 of the evaluated memory's parameters and statistics, "" without one
  std::vector<std::string> notes;  ///< what the table shows and what it does not
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t element_bytes = 4;    ///< of a cached number
  int64_t skipped_records = 0;  ///< malformed records left out
  std::vector<PolicyResult> policies;

  const PolicyResult* find(std::string_view policy) const;
  /// Bytes of keys and values that `tokens` tokens of one head take.
  int64_t token_bytes(int64_t tokens) const { return 2 * tokens * head_dim * element_bytes; }
  bool operator==(const StageResult&) const = default;
};

/// Data set of results.h5 beside the stages' groups: their names in order. No stage may have this name.
inline const char* const kStageList = "stages";

/// Writes results.h5: `/<stage>/<policy>/<task>/{sample, score, questions, prompt_tokens, cached_tokens,
/// head_bytes, cache_bytes, excess_tokens, unscored, truncated, prefill_seconds, decode_seconds}`. Throws
/// InfrastructureError.
void write_results(const std::filesystem::path& file, const std::vector<StageResult>& stages);

/// Throws DataError on a missing, truncated or foreign file.
std::vector<StageResult> read_results(const std::filesystem::path& file);

}  // namespace namm::experiments
