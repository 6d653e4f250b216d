#include "core/files.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::size_t entries_in(const std::filesystem::path& directory) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator()));
}

TEST(Files, ReadsAndWrites) {
  const testing::TemporaryDirectory directory;
  const std::string bytes("a\0b\xFF\n", 5);
  write_atomically(directory / "f", bytes);
  EXPECT_EQ(read_file(directory / "f"), bytes);
  write_atomically(directory / "f", "new");
  EXPECT_EQ(read_file(directory / "f"), "new");
  EXPECT_EQ(entries_in(directory.path()), 1U);
}

TEST(Files, ReadingNamesFileAndReason) {
  const testing::TemporaryDirectory directory;
  EXPECT_THAT([&] { read_file(directory / "missing"); },
              ThrowsMessage<DataError>(HasSubstr("missing: cannot be opened: No such file or directory")));
  EXPECT_THAT([&] { read_file(directory.path()); },
              ThrowsMessage<DataError>(HasSubstr("cannot be read: Is a directory")));
}

TEST(Files, WritingIntoAMissingFolderFails) {
  const testing::TemporaryDirectory directory;
  EXPECT_THROW(write_atomically(directory / "no/f", "x"), InfrastructureError);
  EXPECT_THROW(append_durably(directory / "no/f", "x"), InfrastructureError);
}

TEST(Files, AFullDiskLeavesTheOldFile) {
  const testing::TemporaryDirectory directory;
  write_atomically(directory / "f", "old");
  append_durably(directory / "log", "one\n");
  {
    const testing::FileSizeLimit limit(1000);
    EXPECT_THROW(write_atomically(directory / "f", std::string(5000, 'x')), InfrastructureError);
    EXPECT_THROW(append_durably(directory / "log", std::string(5000, 'x')), InfrastructureError);
  }
  EXPECT_EQ(read_file(directory / "f"), "old");
  EXPECT_EQ(read_file(directory / "log"), "one\n");
  EXPECT_EQ(entries_in(directory.path()), 2U) << "a temporary file was left";
  append_durably(directory / "log", "two\n");
  EXPECT_EQ(read_file(directory / "log"), "one\ntwo\n");
}

}  // namespace
}  // namespace namm
