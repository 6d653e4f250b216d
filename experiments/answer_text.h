#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/stop_text.h"
#include "models/text_decoder.h"

namespace namm::experiments {

/// The text of one answer as it grows, up to the first stop text.
class AnswerText {
 public:
  /// `print` is called with what is certain, never with half a letter; it may be empty.
  AnswerText(const models::Tokenizer& tokenizer, std::vector<std::string> stops,
             std::function<void(std::string_view)> print);

  /// Returns whether the answer goes on.
  bool add(int64_t id);
  /// No further id comes.
  void finish();
  const std::string& text() const { return text_; }

 private:
  void add_certain(const std::string& text);

  models::TextDecoder decoder_;
  models::StopText stops_;
  std::function<void(std::string_view)> print_;
  std::string text_;
};

}  // namespace namm::experiments
