#include "models/stop_text.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace namm::models {

StopText::StopText(std::vector<std::string> texts) : texts_(std::move(texts)) {
  std::erase(texts_, "");
}

std::string StopText::add(std::string_view piece) {
  if (met_) return {};
  held_ += piece;
  std::optional<std::pair<size_t, size_t>> first;  // end and beginning
  for (const std::string& text : texts_) {
    const size_t begin = held_.find(text);
    if (begin == std::string::npos) continue;
    const std::pair place(begin + text.size(), begin);
    first = first ? std::min(*first, place) : place;
  }
  if (first) {
    met_ = true;
    return std::exchange(held_, {}).substr(0, first->second);
  }
  // The longest end of the text that begins one of the stop texts.
  size_t open = 0;
  for (const std::string& text : texts_) {
    for (size_t n = std::min(held_.size(), text.size() - 1); n > open; --n) {
      if (std::string_view(held_).ends_with(std::string_view(text).substr(0, n))) open = n;
    }
  }
  std::string certain = held_.substr(0, held_.size() - open);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopText::finish() {
  return met_ ? std::string() : std::exchange(held_, {});
}

}  // namespace namm::models
