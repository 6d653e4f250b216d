#include "experiments/answer_text.h"

#include <utility>

#include "core/text.h"

namespace namm::experiments {

AnswerText::AnswerText(const TokenCodec& codec, std::vector<std::string> stops,
                       std::function<void(std::string_view)> print)
    : codec_(codec), stops_(std::move(stops)), print_(std::move(print)) {}

void AnswerText::add_text(std::string_view text) {
  const std::string certain = stops_.add(text);
  text_ += certain;
  if (print_ && !certain.empty()) print_(certain);
}

bool AnswerText::add(int64_t id) {
  ids_.push_back(id);
  const std::string all = codec_.decode(ids_);
  if (all.size() < decoded_) return true;
  std::string_view rest = std::string_view(all).substr(decoded_);
  constexpr size_t kLongestLetter = 4;
  const auto invalid = first_invalid_utf8(rest);
  if (invalid && rest.size() - *invalid < kLongestLetter) rest = rest.substr(0, *invalid);
  decoded_ += rest.size();
  add_text(rest);
  return !stops_.met();
}

void AnswerText::finish() {
  const std::string all = codec_.decode(ids_);
  if (all.size() > decoded_) add_text(std::string_view(all).substr(decoded_));
  decoded_ = all.size();
  const std::string held = stops_.finish();
  text_ += held;
  if (print_ && !held.empty()) print_(held);
}

}  // namespace namm::experiments
