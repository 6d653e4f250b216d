#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/token_codec.h"

namespace namm::tasks {

/// What a sample is used for. The splits of a task have no sample in common (LongBench with `record_splits:
/// shared`, the released code's way, is the named exception).
enum class Split : uint8_t { train, validation, test };

std::string_view split_name(Split split);

/// What a context token is for, where the generator knows it. An oracle keeps `special`, `value` and `fact`.
enum class TokenClass : uint8_t {
  noise,            ///< filler, decoys included
  value,            ///< a value that answers a question
  fact,             ///< any other token of a valid fact
  old_value,        ///< a value that a later write replaced
  superseded_fact,  ///< any other token of a replaced write
  special,          ///< BOS and what else the tokenizer puts before a prompt
};

/// One question about a context. Several questions share the context and its cache and are asked
/// independently.
struct Question {
  std::string
      text;  ///< continues Sample::context; empty where the context is already the whole prompt (LongBench)
  std::vector<int64_t> ids;  ///< ids of `text`, to be fed after Sample::context_ids; empty when `text` is
  std::vector<std::string> answers;  ///< accepted answers, never empty
  std::string target;  ///< the first answer as text that continues the prompt, leading blank included
  std::vector<int64_t> target_ids;       ///< ids of `target`, never empty: for the answer's log-likelihood
  std::vector<std::string> all_classes;  ///< class names of classification tasks, else empty
  std::string label;  ///< InfiniteBench: what its scorer compares with, as JSON (numbers keep their type);
                      ///< else empty
  int64_t generation_tokens = 0;  ///< new tokens to generate at most
};

/// A context with its questions. The same (task, config, split, id, tokenizer) gives the same sample, in any
/// order, on any machine.
struct Sample {
  int64_t id = 0;
  Split split = Split::test;
  std::string record_id;             ///< `_id` or `id` of a benchmark record, else empty
  std::string context;               ///< text shared by all questions, no chat wrapper
  std::vector<int64_t> context_ids;  ///< TokenCodec::prefix(), then the ids of `context`
  int64_t prefix_tokens =
      0;  ///< how many of context_ids are TokenCodec::prefix(); a chat wrapper goes after them
  std::vector<TokenClass> token_class;  ///< one per context id, or empty where nothing is known
  std::vector<Question> questions;
  int64_t length = 0;  ///< the record's own length (words or characters), what LongBench-E's buckets go by
  bool truncated = false;       ///< the prompt was longer than the limit and was cut in the middle
  int64_t original_tokens = 0;  ///< tokens before truncation, prefix included
};

/// What a task is and needs.
struct TaskInfo {
  std::string name;         ///< "needle/hop", "longbench/qasper"
  std::string metric;       ///< "exact", or the official function's name ("qa_f1_score")
  std::string language;     ///< "en", "zh", "ja", "code", "math"
  std::string predictions;  ///< name of its predictions file, without .jsonl; empty: the task's own name
  int64_t generation_tokens = 0;  ///< upper bound of Question::generation_tokens; 0: depends on the tokenizer
  int64_t minimum_new_tokens = 0;  ///< no stop before so many new tokens (official samsum: 1)
  bool stop_at_newline = false;    ///< a new line ends the answer (official samsum)
  bool cut_at_newline =
      false;          ///< the answer is cut at its first new line afterwards (released NAMM code, samsum)
  bool chat = false;  ///< a chat model's wrapper belongs around the prompt (benchmarks 2.2, 2.4)
  bool unofficial_prompts =
      false;                  ///< plain templates of our own: scores are not comparable with published ones
  std::string dictionary;     ///< of words, package and version, where the metric needs one; else empty
  std::string record_splits;  ///< which records of a benchmark serve what (TaskConfig); empty: generated
  int64_t never_right = 0;  ///< records on which no answer can score with this version of the official scorer
  int64_t skipped_records = 0;  ///< malformed records left out by `skip_bad_records`
};

/// Prompts and scores. All methods may be called by several threads at once.
class Task {
 public:
  virtual ~Task() = default;

  virtual const TaskInfo& info() const = 0;

  /// Number of samples of a split; none: generated, any id from 0 on is a sample.
  virtual std::optional<int64_t> count(Split split) const = 0;

  /// Sample `id` of a split, 0 <= id < count(split). Throws ConfigError when the id or the split has no
  /// sample or the settings cannot be met with this tokenizer, DataError when the record has become
  /// unreadable.
  virtual Sample sample(Split split, int64_t id, const TokenCodec& codec) const = 0;

  /// The official metric of this task on one generated text, post-processing included, in [0, 1]; nothing
  /// where the official function fails. Any bytes are legal.
  virtual std::optional<double> score(const std::string& prediction, const Question& question) const = 0;
};

/// SHA-256 (hex, lower case) of the prompt's text (context and question, UTF-8), for comparing with other
/// programs'.
std::string prompt_sha256(const Sample& sample, const Question& question);

/// One line of a predictions file: the official fields (pred, answers, all_classes, length; InfiniteBench:
/// id, prediction, ground_truth), then ours (_id, split, sample, question, score, prompt_sha256, truncated).
/// Bytes of `prediction` that are not UTF-8 become U+FFFD.
nlohmann::ordered_json prediction_record(const Sample& sample, size_t question, const std::string& prediction,
                                         std::optional<double> score);

}  // namespace namm::tasks
