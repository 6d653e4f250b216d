#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "tasks/task.h"

namespace namm::tasks {

/// Where the user's benchmark files are.
struct DataConfig {
  ConfigPath longbench = {};  ///< folder with <task>.jsonl, or with data/<task>.jsonl
  ConfigPath prompts =
      {};  ///< the official repository's config folder; empty: plain templates of our own, named unofficial
  ConfigPath dictionaries = {};  ///< folder with jieba/ and unidic_lite/, for Chinese and Japanese metrics

  bool operator==(const DataConfig&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("longbench", self.longbench, "folder with the unpacked LongBench files (<task>.jsonl)");
    visit("prompts", self.prompts,
          "folder with the official dataset2prompt.json and dataset2maxlen.json; none: plain templates of "
          "our own");
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

  // LongBench.
  int64_t max_prompt_tokens = 0;
  std::string truncation = "official";
  std::string record_splits = "test";
  bool skip_bad_records = false;
  std::string edit_similarity = "difflib";
  int64_t rouge_recursion_limit = -1;

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
          "longer LongBench prompts are cut in the middle to this many tokens; 0: to what the model's "
          "max_positions leave beside the answer");
    visit("truncation", self.truncation, one_of({"official", "released"}),
          "official: LongBench's rule; released: that of the released NAMM code (room for the answer left, "
          "BOS not counted, samsum cut at a new line afterwards)");
    visit("record_splits", self.record_splits, one_of({"test", "disjoint", "shared"}),
          "test: every record is a test sample; disjoint: 40 % train, 10 % validation, 50 % test; shared: "
          "all records in "
          "all splits, as in the paper");
    visit("skip_bad_records", self.skip_bad_records, "leave malformed records out and count them");
    visit("edit_similarity", self.edit_similarity, one_of({"difflib", "levenshtein"}),
          "library behind the code similarity");
    visit("rouge_recursion_limit", self.rouge_recursion_limit, at_least(-1),
          "trace-back steps at which the official ROUGE fails; -1: as the official scorer, 0: never");
  }
};

/// Names of all tasks, in the order of the documentation.
std::vector<std::string> task_names();

/// Opens a task. `max_positions`: tokens that the model claims to read, prompt and answer together; 0: no
/// limit is known. Throws ConfigError on an unknown name (the text lists all) or impossible settings,
/// DataError on a missing or malformed data file.
std::unique_ptr<Task> make_task(const std::string& name, const TaskConfig& config,
                                const DataConfig& data = {}, int64_t max_positions = 0);

}  // namespace namm::tasks
