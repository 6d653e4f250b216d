#include "tasks/infinitebench.h"

#include <algorithm>
#include <optional>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"
#include "tasks/infinitebench_tasks.h"
#include "tasks/metrics/infinitebench/infinitebench.h"
#include "tasks/records/record_task.h"
#include "tasks/text/prompt_template.h"
#include "tasks/text/python_literal.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

constexpr std::string_view prefix = "infinitebench/";
constexpr std::string_view letters = "ABCD";

const InfiniteBenchTask* data_set_of(std::string_view name) {
  return name.starts_with(prefix) ? find_infinitebench_task(name.substr(prefix.size())) : nullptr;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The first "func_<digits>(<number>)" of a code_run question: what is called.
std::optional<std::string> called_function(const std::string& input) {
  constexpr std::string_view start = "func_";
  for (size_t begin = input.find(start); begin != std::string::npos; begin = input.find(start, begin + 1)) {
    const auto digits_from = [&](size_t place) {
      while (place < input.size() && is_digit(input[place])) ++place;
      return place;
    };
    size_t place = begin + start.size();
    const size_t name_end = digits_from(place);
    if (name_end == place || name_end >= input.size() || input[name_end] != '(') continue;
    place = name_end + 1;
    if (place < input.size() && input[place] == '-') ++place;
    const size_t end = digits_from(place);
    if (end > place && end < input.size() && input[end] == ')') return input.substr(begin, end + 1 - begin);
  }
  return std::nullopt;
}

/// What a math_find question looks for: from the first "The " to the last " of" of that line, lower case,
/// without the " of".
std::optional<std::string> wanted_number(const std::string& input) {
  constexpr std::string_view start = "The ", end = " of";
  for (size_t begin = input.find(start); begin != std::string::npos; begin = input.find(start, begin + 1)) {
    const std::string line = input.substr(begin, input.find('\n', begin) - begin);
    const size_t last = line.rfind(end);
    if (last != std::string::npos && last > start.size())
      return encode_utf8(lower(decode_utf8(line.substr(0, last))));
  }
  return std::nullopt;
}

/// A label as it continues a prompt: texts as they are, numbers and lists as Python prints them.
std::string text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string text;
  for (const json& item : value) text += (text.empty() ? "" : ", ") + text_of(item);
  return "[" + text + "]";
}

/// [text of the option, its letter]
bool is_labelled_choice(const json& answer) {
  return answer.is_array() && answer.size() == 2 && answer.at(0).is_string() && answer.at(1).is_string() &&
         answer.at(1).get_ref<const std::string&>().size() == 1 &&
         letters.find(answer.at(1).get_ref<const std::string&>()) != std::string_view::npos;
}

class InfiniteBench : public RecordTask {
 public:
  InfiniteBench(const std::string& name, const InfiniteBenchTask& data_set, const TaskConfig& config,
                const DataConfig& data, int64_t max_positions)
      : RecordTask(config, Truncation::infinitebench, max_positions), data_set_(data_set) {
    info_.name = name;
    info_.metric = std::string(data_set.name) + ", scorer " + config.scorer;
    info_.language = data_set.language;
    info_.generation_tokens = data_set.generation_tokens;
    info_.predictions = "preds_" + std::string(data_set.name);
    options_ = {parse_infinitebench_scorer(config.scorer), config.scored_model};
    read_prompt(data.infinitebench_prompts.value);
    open_records(BenchmarkFolder::open(data.infinitebench.value), infinitebench_file(name), "id",
                 infinitebench_origin);
    info_.never_right = never_right_;
    is_open_ = true;
  }

  std::optional<double> score(const std::string& prediction, const Question& question) const override {
    return infinitebench_score(data_set_.name, decode_utf8(prediction), json::parse(question.label),
                               options_);
  }

 private:
  void check(const std::string& where, const json& record) const override;
  std::string prompt_of(const json& record) const override { return prompt_.fill(places_of(record)); }
  Question question_of(const json& record) const override;
  std::string id_of(const json& record) const override {
    const auto id = record.find("id");
    return id == record.end() ? "" : id->is_string() ? id->get<std::string>() : id->dump();
  }
  int64_t length_of(const json&) const override { return 0; }

  void read_prompt(const std::filesystem::path& folder);
  json places_of(const json& record) const;
  json label_of(const json& record) const;
  bool can_be_right(const json& label) const;

  const InfiniteBenchTask& data_set_;
  InfiniteBenchOptions options_;
  PromptTemplate prompt_;
  std::optional<PromptTemplate> find_question_;  // math_find: the sentence around what is looked for
  mutable int64_t never_right_ = 0;              // counted by check() while the file is opened
  bool is_open_ = false;
};

void InfiniteBench::read_prompt(const std::filesystem::path& folder) {
  const std::string task(data_set_.name);
  if (!folder.empty() && config_.prompt_family == "gpt4" && task == "math_calc") {
    throw ConfigError(
        "task.prompt_family = gpt4: its official prompt of math_calc is a chat with a worked example, which "
        "is not made here; choose yarn-mistral or claude2");
  }
  if (folder.empty()) {
    info_.unofficial_prompts = true;
    prompt_ = PromptTemplate(std::string(data_set_.plain_prompt), "the plain prompt of " + task);
    return;
  }
  const auto source_of = [&](const char* file) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(folder / file, ignored)) {
      throw DataError(
          format_text("{}: not there: data.infinitebench_prompts must be the folder `src` of the "
                      "official InfiniteBench repository",
                      (folder / file).string()));
    }
    return read_file(folder / file);
  };
  const std::string prompt_file = (folder / "prompt.py").string(),
                    utils_file = (folder / "eval_utils.py").string();
  std::string variable = config_.prompt_family + "_templates";
  std::ranges::replace(variable, '-', '_');
  const json templates = python_assignment(source_of("prompt.py"), variable, prompt_file);
  const std::string where = format_text("{}: {}: {}", prompt_file, variable, task);
  if (!templates.is_object() || !templates.contains(task) || !templates.at(task).is_string()) {
    throw DataError(where + ": no template");
  }
  prompt_ = PromptTemplate(templates.at(task).get<std::string>(), where);

  const std::string utils = source_of("eval_utils.py");
  const json lengths = python_assignment(utils, "DATA_NAME_TO_MAX_NEW_TOKENS", utils_file);
  const json length = lengths.is_object() ? lengths.value(task, json()) : json();
  if (!length.is_number_integer() || length.get<int64_t>() < 1 || length.get<int64_t>() > 1 << 20) {
    throw DataError(
        format_text("{}: DATA_NAME_TO_MAX_NEW_TOKENS: {}: must be a number of tokens", utils_file, task));
  }
  info_.generation_tokens = length.get<int64_t>();
  if (task == "math_find") {
    const json sentence = python_assignment(utils, "prefix", utils_file, true);
    if (!sentence.is_string()) throw DataError(utils_file + ": prefix: must be a text");
    find_question_ = PromptTemplate(sentence.get<std::string>(), utils_file + ": prefix");
  }
}

/// What the templates may name.
json InfiniteBench::places_of(const json& record) const {
  json places{
      {"context", record.at("context")}, {"input", record.at("input")}, {"question", record.at("input")}};
  if (data_set_.choice) {
    for (size_t i = 0; i < letters.size(); ++i) {
      places[std::string("OPTION_") + letters[i]] = record.at("options").at(i);
    }
  }
  const auto& input = record.at("input").get_ref<const std::string&>();
  if (const auto call = data_set_.name == "code_run" ? called_function(input) : std::nullopt) {
    places["func_call"] = *call;
    places["func"] = call->substr(0, call->find('('));
  }
  if (const auto wanted = find_question_ ? wanted_number(input) : std::nullopt) {
    places["prefix"] = find_question_->fill({{"target_number", *wanted}});
  }
  return places;
}

/// What the official scripts hand to the scorer: the answer as it stands, for choices [text, letter].
json InfiniteBench::label_of(const json& record) const {
  const json& answer = record.at("answer");
  if (!data_set_.choice || is_labelled_choice(answer)) return answer;
  const json& text = answer.is_array() ? answer.at(0) : answer;
  const json& options = record.at("options");
  const auto place = std::find(options.begin(), options.end(), text) - options.begin();
  return {text, std::string(1, letters.at(static_cast<size_t>(place)))};
}

void InfiniteBench::check(const std::string& where, const json& record) const {
  const auto fail = [&](const std::string& text) { throw DataError(where + ": " + text); };
  for (const char* field : {"context", "input"}) {
    const auto value = record.find(field);
    if (value == record.end()) fail(format_text("the record lacks `{}`", field));
    if (!value->is_string()) fail(format_text("`{}` must be a text", field));
  }
  const auto answer = record.find("answer");
  if (answer == record.end()) fail("the record lacks `answer`");
  if (answer->is_null() || answer->is_object() || (answer->is_array() && answer->empty())) {
    fail("`answer` must be a text, a number or a list of one of these at least");
  }
  if (data_set_.choice) {
    const auto options = record.find("options");
    if (options == record.end()) fail("the record lacks `options`");
    if (!options->is_array() || options->size() != letters.size() ||
        !std::ranges::all_of(*options, [](const json& option) { return option.is_string(); })) {
      fail("`options` must be four texts");
    }
    if (answer->is_array() && answer->size() != 1 && !is_labelled_choice(*answer)) {
      fail("`answer` must be one option, or an option and its letter A to D");
    }
    const json& text = answer->is_array() ? answer->at(0) : *answer;
    if (!is_labelled_choice(*answer) && std::ranges::find(*options, text) == options->end()) {
      fail("`answer` is none of `options`");
    }
  }
  if (!infinitebench_score(data_set_.name, U"", label_of(record), options_)) {
    fail("`answer`: the official scorer cannot use an answer of this type for this task");
  }
  const auto& input = record.at("input").get_ref<const std::string&>();
  if (data_set_.name == "code_run" && !called_function(input))
    fail("`input` calls no func_<number>(<number>)");
  if (find_question_ && !wanted_number(input)) fail("`input` does not say which number: \"The ... of\"");
  try {
    prompt_.fill(places_of(record));
  } catch (const DataError& error) {
    fail(error.what());
  }
  if (!is_open_ && !can_be_right(label_of(record))) ++never_right_;
}

/// Whether the label's own text scores: in the scorer of June a list is never among the words of
/// kv_retrieval.
bool InfiniteBench::can_be_right(const json& label) const {
  std::string answer = text_of(label);
  if (data_set_.choice) {
    answer = label.at(1).get<std::string>() + ". " + text_of(label.at(0));
  } else if (label.is_array() && data_set_.name != "math_calc") {
    answer = text_of(label.at(0));
  }
  return infinitebench_score(data_set_.name, decode_utf8(answer), label, options_).value_or(0) > 0;
}

Question InfiniteBench::question_of(const json& record) const {
  Question question;
  const json label = label_of(record);
  question.label = label.dump();
  const bool is_list_of_answers = label.is_array() && !label.empty() && data_set_.name != "math_calc";
  if (is_list_of_answers) {
    for (const json& item : label) question.answers.push_back(text_of(item));
    // The prompts of choices end where the letter belongs.
    if (data_set_.choice) std::ranges::reverse(question.answers);
  } else {
    question.answers.push_back(text_of(label));
  }
  return question;
}

}  // namespace

std::vector<std::string> infinitebench_names() {
  std::vector<std::string> names;
  for (const InfiniteBenchTask& task : infinitebench_tasks()) {
    names.push_back(std::string(prefix) + std::string(task.name));
  }
  return names;
}

std::string infinitebench_file(std::string_view name) {
  const InfiniteBenchTask* data_set = data_set_of(name);
  if (!data_set) throw ConfigError(format_text("'{}' is no task", name));
  return std::string(data_set->name) + ".jsonl";
}

std::unique_ptr<Task> make_infinitebench_task(const std::string& name, const TaskConfig& config,
                                              const DataConfig& data, int64_t max_positions) {
  infinitebench_file(name);
  if (data.infinitebench.empty()) {
    throw ConfigError(format_text("{}: data.infinitebench is not set: {}", name, infinitebench_origin));
  }
  return std::make_unique<InfiniteBench>(name, *data_set_of(name), config, data, max_positions);
}

}  // namespace namm::tasks
