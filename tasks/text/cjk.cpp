#include "tasks/text/cjk.h"

#include <algorithm>
#include <array>

namespace namm::tasks {
namespace {

struct CharacterRange {
  char32_t first, last;
};

// Sorted.
constexpr std::array wide_marks = {
    CharacterRange{0x2013, 0x2014}, CharacterRange{0x2018, 0x2019}, CharacterRange{0x201B, 0x201F},
    CharacterRange{0x2026, 0x2027}, CharacterRange{0x3001, 0x3003}, CharacterRange{0x300B, 0x3011},
    CharacterRange{0x3014, 0x301F}, CharacterRange{0x3030, 0x3030}, CharacterRange{0x303E, 0x303F},
    CharacterRange{0xFE4F, 0xFE4F}, CharacterRange{0xFF01, 0xFF0D}, CharacterRange{0xFF0F, 0xFF0F},
    CharacterRange{0xFF1A, 0xFF20}, CharacterRange{0xFF3B, 0xFF40}, CharacterRange{0xFF5B, 0xFF64},
};

}  // namespace

bool is_cjk_punctuation(char32_t c) {
  if (is_ascii_punctuation(c)) return true;
  const auto range = std::ranges::lower_bound(wide_marks, c, {}, &CharacterRange::last);
  return range != wide_marks.end() && range->first <= c;
}

Text normalized_cjk(TextView text) {
  Text plain = lower(text);
  std::erase_if(plain, [](char32_t c) { return is_cjk_punctuation(c) || is_space(c); });
  return plain;
}

}  // namespace namm::tasks
