#include <fstream>

#include <gtest/gtest.h>

#include "core/crc32.h"
#include "core/errors.h"
#include "core/sha256.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

// FIPS 180-4 examples (NIST CSRC).
TEST(Sha256, PublishedExamples) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheSameDigest) {
  const std::string text(1000, 'x');
  for (std::size_t piece = 1; piece < 200; piece += 7) {
    Sha256 hash;
    for (std::size_t i = 0; i < text.size(); i += piece) {
      hash.update(std::string_view(text).substr(i, piece));
    }
    EXPECT_EQ(hash.hex(), sha256_hex(text)) << piece;
  }
}

TEST(Sha256, DigestLeavesTheStateOpen) {
  Sha256 hash;
  hash.update("a");
  EXPECT_EQ(hash.hex(), sha256_hex("a"));
  hash.update("bc");
  EXPECT_EQ(hash.hex(), sha256_hex("abc"));
  EXPECT_EQ(Sha256().update_integer(0x0102).hex(), sha256_hex(std::string("\x02\x01\0\0\0\0\0\0", 8)));
}

TEST(Sha256, Files) {
  const testing::TemporaryDirectory directory;
  std::ofstream(directory / "a", std::ios::binary) << "abc";
  EXPECT_EQ(sha256_file(directory / "a"), sha256_hex("abc"));
  EXPECT_THROW(sha256_file(directory / "missing"), DataError);
}

TEST(Crc32, CheckValueOfTheCatalogue) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926U);
  EXPECT_EQ(crc32(""), 0U);
  EXPECT_EQ(crc32("6789", crc32("12345")), 0xCBF43926U);
}

}  // namespace
}  // namespace namm
