#include "tasks/longbench_tasks.h"

#include <algorithm>
#include <array>

namespace namm::tasks {
namespace {

constexpr std::string_view kQuestion = "{context}\n\nQuestion: {input}\nShort answer:";
constexpr std::string_view kQuestionChinese = "{context}\n\n问题：{input}\n简短回答：";
constexpr std::string_view kSummary = "{context}\n\nSummary of the text above:";
constexpr std::string_view kSummaryChinese = "{context}\n\n以上内容的总结：";
constexpr std::string_view kFewShot = "{context}\n{input}";
constexpr std::string_view kRetrieval =
    "{context}\n\nThis is a summary of one of the paragraphs above: {input}\nIts paragraph (as \"Paragraph 1\"): ";
constexpr std::string_view kRetrievalChinese = "{context}\n\n以下是上面某一段的摘要：{input}\n它是第几段（格式如“段落1”）：";
constexpr std::string_view kCount = "{context}\n\nNumber of different paragraphs above, repeated ones counted once: ";

// name, language, generation tokens, metric, first line, chat, E, plain prompt
constexpr std::array kTasks = {
    LongBenchTask{"narrativeqa", "en", 128, "qa_f1_score", false, true, false, kQuestion},
    LongBenchTask{"qasper", "en", 128, "qa_f1_score", false, true, true, kQuestion},
    LongBenchTask{"multifieldqa_en", "en", 64, "qa_f1_score", false, true, true, kQuestion},
    LongBenchTask{"multifieldqa_zh", "zh", 64, "qa_f1_zh_score", false, true, false, kQuestionChinese},
    LongBenchTask{"hotpotqa", "en", 32, "qa_f1_score", false, true, true, kQuestion},
    LongBenchTask{"2wikimqa", "en", 32, "qa_f1_score", false, true, true, kQuestion},
    LongBenchTask{"musique", "en", 32, "qa_f1_score", false, true, false, kQuestion},
    LongBenchTask{"dureader", "zh", 128, "rouge_zh_score", false, true, false, kQuestionChinese},
    LongBenchTask{"gov_report", "en", 512, "rouge_score", false, true, true, kSummary},
    LongBenchTask{"qmsum", "en", 512, "rouge_score", false, true, false, kQuestion},
    LongBenchTask{"multi_news", "en", 512, "rouge_score", false, true, true, kSummary},
    LongBenchTask{"vcsum", "zh", 512, "rouge_zh_score", false, true, false, kSummaryChinese},
    LongBenchTask{"trec", "en", 64, "classification_score", true, false, true, kFewShot},
    LongBenchTask{"triviaqa", "en", 32, "qa_f1_score", true, false, true, kFewShot},
    LongBenchTask{"samsum", "en", 128, "rouge_score", true, false, true, kFewShot},
    LongBenchTask{"lsht", "zh", 64, "classification_score", true, false, false, kFewShot},
    LongBenchTask{"passage_count", "en", 32, "count_score", false, true, true, kCount},
    LongBenchTask{"passage_retrieval_en", "en", 32, "retrieval_score", false, true, true, kRetrieval},
    LongBenchTask{"passage_retrieval_zh", "zh", 32, "retrieval_zh_score", false, true, false, kRetrievalChinese},
    LongBenchTask{"lcc", "code", 64, "code_sim_score", false, false, true, "{context}"},
    LongBenchTask{"repobench-p", "code", 64, "code_sim_score", false, false, true, "{context}{input}"},
};

}  // namespace

std::span<const LongBenchTask> longbench_tasks() { return kTasks; }

const LongBenchTask* find_longbench_task(std::string_view name) {
  const auto found = std::ranges::find(kTasks, name, &LongBenchTask::name);
  return found == kTasks.end() ? nullptr : &*found;
}

}  // namespace namm::tasks
