#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "models/tokenizer.h"
#include "models/tokenizers/space_clean_up.h"

namespace namm::models {

/// The text of ids that come one by one, in time that grows with the text: all that was given out is the
/// tokenizer's `decode` of all ids.
class TextDecoder {
 public:
  explicit TextDecoder(const Tokenizer& tokenizer, bool skip_special = true);

  /// What is certain with `id`: it never ends within a letter, nor in spaces that may be cleaned up. Throws
  /// DataError on an id out of range.
  std::string add(int64_t id);
  /// No further id comes: what was held back.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  bool begun_ = false;
  std::optional<SpaceCleanUp> clean_up_;
  std::string held_;  // the beginning of a letter
};

}  // namespace namm::models
