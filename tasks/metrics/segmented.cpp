#include "tasks/metrics/segmented.h"

#include "tasks/metrics/rouge_l.h"
#include "tasks/metrics/token_f1.h"
#include "tasks/text/cjk.h"

namespace namm::tasks {
namespace {

std::vector<Text> normalized(const std::vector<TextView>& words) {
  std::vector<Text> result;
  for (TextView word : words) {
    Text text = normalized_cjk(word);
    if (!text.empty()) result.push_back(std::move(text));
  }
  return result;
}

Text joined(const std::vector<TextView>& words) {
  Text text;
  for (TextView word : words) {
    if (!text.empty()) text += U' ';
    text += word;
  }
  return text;
}

}  // namespace

double segmented_f1(const std::vector<TextView>& prediction, const std::vector<TextView>& gold) {
  return bag_f1(normalized(prediction), normalized(gold));
}

double segmented_rouge(const std::vector<TextView>& prediction, const std::vector<TextView>& gold,
                       int64_t recursion_limit) {
  return rouge_l(joined(prediction), joined(gold), recursion_limit);
}

}  // namespace namm::tasks
