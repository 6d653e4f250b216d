#include "experiments/expected_task.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/choubun.h"
#include "tasks/infinitebench_tasks.h"
#include "tasks/longbench_tasks.h"

namespace namm::experiments {

namespace {

// Of byte-level BPE vocabularies of 128,000 entries; rough, and said to be so.
constexpr double kTokensOfWord = 1.4;
constexpr double kTokensOfCharacter = 0.8;

struct MeanLength {
  std::string_view name;
  int64_t length;  ///< LongBench: words, in Chinese characters; InfiniteBench: tokens
};

constexpr std::array kLongBench = {MeanLength{"narrativeqa", 18409},
                                   MeanLength{"qasper", 3619},
                                   MeanLength{"multifieldqa_en", 4559},
                                   MeanLength{"multifieldqa_zh", 6701},
                                   MeanLength{"hotpotqa", 9151},
                                   MeanLength{"2wikimqa", 4887},
                                   MeanLength{"musique", 11214},
                                   MeanLength{"dureader", 15768},
                                   MeanLength{"gov_report", 8734},
                                   MeanLength{"qmsum", 10614},
                                   MeanLength{"multi_news", 2113},
                                   MeanLength{"vcsum", 15380},
                                   MeanLength{"trec", 5177},
                                   MeanLength{"triviaqa", 8209},
                                   MeanLength{"samsum", 6258},
                                   MeanLength{"lsht", 22337},
                                   MeanLength{"passage_count", 11141},
                                   MeanLength{"passage_retrieval_en", 9289},
                                   MeanLength{"passage_retrieval_zh", 6745},
                                   MeanLength{"lcc", 1235},
                                   MeanLength{"repobench-p", 4206}};

constexpr std::array kInfiniteBench = {MeanLength{"passkey", 122400},
                                       MeanLength{"number_string", 122400},
                                       MeanLength{"kv_retrieval", 89900},
                                       MeanLength{"longbook_sum_eng", 171500},
                                       MeanLength{"longbook_qa_eng", 192600},
                                       MeanLength{"longbook_choice_eng", 184400},
                                       MeanLength{"longdialogue_qa_eng", 103600},
                                       MeanLength{"longbook_qa_chn", 2068600},
                                       MeanLength{"code_debug", 114700},
                                       MeanLength{"code_run", 75200},
                                       MeanLength{"math_calc", 43900},
                                       MeanLength{"math_find", 87900}};

struct Benchmark {
  std::string family;  ///< "longbench"
  std::string file;    ///< "qasper"
  std::string language;
  std::string metric;
  int64_t records = 0;
  int64_t generation_tokens = 0;
};

std::optional<Benchmark> find_benchmark(const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return std::nullopt;
  Benchmark found{name.substr(0, slash), name.substr(slash + 1), "", "", 0, 0};
  if (found.family == "infinitebench") {
    const auto* task = tasks::find_infinitebench_task(found.file);
    if (task == nullptr) return std::nullopt;
    found.language = task->language;
    found.metric = found.file;
    found.records = task->records;
    found.generation_tokens = task->generation_tokens;
    return found;
  }
  const bool choubun = found.family == "choubun";
  const auto* task = choubun ? tasks::find_choubun_task(found.file) : tasks::find_longbench_task(found.file);
  const bool extended = found.family == "longbench-e";
  if (task == nullptr || (!choubun && !extended && found.family != "longbench")) return std::nullopt;
  found.language = task->language;
  found.metric = task->metric;
  found.records = extended ? task->e_records : task->records;
  found.generation_tokens = task->generation_tokens;
  return found;
}

class ExpectedTask : public tasks::Task {
 public:
  explicit ExpectedTask(const std::string& generated) { info_.name = generated; }
  ExpectedTask(const std::string& name, const Benchmark& benchmark, const tasks::TaskConfig& config)
      : records_(benchmark.records) {
    info_.name = name;
    info_.metric = benchmark.metric;
    info_.language = benchmark.language;
    info_.generation_tokens = benchmark.generation_tokens;
    info_.record_splits = config.record_splits;
  }

  const tasks::TaskInfo& info() const override { return info_; }

  std::optional<int64_t> count(tasks::Split split) const override {
    if (!records_ || info_.record_splits == "shared") return records_;
    const bool test = split == tasks::Split::test;
    if (info_.record_splits == "test") return test ? *records_ : 0;
    const int64_t train = *records_ * 4 / 10;
    const int64_t validation = *records_ / 10;
    if (test) return *records_ - train - validation;
    return split == tasks::Split::train ? train : validation;
  }

  tasks::Sample sample(tasks::Split, int64_t, const TokenCodec&) const override { fail(); }
  std::optional<double> score(const std::string&, const tasks::Question&) const override { fail(); }

 private:
  [[noreturn]] void fail() const {
    throw DataError(info_.name + ": its files are not there, only their number of records is known");
  }

  tasks::TaskInfo info_;
  std::optional<int64_t> records_;
};

template <size_t N>
std::optional<int64_t> length_of(const std::array<MeanLength, N>& table, const std::string& name) {
  const auto found = std::ranges::find(table, name, &MeanLength::name);
  return found == table.end() ? std::nullopt : std::optional(found->length);
}

/// Published mean length in tokens, and how they are counted.
std::optional<ExpectedLength> published_length(const Benchmark& benchmark) {
  if (benchmark.family == "infinitebench") {
    const auto tokens = length_of(kInfiniteBench, benchmark.file);
    if (!tokens) return std::nullopt;
    return ExpectedLength{*tokens, "published mean"};
  }
  const auto length = benchmark.family == "longbench" ? length_of(kLongBench, benchmark.file) : std::nullopt;
  if (!length) return std::nullopt;
  const bool characters = benchmark.language == "zh";
  const double each = characters ? kTokensOfCharacter : kTokensOfWord;
  return ExpectedLength{std::llround(static_cast<double>(*length) * each),
                        format_text("published mean of {} {}, about {} tokens each", *length,
                                    characters ? "characters" : "words", each)};
}

}  // namespace

std::unique_ptr<tasks::Task> make_expected_task(const std::string& name, const tasks::TaskConfig& config) {
  if (name.starts_with("needle/")) return std::make_unique<ExpectedTask>(name);
  const auto benchmark = find_benchmark(name);
  if (!benchmark) throw ConfigError(name + ": is no task of a benchmark");
  return std::make_unique<ExpectedTask>(name, *benchmark, config);
}

ExpectedLength expected_length(const std::string& name, const tasks::TaskConfig& config,
                               int64_t max_positions) {
  const auto benchmark = find_benchmark(name);
  if (!benchmark) return {config.context_tokens, "by configuration"};
  const int64_t limit = config.max_prompt_tokens > 0 ? config.max_prompt_tokens : max_positions;
  auto length = published_length(*benchmark);
  if (!length && limit == 0) {
    throw ConfigError(name +
                      ": neither its mean length nor a limit (task.max_prompt_tokens) is known: give "
                      "--prompt-tokens");
  }
  if (!length) return {limit, "mean unknown: the longest prompt that is read"};
  if (limit > 0 && length->tokens > limit) {
    length->tokens = limit;
    length->source += ", cut at the longest prompt that is read";
  }
  return *length;
}

}  // namespace namm::experiments
