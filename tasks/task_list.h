#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "tasks/task.h"

namespace namm::tasks {

/// Where the user's benchmark files are.
struct DataConfig {
  ConfigPath longbench = {};      ///< folder or zip archive with <task>.jsonl, or with data/<task>.jsonl
  ConfigPath infinitebench = {};  ///< likewise
  ConfigPath choubun = {};        ///< likewise
  /// The official repositories' prompts; empty: plain templates of our own, named unofficial.
  ConfigPath prompts = {};                ///< LongBench's folder `config`
  ConfigPath infinitebench_prompts = {};  ///< InfiniteBench's folder `src`
  ConfigPath choubun_prompts = {};        ///< ChouBun's folder `config`
  ConfigPath dictionaries = {};  ///< folder with jieba/ and unidic_lite/, for Chinese and Japanese metrics

  bool operator==(const DataConfig&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("longbench", self.longbench, "LongBench's data.zip, or the folder with its files (<task>.jsonl)");
    visit("infinitebench", self.infinitebench, "folder or zip with InfiniteBench's files (<task>.jsonl)");
    visit("choubun", self.choubun, "folder or zip with ChouBun's files (<task>.jsonl)");
    visit("prompts", self.prompts,
          "folder with LongBench's official dataset2prompt.json and dataset2maxlen.json; none: plain "
          "templates of our own");
    visit(
        "infinitebench_prompts", self.infinitebench_prompts,
        "folder with InfiniteBench's official prompt.py and eval_utils.py; none: plain templates of our own");
    visit("choubun_prompts", self.choubun_prompts,
          "folder with ChouBun's official dataset2prompt.json and dataset2maxlen.json; none: plain templates "
          "of our own");
    visit("dictionaries", self.dictionaries,
          "folder that holds jieba/ and unidic_lite/, for Chinese and Japanese metrics; none: those of the "
          "program's own set-up");
  }
};

/// Settings of all tasks; a task reads those that concern it.
struct TaskConfig {
  uint64_t seed = 1;

  // Generated tasks (needle/...).
  int64_t context_tokens = 1024;
  int64_t questions_per_context = 8;
  double density = 1.0;
  double decoys = 0.35;
  ConfigPath haystack = {};
  int64_t facts_per_context = 8;
  std::string fact_kind = "mixed";

  // Benchmarks (longbench/..., infinitebench/..., choubun/...).
  int64_t max_prompt_tokens = 0;
  std::string truncation = "official";
  std::string record_splits = "disjoint";
  bool skip_bad_records = false;
  std::string edit_similarity = "difflib";
  int64_t rouge_recursion_limit = -1;
  std::string prompt_family = "yarn-mistral";
  std::string scorer = "2024-06";
  std::string scored_model = "";

  bool operator==(const TaskConfig&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("seed", self.seed, "seed of generated samples and of record splits");
    visit("context_tokens", self.context_tokens, between(16, 1 << 24),
          "exact length of a generated context, tokens before it (BOS) included");
    visit("questions_per_context", self.questions_per_context, between(1, 64),
          "questions asked about one generated context; fewer where it holds fewer facts");
    visit("density", self.density, above(0) && at_most(100),
          "number of facts in word tasks, as a multiple of the usual number for the length (per 1,024 "
          "tokens: key_value "
          "20, hop 10, passage 12, classify 16, stale 14 keys)");
    visit("decoys", self.decoys, between(0, 1),
          "share of noise sentences that contain names and numbers (word tasks)");
    visit("haystack", self.haystack,
          "text for needle/facts: a text file, or a .jsonl file whose records have `context`; none: a small "
          "text of ours");
    visit("facts_per_context", self.facts_per_context, between(1, 24), "facts in a context of needle/facts");
    visit("fact_kind", self.fact_kind, one_of({"number", "word", "update", "mixed"}),
          "needle/facts: four-digit codes, words, words that change once, or all three; needle/facts_number, "
          "_word and _update have their own");
    visit("max_prompt_tokens", self.max_prompt_tokens, at_least(0),
          "longer prompts of benchmarks are cut in the middle to this many tokens; 0: to what the model's "
          "max_positions leave beside the answer");
    visit("truncation", self.truncation, one_of({"official", "released"}),
          "official: LongBench's rule; released: that of the released NAMM code (room for the answer left, "
          "BOS not counted, samsum cut at a new line afterwards)");
    visit("record_splits", self.record_splits, one_of({"disjoint", "test", "shared"}),
          "which records of a benchmark serve what. disjoint: 40 % train, 10 % validation, 50 % test; test: "
          "all are test samples, as for published scores; shared: all are in all splits, as in the paper, "
          "whose scores are then not held out");
    visit("skip_bad_records", self.skip_bad_records, "leave malformed records out and count them");
    visit("edit_similarity", self.edit_similarity, one_of({"difflib", "levenshtein"}),
          "library behind the code similarity");
    visit("rouge_recursion_limit", self.rouge_recursion_limit, at_least(-1),
          "trace-back steps at which the official ROUGE fails; -1: as the official scorer, 0: never");
    visit("prompt_family", self.prompt_family, one_of({"yarn-mistral", "gpt4", "claude2", "kimi"}),
          "InfiniteBench: whose official prompts; yarn-mistral's suit models without chat training");
    visit("scorer", self.scorer, one_of({"2024-06", "2024-08"}),
          "InfiniteBench: version of the official scorer; 2024-06 made the published table");
    visit("scored_model", self.scored_model,
          "InfiniteBench: the model's name for the official scorer, which treats gpt4's math_calc apart");
  }
};

/// Names of all tasks, in the order of the documentation.
std::vector<std::string> task_names();

/// Opens a task. `max_positions`: tokens that the model claims to read, prompt and answer together; 0: no
/// limit is known. Throws ConfigError on an unknown name (the text lists all) or impossible settings,
/// DataError on a missing or malformed data file.
std::unique_ptr<Task> make_task(const std::string& name, const TaskConfig& config,
                                const DataConfig& data = {}, int64_t max_positions = 0);

/// The user's files that a task reads, as far as they are there: what its samples depend on beside the
/// settings. A file within an archive is named by its archive.
std::vector<std::filesystem::path> task_files(const std::string& name, const TaskConfig& config,
                                              const DataConfig& data);

}  // namespace namm::tasks
