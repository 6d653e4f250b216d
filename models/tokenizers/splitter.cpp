#define PCRE2_CODE_UNIT_WIDTH 8

#include "models/tokenizers/splitter.h"

#include <stdexcept>
#include <utility>

#include <pcre2.h>

#include "core/errors.h"
#include "core/text.h"

namespace namm::models {
namespace {

// Unicode's White_Space; PCRE2's own \s has U+180E too, which lost that property.
#define NAMM_SPACE \
  R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"

// The rule of Llama 3 and its kin; they differ in how they cut numbers.
#define NAMM_WORDS_OR(NUMBER)                                                               \
  R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" NUMBER R"(| ?[^)" NAMM_SPACE  \
  R"(\p{L}\p{N}]+[\r\n]*|[)" NAMM_SPACE R"(]*[\r\n]+|[)" NAMM_SPACE R"(]+(?![^)" NAMM_SPACE \
  R"(])|[)" NAMM_SPACE R"(]+)"

constexpr std::pair<const char*, const char*> kRules[] = {
    {"gpt2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" NAMM_SPACE R"(\p{L}\p{N}]+|[)" NAMM_SPACE
             R"(]+(?![^)" NAMM_SPACE R"(])|[)" NAMM_SPACE R"(]+)"},
    // Digits are cut out before the GPT-2 pattern sees the text: white space before a digit ends a text.
    {"smollm", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^)" NAMM_SPACE R"(\p{L}\p{N}]+|[)" NAMM_SPACE
               R"(]+(?![^)" NAMM_SPACE R"(\p{N}])|[)" NAMM_SPACE R"(]+)"},
    {"llama3", NAMM_WORDS_OR(R"(\p{N}{1,3})")},
    {"qwen2", NAMM_WORDS_OR(R"(\p{N})")},
};

// Bytes of the longest UTF-8 letter.
constexpr std::size_t kLongestLetter = 4;

std::string message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Splitter::Pattern {
  pcre2_code* code = nullptr;
  pcre2_match_context* unlimited = pcre2_match_context_create(nullptr);

  Pattern() {
    // The limits are there against patterns that a stranger wrote; ours take linear time.
    pcre2_set_match_limit(unlimited, UINT32_MAX);
    pcre2_set_depth_limit(unlimited, UINT32_MAX);
    pcre2_set_heap_limit(unlimited, UINT32_MAX);
  }
  ~Pattern() {
    pcre2_match_context_free(unlimited);
    pcre2_code_free(code);
  }
};

Splitter::Splitter(const std::string& rule) : pattern_(std::make_unique<Pattern>()) {
  const char* text = nullptr;
  std::string known;
  for (const auto& [name, pattern] : kRules) {
    if (rule == name) text = pattern;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  if (text == nullptr)
    throw std::invalid_argument("pre: the splitting rule '" + rule + "' is not known (known: " + known + ")");
  int code = 0;
  PCRE2_SIZE offset = 0;
  pattern_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text), PCRE2_ZERO_TERMINATED,
                                 PCRE2_UTF | PCRE2_UCP, &code, &offset, nullptr);
  if (pattern_->code == nullptr) {
    throw std::logic_error("pattern " + rule + " at " + std::to_string(offset) + ": " + message(code));
  }
  // Where the library was built without a compiler for this machine, matching interprets: slower, the same
  // result.
  pcre2_jit_compile(pattern_->code, PCRE2_JIT_COMPLETE);
}

Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;

void Splitter::split(std::string_view text, const std::function<void(std::string_view)>& piece) const {
  while (!text.empty()) {
    const std::size_t valid = first_invalid_utf8(text).value_or(text.size());
    split_valid(text.substr(0, valid), piece);
    text.remove_prefix(valid);
    std::size_t invalid = 0;
    while (invalid < text.size() && first_invalid_utf8(text.substr(invalid, kLongestLetter)) == 0) ++invalid;
    if (invalid > 0) piece(text.substr(0, invalid));
    text.remove_prefix(invalid);
  }
}

void Splitter::split_valid(std::string_view text, const std::function<void(std::string_view)>& piece) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create(1, nullptr), &pcre2_match_data_free);
  std::size_t done = 0;
  while (done < text.size()) {
    // Checked once by the caller: a check in every call would make long texts quadratic.
    const auto find = [&](uint32_t options) {
      return pcre2_match(pattern_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), done,
                         PCRE2_NO_UTF_CHECK | options, match.get(), pattern_->unlimited);
    };
    int found = find(0);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = find(PCRE2_NO_JIT);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) throw InfrastructureError("splitting a text for the tokenizer failed: " + message(found));
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
    if (range[0] > done) piece(text.substr(done, range[0] - done));
    piece(text.substr(range[0], range[1] - range[0]));
    done = range[1];
  }
  if (done < text.size()) piece(text.substr(done));
}

}  // namespace namm::models
