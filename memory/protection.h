#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "core/config.h"

namespace namm::memory {

/// Tokens of a row, by original position: [begin, end).
struct TokenSpan {
  int64_t begin = 0;
  int64_t end = 0;

  bool operator==(const TokenSpan&) const = default;
};

/// A stretch of a prompt's text, from the first letter of `from` to the last one of `to`; `from` alone where
/// `to` is empty. Every occurrence counts.
struct MarkedText {
  std::string from;
  std::string to;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("from", self.from, needed(), "text that a protected stretch begins with, included");
    visit("to", self.to, "text that it ends with, included; none: the stretch is `from` itself");
  }
  void check(const ConfigNode& node) const;  ///< `from` is not empty

  bool operator==(const MarkedText&) const = default;
};

/// Tokens that no policy forgets. They go before everything else within a budget; where they alone are more
/// than it, they stay, and the excess is reported (CacheUsage::excess_tokens).
struct Protection {
  int64_t sinks = 0;
  int64_t recent_tokens = 0;
  std::vector<MarkedText> text;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("sinks", self.sinks, between(0, 1 << 20), "first tokens of a sequence, under every policy");
    visit("recent_tokens", self.recent_tokens, between(0, 1 << 20),
          "newest tokens at an update, under every policy");
    visit("text", self.text,
          "marked text of the prompt, such as the system prompt: a list of {from: TEXT, to: TEXT}");
  }

  bool operator==(const Protection&) const = default;
};

/// Which cached tokens of one row are protected, the newest always: bool as `positions` (int64, original
/// positions, in any order).
///   tokens_processed: of the row, the newest one being the last of them; spans: where its marked text
///   stands.
at::Tensor protected_tokens(const at::Tensor& positions, int64_t tokens_processed,
                            const Protection& protection, const std::vector<TokenSpan>& spans);

}  // namespace namm::memory
