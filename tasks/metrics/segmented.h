#pragma once

#include <cstdint>
#include <vector>

#include "tasks/text/unicode.h"

/// Metrics of languages without blanks between words; the caller cuts the raw texts into words (jieba for
/// Chinese, MeCab for Japanese) before anything else is done to them.
namespace namm::tasks {

/// LongBench `qa_f1_zh_score` and ChouBun `qa_f1_ja_score`: F1 of the words, each through normalized_cjk,
/// that are not empty then.
double segmented_f1(const std::vector<TextView>& prediction, const std::vector<TextView>& gold);

/// LongBench `rouge_zh_score` and ChouBun `rouge_ja_score`: rouge_l of the words joined with one blank.
double segmented_rouge(const std::vector<TextView>& prediction, const std::vector<TextView>& gold,
                       int64_t recursion_limit);

}  // namespace namm::tasks
