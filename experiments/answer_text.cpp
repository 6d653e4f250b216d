#include "experiments/answer_text.h"

#include <utility>

namespace namm::experiments {

AnswerText::AnswerText(const models::Tokenizer& tokenizer, std::vector<std::string> stops,
                       std::function<void(std::string_view)> print)
    : decoder_(tokenizer), stops_(std::move(stops)), print_(std::move(print)) {}

void AnswerText::add_certain(const std::string& text) {
  text_ += text;
  if (print_ && !text.empty()) print_(text);
}

bool AnswerText::add(int64_t id) {
  add_certain(stops_.add(decoder_.add(id)));
  return !stops_.met();
}

void AnswerText::finish() {
  add_certain(stops_.add(decoder_.finish()));
  add_certain(stops_.finish());
}

}  // namespace namm::experiments
