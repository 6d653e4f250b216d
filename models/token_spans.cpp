#include "models/token_spans.h"

#include <algorithm>
#include <iterator>

#include "core/errors.h"
#include "models/token_texts.h"

namespace namm::models {
namespace {

struct Text {
  std::string text;
  std::vector<size_t> ends;  // of each token's bytes
};

Text decoded(const Tokenizer& codec, const std::vector<int64_t>& ids) {
  Text result;
  for (const std::string& text : token_texts(codec, ids)) {
    result.text += text;
    result.ends.push_back(result.text.size());
  }
  return result;
}

std::vector<memory::TokenSpan> spans_of(const Text& text, const memory::MarkedText& mark, int64_t first) {
  // Tokens whose bytes end at or before `byte`: as many are over where it begins.
  const auto tokens_before = [&](size_t byte) {
    return std::distance(text.ends.begin(), std::ranges::upper_bound(text.ends, byte));
  };
  std::vector<memory::TokenSpan> spans;
  for (size_t begin = text.text.find(mark.from); begin != std::string::npos;) {
    size_t end = begin + mark.from.size();
    if (!mark.to.empty()) {
      const size_t close = text.text.find(mark.to, end);
      if (close == std::string::npos) break;
      end = close + mark.to.size();
    }
    spans.push_back({first + tokens_before(begin), first + tokens_before(end - 1) + 1});
    begin = text.text.find(mark.from, end);
  }
  return spans;
}

}  // namespace

std::vector<memory::TokenSpan> find_spans(const Tokenizer& codec, const std::vector<int64_t>& ids,
                                          const std::vector<memory::MarkedText>& marks, int64_t first) {
  std::vector<memory::TokenSpan> spans;
  if (marks.empty()) return spans;
  const Text text = decoded(codec, ids);
  for (const memory::MarkedText& mark : marks) {
    const auto found = spans_of(text, mark, first);
    spans.insert(spans.end(), found.begin(), found.end());
  }
  return spans;
}

std::vector<memory::TokenSpan> require_spans(const Tokenizer& codec, const std::vector<int64_t>& ids,
                                             const std::vector<memory::MarkedText>& marks,
                                             const std::string& where) {
  std::vector<memory::TokenSpan> spans;
  if (marks.empty()) return spans;
  const Text text = decoded(codec, ids);
  for (const memory::MarkedText& mark : marks) {
    const auto found = spans_of(text, mark, /*first=*/0);
    if (found.empty()) {
      throw DataError(where + ": protect.text: \"" + mark.from + "\"" +
                      (mark.to.empty() ? "" : " to \"" + mark.to + "\"") +
                      " is not in the text that the model reads; mend the mark, or leave it out");
    }
    spans.insert(spans.end(), found.begin(), found.end());
  }
  return spans;
}

}  // namespace namm::models
