#include "tasks/longbench_tasks.h"

#include <algorithm>
#include <array>

namespace namm::tasks {
namespace {

constexpr std::string_view question_prompt = "{context}\n\nQuestion: {input}\nShort answer:";
constexpr std::string_view chinese_question_prompt = "{context}\n\n问题：{input}\n简短回答：";
constexpr std::string_view summary_prompt = "{context}\n\nSummary of the text above:";
constexpr std::string_view chinese_summary_prompt = "{context}\n\n以上内容的总结：";
constexpr std::string_view few_shot_prompt = "{context}\n{input}";
constexpr std::string_view retrieval_prompt =
    "{context}\n\nThis is a summary of one of the paragraphs above: {input}\nIts paragraph (as \"Paragraph "
    "1\"): ";
constexpr std::string_view chinese_retrieval_prompt =
    "{context}\n\n以下是上面某一段的摘要：{input}\n它是第几段（格式如“段落1”）：";
constexpr std::string_view count_prompt =
    "{context}\n\nNumber of different paragraphs above, repeated ones counted once: ";

// name, language, generation tokens, metric, first line, chat, records, of E, plain prompt
constexpr std::array all_tasks = {
    LongBenchTask{"narrativeqa", "en", 128, "qa_f1_score", false, true, 200, 0, question_prompt},
    LongBenchTask{"qasper", "en", 128, "qa_f1_score", false, true, 200, 224, question_prompt},
    LongBenchTask{"multifieldqa_en", "en", 64, "qa_f1_score", false, true, 150, 150, question_prompt},
    LongBenchTask{"multifieldqa_zh", "zh", 64, "qa_f1_zh_score", false, true, 200, 0,
                  chinese_question_prompt},
    LongBenchTask{"hotpotqa", "en", 32, "qa_f1_score", false, true, 200, 300, question_prompt},
    LongBenchTask{"2wikimqa", "en", 32, "qa_f1_score", false, true, 200, 300, question_prompt},
    LongBenchTask{"musique", "en", 32, "qa_f1_score", false, true, 200, 0, question_prompt},
    LongBenchTask{"dureader", "zh", 128, "rouge_zh_score", false, true, 200, 0, chinese_question_prompt},
    LongBenchTask{"gov_report", "en", 512, "rouge_score", false, true, 200, 300, summary_prompt},
    LongBenchTask{"qmsum", "en", 512, "rouge_score", false, true, 200, 0, question_prompt},
    LongBenchTask{"multi_news", "en", 512, "rouge_score", false, true, 200, 294, summary_prompt},
    LongBenchTask{"vcsum", "zh", 512, "rouge_zh_score", false, true, 200, 0, chinese_summary_prompt},
    LongBenchTask{"trec", "en", 64, "classification_score", true, false, 200, 300, few_shot_prompt},
    LongBenchTask{"triviaqa", "en", 32, "qa_f1_score", true, false, 200, 300, few_shot_prompt},
    LongBenchTask{"samsum", "en", 128, "rouge_score", true, false, 200, 300, few_shot_prompt},
    LongBenchTask{"lsht", "zh", 64, "classification_score", true, false, 200, 0, few_shot_prompt},
    LongBenchTask{"passage_count", "en", 32, "count_score", false, true, 200, 300, count_prompt},
    LongBenchTask{"passage_retrieval_en", "en", 32, "retrieval_score", false, true, 200, 300,
                  retrieval_prompt},
    LongBenchTask{"passage_retrieval_zh", "zh", 32, "retrieval_zh_score", false, true, 200, 0,
                  chinese_retrieval_prompt},
    LongBenchTask{"lcc", "code", 64, "code_sim_score", false, false, 500, 300, "{context}"},
    LongBenchTask{"repobench-p", "code", 64, "code_sim_score", false, false, 500, 300, "{context}{input}"},
};

}  // namespace

std::span<const LongBenchTask> longbench_tasks() {
  return all_tasks;
}

const LongBenchTask* find_longbench_task(std::string_view name) {
  const auto found = std::ranges::find(all_tasks, name, &LongBenchTask::name);
  return found == all_tasks.end() ? nullptr : &*found;
}

}  // namespace namm::tasks
