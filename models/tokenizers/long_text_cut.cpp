#include "models/tokenizers/long_text_cut.h"

#include <cstdint>

#include <unicode/uchar.h>
#include <unicode/utf8.h>

namespace namm::models {
namespace {

constexpr int64_t kMostLetters = 400'000;
constexpr int64_t kMostInARow = 25'000;

// Python's str.isspace, which that tokenizer asks: Unicode's white space and the four separators of ASCII.
bool is_white_space(UChar32 letter) {
  return letter >= 0 && (u_isUWhiteSpace(letter) || (letter >= 0x1c && letter <= 0x1f));
}

}  // namespace

void cut_long_text(std::string_view text, const std::function<void(std::string_view)>& part) {
  std::size_t begin = 0;
  int64_t letters = 0, in_a_row = 0;
  bool row_is_white = false;
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t here = place;
    UChar32 letter = 0;
    U8_NEXT(reinterpret_cast<const uint8_t*>(text.data()), place, text.size(), letter);
    const bool is_white = is_white_space(letter);
    if (letters == kMostLetters) {
      letters = in_a_row = 0;
    } else if (is_white != row_is_white) {
      in_a_row = 0;
    }
    const bool cut = letters == 0 || in_a_row == kMostInARow;
    if (cut) {
      if (here > begin) part(text.substr(begin, here - begin));
      begin = here;
      in_a_row = 0;
    }
    row_is_white = is_white;
    ++letters;
    ++in_a_row;
  }
  if (begin < text.size()) part(text.substr(begin));
}

}  // namespace namm::models
