#include "models/tokenizers/unicode_form.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include "core/text.h"

namespace namm::models {
namespace {

// ICU puts combining marks in order by insertion, quadratic in the length of a run of them; from this length
// on a run is sorted first.
constexpr std::size_t kLongRun = 64;

void check(UErrorCode code) {
  if (U_FAILURE(code)) throw std::logic_error(std::string("ICU: ") + u_errorName(code));
}

class NormalForm {
 public:
  NormalForm() {
    UErrorCode code = U_ZERO_ERROR;
    form_ = icu::Normalizer2::getNFCInstance(code);
    check(code);
    known_.applyPattern(icu::UnicodeString(u"[:age=9.0:]"), code);
    check(code);
    known_.freeze();
  }

  std::string operator()(std::string_view valid) const {
    const std::string sorted = sort_long_runs(valid);
    const icu::FilteredNormalizer2 filtered(*form_, known_);
    UErrorCode code = U_ZERO_ERROR;
    std::string result;
    icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(sorted.size()));
    filtered.normalizeUTF8(0, icu::StringPiece(sorted.data(), static_cast<int32_t>(sorted.size())), sink,
                           nullptr, code);
    check(code);
    return result;
  }

 private:
  using Mark = std::pair<uint8_t, UChar32>;  // combining class and letter

  // The marks that `letter` stands for, none where it begins something new.
  std::vector<Mark> marks_of(UChar32 letter) const {
    if (letter < 0x300 || !known_.contains(letter)) return {};
    icu::UnicodeString parts;
    if (!form_->getDecomposition(letter, parts)) parts = icu::UnicodeString(letter);
    std::vector<Mark> marks;
    for (int32_t i = 0; i < parts.length(); i = parts.moveIndex32(i, 1)) {
      const uint8_t order = form_->getCombiningClass(parts.char32At(i));
      if (order == 0) return {};
      marks.emplace_back(order, parts.char32At(i));
    }
    return marks;
  }

  std::string sort_long_runs(std::string_view text) const {
    std::string result;
    result.reserve(text.size());
    std::vector<Mark> run;
    std::size_t run_begin = 0;
    const auto end_run = [&](std::size_t end) {
      if (run.size() < kLongRun) {
        result.append(text.substr(run_begin, end - run_begin));
      } else {
        std::stable_sort(run.begin(), run.end(),
                         [](const Mark& a, const Mark& b) { return a.first < b.first; });
        icu::UnicodeString sorted;
        for (const Mark& mark : run) sorted.append(mark.second);
        sorted.toUTF8String(result);
      }
      run.clear();
    };
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    for (std::size_t place = 0; place < text.size();) {
      const std::size_t begin = place;
      UChar32 letter = 0;
      U8_NEXT_UNSAFE(bytes, place, letter);
      const std::vector<Mark> marks = marks_of(letter);
      if (marks.empty()) {
        end_run(begin);
        result.append(text.substr(begin, place - begin));
        run_begin = place;
      } else {
        run.insert(run.end(), marks.begin(), marks.end());
      }
    }
    end_run(text.size());
    return result;
  }

  const icu::Normalizer2* form_ = nullptr;
  icu::UnicodeSet known_;
};

}  // namespace

std::string normal_form_c(std::string_view text) {
  // Nothing below U+0300 composes with what stands before it, and no letter below it is decomposed.
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0xcc; }))
    return std::string(text);
  static const NormalForm form;
  // Pieces that ICU's 32-bit lengths hold; cut where a letter of one byte begins.
  constexpr std::size_t kMostBytes = std::size_t{1} << 28;
  std::string result;
  while (!text.empty()) {
    std::size_t valid = first_invalid_utf8(text).value_or(text.size());
    if (valid > kMostBytes) {
      valid = kMostBytes;
      while (valid > 1 && static_cast<signed char>(text[valid]) < 0) --valid;
    }
    result += form(text.substr(0, valid));
    text.remove_prefix(valid);
    while (!text.empty() && first_invalid_utf8(text.substr(0, 4)) == 0) {
      result.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return result;
}

}  // namespace namm::models
