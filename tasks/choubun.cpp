#include "tasks/choubun.h"

#include <algorithm>
#include <array>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/longbench_format.h"

namespace namm::tasks {
namespace {

constexpr std::string_view prefix = "choubun/";
constexpr std::string_view question_prompt = "{context}\n\n質問：{input}\n短い答え：";
constexpr std::string_view summary_prompt = "{context}\n\n上の文書の要約：";

// name, language, generation tokens, metric, first line, chat, records, of E, plain prompt
constexpr std::array all_tasks = {
    LongBenchTask{"wiki_qa", "ja", 64, "qa_f1_ja_score", false, false, 200, 0, question_prompt},
    LongBenchTask{"edinet_qa", "ja", 64, "qa_f1_ja_score", false, false, 390, 0, question_prompt},
    LongBenchTask{"corp_sec_qa", "ja", 64, "qa_f1_ja_score", false, false, 150, 0, question_prompt},
    LongBenchTask{"corp_sec_sum", "ja", 128, "rouge_ja_score", false, false, 30, 0, summary_prompt},
};

const LongBenchTask* data_set_of(std::string_view name) {
  return name.starts_with(prefix) ? find_choubun_task(name.substr(prefix.size())) : nullptr;
}

}  // namespace

std::span<const LongBenchTask> choubun_tasks() {
  return all_tasks;
}

const LongBenchTask* find_choubun_task(std::string_view name) {
  const auto found = std::ranges::find(all_tasks, name, &LongBenchTask::name);
  return found == all_tasks.end() ? nullptr : &*found;
}

std::vector<std::string> choubun_names() {
  std::vector<std::string> names;
  for (const LongBenchTask& task : all_tasks) names.push_back(std::string(prefix) + std::string(task.name));
  return names;
}

std::string choubun_file(std::string_view name) {
  const LongBenchTask* data_set = data_set_of(name);
  if (!data_set) throw ConfigError(format_text("'{}' is no task", name));
  return std::string(data_set->name) + ".jsonl";
}

std::unique_ptr<Task> make_choubun_task(const std::string& name, const TaskConfig& config,
                                        const DataConfig& data, int64_t max_positions) {
  const std::string file = choubun_file(name);
  return make_longbench_format_task(name, *data_set_of(name), config,
                                    {.data = data.choubun,
                                     .prompts = data.choubun_prompts,
                                     .dictionaries = data.dictionaries,
                                     .file = file,
                                     .predictions = std::string(data_set_of(name)->name),
                                     .data_key = "data.choubun",
                                     .origin = choubun_origin},
                                    "released", max_positions);
}

}  // namespace namm::tasks
