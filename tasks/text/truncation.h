#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/token_codec.h"

namespace namm::tasks {

/// Whose rule cuts a prompt that is too long.
enum class Truncation : uint8_t {
  official,       ///< LongBench's pred.py: the count includes BOS, the limit is the caller's (benchmarks 2.3)
  released,       ///< the released NAMM code: counted without BOS, the answer's tokens are left free
                  ///< (namm-semantics 9.2)
  infinitebench,  ///< InfiniteBench: as official, but what is left is detokenized as one list, and an odd
                  ///< limit is used up (benchmarks 3.2)
};

struct TruncatedPrompt {
  std::string text;
  bool truncated = false;
  int64_t original_tokens = 0;  ///< TokenCodec::prefix() included
};

/// The first and the last floor(limit / 2) ids when there are more than `limit`, else all. limit >= 2.
std::vector<int64_t> cut_middle(const std::vector<int64_t>& ids, int64_t limit);

/// Cuts the middle out of a prompt of more than `limit` tokens: both halves are detokenized separately (or
/// together, `Truncation::infinitebench`), without special tokens, and joined as text. Tokenized again, the
/// result may differ from the limit by a few tokens, as with the official scripts. `limit` 0: never cut.
/// Throws ConfigError when no token would be left.
TruncatedPrompt truncate_prompt(const TokenCodec& codec, const std::string& text, int64_t limit,
                                Truncation rule, int64_t generation_tokens);

}  // namespace namm::tasks
