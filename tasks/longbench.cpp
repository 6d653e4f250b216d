#include "tasks/longbench.h"

#include <algorithm>
#include <fstream>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/random.h"
#include "core/text.h"
#include "tasks/longbench_tasks.h"
#include "tasks/metrics/metric_list.h"
#include "tasks/text/continuation.h"
#include "tasks/text/prompt_template.h"
#include "tasks/text/truncation.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

constexpr std::string_view plain_prefix = "longbench/", e_prefix = "longbench-e/";

std::vector<Text> decode_all(const std::vector<std::string>& texts) {
  std::vector<Text> result;
  result.reserve(texts.size());
  for (const std::string& text : texts) result.push_back(decode_utf8(text));
  return result;
}

std::filesystem::path data_file(const std::filesystem::path& folder, const std::string& file) {
  if (folder.extension() == ".zip") {
    throw DataError(format_text("{}: archives are not read: unpack it and name the folder", folder.string()));
  }
  for (const std::filesystem::path& path : {folder / file, folder / "data" / file}) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return path;
  }
  throw DataError(format_text(
      "{}: neither {} nor data/{} is there: data.longbench must be the folder with LongBench's unpacked "
      "data.zip (data set THUDM/LongBench)",
      folder.string(), file, file));
}

/// A value of one of the official prompt files.
json prompt_entry(const std::filesystem::path& folder, const std::string& file, const std::string& task) {
  const std::filesystem::path path = folder / file;
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    throw DataError(format_text(
        "{}: not there: data.prompts must be the folder `config` of the official LongBench repository",
        path.string()));
  }
  const json all = read_json(path);
  if (!all.is_object() || !all.contains(task))
    throw DataError(format_text("{}: no entry '{}'", path.string(), task));
  return all.at(task);
}

class LongBench : public Task {
 public:
  LongBench(const std::string& name, const LongBenchTask& task, const TaskConfig& config,
            const DataConfig& data, int64_t max_positions)
      : task_(task), config_(config) {
    info_.name = name;
    info_.metric = task.metric;
    info_.language = task.language;
    info_.generation_tokens = task.generation_tokens;
    info_.chat = task.chat;
    truncation_ = config.truncation == "released" ? Truncation::released : Truncation::official;
    if (task.name == "samsum") {
      const bool official = truncation_ == Truncation::official;
      info_.stop_at_newline = official;
      info_.minimum_new_tokens = official ? 1 : 0;
      info_.cut_at_newline = !official;
    }
    metric_options_.edit_similarity = parse_edit_similarity(config.edit_similarity);
    if (config.rouge_recursion_limit >= 0)
      metric_options_.rouge_recursion_limit = config.rouge_recursion_limit;

    read_prompt(data.prompts.value);
    prompt_limit_ = config.max_prompt_tokens;
    if (prompt_limit_ == 0 && max_positions > 0) {
      // The released rule leaves room for the answer by itself.
      const int64_t answer = truncation_ == Truncation::official ? info_.generation_tokens : 0;
      prompt_limit_ = max_positions - answer;
      if (max_positions - info_.generation_tokens < 2) {
        throw ConfigError(
            format_text("{}: answers of {} tokens leave no room for a prompt in the model's {} positions",
                        name, info_.generation_tokens, max_positions));
      }
    }
    const std::string suffix = name.starts_with(e_prefix) ? "_e.jsonl" : ".jsonl";
    file_ = data_file(data.longbench.value, std::string(task.name) + suffix);
    read_index();
  }

  const TaskInfo& info() const override { return info_; }
  std::optional<int64_t> count(Split split) const override { return std::ssize(records(split)); }
  Sample sample(Split split, int64_t id, const TokenCodec& codec) const override;
  double score(const std::string& prediction, const Question& question) const override;

 private:
  /// Where a record stands in the file.
  struct Place {
    std::streamoff offset;  // of itself or of a skipped record before it
    uint64_t lines_before;  // the offset
    uint64_t line;
    uint64_t number;  // from 0, skipped ones counted
  };

  const std::vector<Place>& records(Split split) const { return splits_[static_cast<size_t>(split)]; }

  void read_prompt(const std::filesystem::path& folder);
  void read_index();
  void deal_out(const std::vector<Place>& places);
  void check(const std::string& where, const json& record) const;

  const LongBenchTask& task_;
  TaskConfig config_;
  TaskInfo info_;
  Truncation truncation_;
  int64_t prompt_limit_ = 0;  // 0: none
  MetricOptions metric_options_;
  PromptTemplate prompt_;
  std::filesystem::path file_;
  std::vector<Place> splits_[3];
};

void LongBench::read_prompt(const std::filesystem::path& folder) {
  const std::string task(task_.name);
  if (folder.empty()) {
    info_.unofficial_prompts = true;
    prompt_ = PromptTemplate(std::string(task_.plain_prompt), "the plain prompt of " + task);
    return;
  }
  const json text = prompt_entry(folder, "dataset2prompt.json", task);
  const std::string where = (folder / "dataset2prompt.json").string() + ": " + task;
  if (!text.is_string()) throw DataError(where + ": must be a text");
  const auto& prompt = text.get_ref<const std::string&>();
  if (prompt.find("\\n") != std::string::npos) {
    log_warning(where + ": holds a backslash followed by n, not a line feed; it is used as it stands");
  }
  prompt_ = PromptTemplate(prompt, where);

  const json length = prompt_entry(folder, "dataset2maxlen.json", task);
  if (!length.is_number_integer() || length.get<int64_t>() < 1 || length.get<int64_t>() > 1 << 20) {
    throw DataError(
        format_text("{}: {}: must be a number of tokens", (folder / "dataset2maxlen.json").string(), task));
  }
  info_.generation_tokens = length.get<int64_t>();
}

std::vector<std::string> texts_of(const json& value) {
  return value.is_array() ? value.get<std::vector<std::string>>() : std::vector<std::string>();
}

/// Throws DataError naming `where` (file:line) for a record that is not what the benchmark's format says.
void LongBench::check(const std::string& where, const json& record) const {
  const auto fail = [&](const std::string& text) { throw DataError(where + ": " + text); };
  const auto is_text = [](const json& value) { return value.is_string(); };
  const auto field = [&](const char* name, const char* what, auto is_right) {
    const auto value = record.find(name);
    if (value == record.end()) fail(format_text("the record lacks `{}`", name));
    if (!is_right(*value)) fail(format_text("`{}` must be {}", name, what));
  };
  const auto are_texts = [&](const json& value) {
    return value.is_array() && std::all_of(value.begin(), value.end(), is_text);
  };
  const auto is_list = [&](const json& value) { return are_texts(value) && !value.empty(); };
  field("input", "a text", is_text);
  field("context", "a text", is_text);
  field("answers", "a list of texts", is_list);
  field("length", "a whole number", [](const json& value) { return value.is_number_integer(); });
  if (task_.metric == "classification_score") {
    field("all_classes", "a list of texts", is_list);
  } else if (record.contains("all_classes")) {
    field("all_classes", "null or a list of texts",
          [&](const json& value) { return value.is_null() || are_texts(value); });
  }
  const auto answers = decode_all(texts_of(record.at("answers")));
  const auto classes = decode_all(texts_of(record.value("all_classes", json())));
  if (!best_score(task_.metric, U"", answers, classes, metric_options_)) {
    fail(
        "`answers`: the official metric cannot be computed with this answer (no \"Paragraph\" with a "
        "number)");
  }
  prompt_.fill(record);
}

void LongBench::read_index() {
  auto stream = std::make_unique<std::ifstream>(file_, std::ios::binary);
  if (!*stream) throw DataError(format_text("{}: cannot be opened", file_.string()));
  std::ifstream& position = *stream;
  const BadRecords bad = config_.skip_bad_records ? BadRecords::skip : BadRecords::refuse;
  JsonLinesReader reader(std::move(stream), file_.string(), bad);

  std::vector<Place> places;
  int64_t incomplete = 0;
  for (uint64_t read = 0;; ++read) {
    const std::streamoff offset = position.tellg();
    const uint64_t lines_before = reader.line();
    const std::optional<json> record = reader.next();
    if (!record) break;
    try {
      check(reader.where(), *record);
      places.push_back({offset, lines_before, reader.line(), read + reader.skipped()});
    } catch (const DataError&) {
      if (!config_.skip_bad_records) throw;
      ++incomplete;
    }
  }
  info_.skipped_records = static_cast<int64_t>(reader.skipped()) + incomplete;
  if (places.empty()) throw DataError(format_text("{}: holds no usable record", file_.string()));
  deal_out(places);
}

/// Which records serve which split. `disjoint` draws by the record's number in the file, so a longer or
/// repaired file keeps the splits of a shorter one.
void LongBench::deal_out(const std::vector<Place>& places) {
  for (const Place& place : places) {
    if (config_.record_splits == "shared") {
      for (auto& split : splits_) split.push_back(place);
    } else if (config_.record_splits == "disjoint") {
      RandomStream random({.seed = config_.seed, .purpose = info_.name + "/splits", .sample = place.number});
      const uint64_t tenth = random.uniform_int(10);
      splits_[tenth < 4 ? 0 : tenth < 5 ? 1 : 2].push_back(place);
    } else {
      splits_[static_cast<size_t>(Split::test)].push_back(place);
    }
  }
}

bool ends_in_space_or_nothing(std::string_view text) {
  constexpr size_t longest_character = 4;
  const Text end = decode_utf8(text.substr(text.size() - std::min(text.size(), longest_character)));
  return end.empty() || is_space(end.back());
}

Sample LongBench::sample(Split split, int64_t id, const TokenCodec& codec) const {
  const std::vector<Place>& places = records(split);
  if (id < 0 || id >= std::ssize(places)) {
    throw ConfigError(format_text("{}: the {} split has {} samples, sample {} does not exist{}", info_.name,
                                  split_name(split), places.size(), id,
                                  places.empty() ? "; see the setting record_splits" : ""));
  }
  const Place& place = places[static_cast<size_t>(id)];
  auto stream = std::make_unique<std::ifstream>(file_, std::ios::binary);
  stream->seekg(place.offset);
  JsonLinesReader reader(std::move(stream), file_.string(), BadRecords::skip);
  const std::optional<json> record = reader.next();
  const std::string where = format_text("{}:{}", file_.string(), place.line);
  if (!record || place.lines_before + reader.line() != place.line)
    throw DataError(where + ": the file has changed since it was opened; start again");
  check(where, *record);

  Sample sample;
  sample.id = id;
  sample.split = split;
  sample.record_id =
      record->contains("_id") && record->at("_id").is_string() ? record->at("_id").get<std::string>() : "";
  sample.length = record->at("length").get<int64_t>();

  TruncatedPrompt prompt =
      truncate_prompt(codec, prompt_.fill(*record), prompt_limit_, truncation_, info_.generation_tokens);
  sample.context = std::move(prompt.text);
  sample.truncated = prompt.truncated;
  sample.original_tokens = prompt.original_tokens;
  sample.context_ids = codec.prefix();
  sample.prefix_tokens = std::ssize(sample.context_ids);
  const std::vector<int64_t> ids = codec.encode(sample.context);
  sample.context_ids.insert(sample.context_ids.end(), ids.begin(), ids.end());

  Question question;
  question.answers = texts_of(record->at("answers"));
  question.all_classes = texts_of(record->value("all_classes", json()));
  question.generation_tokens = info_.generation_tokens;
  const bool ends_in_space = ends_in_space_or_nothing(sample.context);
  question.target = (ends_in_space ? "" : " ") + question.answers.front();
  question.target_ids =
      ends_in_space ? codec.encode_continued(question.target) : encode_continuation(codec, question.target);
  sample.questions.push_back(std::move(question));
  return sample;
}

double LongBench::score(const std::string& prediction, const Question& question) const {
  const Text text = decode_utf8(prediction);
  const TextView scored = task_.first_line ? first_line(text) : TextView(text);
  return best_score(task_.metric, scored, decode_all(question.answers), decode_all(question.all_classes),
                    metric_options_)
      .value_or(0);  // answers without a score were refused when the file was opened
}

}  // namespace

std::vector<std::string> longbench_names() {
  std::vector<std::string> names;
  for (const LongBenchTask& task : longbench_tasks())
    names.push_back(std::string(plain_prefix) + std::string(task.name));
  for (const LongBenchTask& task : longbench_tasks()) {
    if (task.in_e) names.push_back(std::string(e_prefix) + std::string(task.name));
  }
  return names;
}

std::unique_ptr<Task> make_longbench_task(const std::string& name, const TaskConfig& config,
                                          const DataConfig& data, int64_t max_positions) {
  const bool is_e = name.starts_with(e_prefix);
  const LongBenchTask* task =
      find_longbench_task(std::string_view(name).substr(is_e ? e_prefix.size() : plain_prefix.size()));
  if (!task || (is_e && !task->in_e)) throw ConfigError(format_text("'{}' is no task", name));
  if (const std::string reason = unsupported_reason(task->metric); !reason.empty()) {
    throw ConfigError(format_text("{}: {}", name, reason));
  }
  if (data.longbench.empty()) {
    throw ConfigError(
        format_text("{}: data.longbench is not set: name the folder with LongBench's unpacked data.zip "
                    "(data set THUDM/LongBench)",
                    name));
  }
  return std::make_unique<LongBench>(name, *task, config, data, max_positions);
}

}  // namespace namm::tasks
