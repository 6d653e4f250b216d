#include "tasks/text/cjk.h"

#include <gtest/gtest.h>

namespace namm::tasks {
namespace {

TEST(Cjk, PunctuationIsTheOfficialSet) {
  size_t count = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) count += is_cjk_punctuation(c);
  EXPECT_EQ(count, 32u + 74u);
  for (const char32_t c : {U'!', U'~', U'\u3001', U'\u3002', U'\u300B', U'\uFF01', U'\uFF64'}) {
    EXPECT_TRUE(is_cjk_punctuation(c)) << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U'a', U' ', U'\u3008', U'\u3009', U'\u300A', U'\u3012', U'\u30FB', U'\uFF0E'}) {
    EXPECT_FALSE(is_cjk_punctuation(c)) << static_cast<uint32_t>(c);
  }
}

TEST(Cjk, NormalizesAsTheOfficialFunctions) {
  EXPECT_EQ(normalized_cjk(U"\u300A红楼梦\u300B，\u3000ABC 公司。"), U"\u300A红楼梦abc公司");
  EXPECT_EQ(normalized_cjk(U"，。 \n"), U"");
}

}  // namespace
}  // namespace namm::tasks
