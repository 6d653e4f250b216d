#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/token_codec.h"

namespace namm::tasks {

/// Ids of `text` as it is tokenized behind other text (which ends with a full stop), not at the beginning of
/// a prompt: many tokenizers treat a leading blank differently there.
std::vector<int64_t> encode_continuation(const TokenCodec& codec, std::string_view text);

/// encode_continuation of pieces that come again and again.
class ContinuationCache {
 public:
  explicit ContinuationCache(const TokenCodec& codec) : codec_(codec) {}
  const std::vector<int64_t>& operator()(const std::string& text);

 private:
  const TokenCodec& codec_;
  std::unordered_map<std::string, std::vector<int64_t>> ids_;
};

}  // namespace namm::tasks
