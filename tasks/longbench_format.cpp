#include "tasks/longbench_format.h"

#include <algorithm>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"
#include "tasks/metrics/metric_list.h"
#include "tasks/records/record_task.h"
#include "tasks/text/prompt_template.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

std::vector<Text> decode_all(const std::vector<std::string>& texts) {
  std::vector<Text> result;
  result.reserve(texts.size());
  for (const std::string& text : texts) result.push_back(decode_utf8(text));
  return result;
}

/// A value of one of the official prompt files.
json prompt_entry(const std::filesystem::path& folder, const std::string& file, const std::string& task) {
  const std::filesystem::path path = folder / file;
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) {
    throw DataError(format_text(
        "{}: not there: the prompts must be the folder `config` of the official repository", path.string()));
  }
  const json all = read_json(path);
  if (!all.is_object() || !all.contains(task))
    throw DataError(format_text("{}: no entry '{}'", path.string(), task));
  return all.at(task);
}

std::vector<std::string> texts_of(const json& value) {
  return value.is_array() ? value.get<std::vector<std::string>>() : std::vector<std::string>();
}

class LongBenchFormat : public RecordTask {
 public:
  LongBenchFormat(const std::string& name, const LongBenchTask& data_set, const TaskConfig& config,
                  const LongBenchFormatFiles& files, Truncation truncation, int64_t max_positions)
      : RecordTask(config, truncation, max_positions), data_set_(data_set) {
    info_.name = name;
    info_.metric = data_set.metric;
    info_.language = data_set.language;
    info_.generation_tokens = data_set.generation_tokens;
    info_.chat = data_set.chat;
    info_.predictions = files.predictions;
    if (data_set.name == "samsum") {
      const bool official = truncation == Truncation::official;
      info_.stop_at_newline = official;
      info_.minimum_new_tokens = official ? 1 : 0;
      info_.cut_at_newline = !official;
    }
    metric_options_.edit_similarity = parse_edit_similarity(config.edit_similarity);
    if (config.rouge_recursion_limit >= 0)
      metric_options_.rouge_recursion_limit = config.rouge_recursion_limit;
    metric_options_.segmenters = std::make_shared<const Segmenters>(files.dictionaries.value);
    info_.dictionary = metric_dictionary(data_set.metric, metric_options_);
    read_prompt(files.prompts.value);
    open_records(BenchmarkFolder::open(files.data.value), files.file, "_id", files.origin);
  }

  std::optional<double> score(const std::string& prediction, const Question& question) const override;

 private:
  void check(const std::string& where, const json& record) const override;
  std::string prompt_of(const json& record) const override { return prompt_.fill(record); }
  Question question_of(const json& record) const override;
  std::string id_of(const json& record) const override;
  int64_t length_of(const json& record) const override { return record.at("length").get<int64_t>(); }

  void read_prompt(const std::filesystem::path& folder);

  const LongBenchTask& data_set_;
  MetricOptions metric_options_;
  PromptTemplate prompt_;
};

void LongBenchFormat::read_prompt(const std::filesystem::path& folder) {
  const std::string task(data_set_.name);
  if (folder.empty()) {
    info_.unofficial_prompts = true;
    prompt_ = PromptTemplate(std::string(data_set_.plain_prompt), "the plain prompt of " + task);
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

void LongBenchFormat::check(const std::string& where, const json& record) const {
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
  field("answers", "a list of one text at least", is_list);
  field("length", "a whole number", [](const json& value) { return value.is_number_integer(); });
  if (data_set_.metric == "classification_score") {
    field("all_classes", "a list of one text at least", is_list);
  } else if (record.contains("all_classes")) {
    field("all_classes", "null or a list of texts",
          [&](const json& value) { return value.is_null() || are_texts(value); });
  }
  const auto answers = decode_all(texts_of(record.at("answers")));
  const auto classes = decode_all(texts_of(record.value("all_classes", json())));
  if (!best_score(data_set_.metric, U"", answers, classes, metric_options_)) {
    fail(
        "`answers`: the official metric cannot be computed with this answer (no \"Paragraph\" with a "
        "number)");
  }
  try {
    prompt_.fill(record);
  } catch (const DataError& error) {
    fail(error.what());
  }
}

Question LongBenchFormat::question_of(const json& record) const {
  Question question;
  question.answers = texts_of(record.at("answers"));
  question.all_classes = texts_of(record.value("all_classes", json()));
  return question;
}

std::string LongBenchFormat::id_of(const json& record) const {
  const auto id = record.find("_id");
  return id != record.end() && id->is_string() ? id->get<std::string>() : "";
}

std::optional<double> LongBenchFormat::score(const std::string& prediction, const Question& question) const {
  const Text text = decode_utf8(prediction);
  const TextView scored = data_set_.first_line ? first_line(text) : TextView(text);
  return best_score(data_set_.metric, scored, decode_all(question.answers), decode_all(question.all_classes),
                    metric_options_);
}

}  // namespace

std::unique_ptr<Task> make_longbench_format_task(const std::string& name, const LongBenchTask& data_set,
                                                 const TaskConfig& config, const LongBenchFormatFiles& files,
                                                 std::string_view truncation, int64_t max_positions) {
  if (files.data.empty())
    throw ConfigError(format_text("{}: {} is not set: {}", name, files.data_key, files.origin));
  return std::make_unique<LongBenchFormat>(
      name, data_set, config, files, truncation == "released" ? Truncation::released : Truncation::official,
      max_positions);
}

}  // namespace namm::tasks
