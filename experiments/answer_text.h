#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/token_codec.h"
#include "models/stop_text.h"

namespace namm::experiments {

/// The text of one answer as it grows, up to the first stop text.
class AnswerText {
 public:
  /// `print` is called with what is certain, never with half a letter; it may be empty.
  AnswerText(const TokenCodec& codec, std::vector<std::string> stops,
             std::function<void(std::string_view)> print);

  /// Returns whether the answer goes on.
  bool add(int64_t id);
  /// No further id comes.
  void finish();
  const std::string& text() const { return text_; }

 private:
  void add_text(std::string_view text);

  const TokenCodec& codec_;
  models::StopText stops_;
  std::function<void(std::string_view)> print_;
  std::vector<int64_t> ids_;
  size_t decoded_ = 0;  // bytes of the ids' text that were handed on
  std::string text_;
};

}  // namespace namm::experiments
