#include "core/journal.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

class JournalTest : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "generation_000001";
  const std::string key_ = "config 1234, generation 1";
  const std::vector<std::string> records_ = {"first", "", std::string("\0\xFF\n", 3), std::string(3000, 'x')};

  void write_records() {
    Journal journal = Journal::open(path_, key_);
    for (const std::string& record : records_) {
      journal.append(record);
    }
  }
};

TEST_F(JournalTest, RecordsComeBack) {
  EXPECT_THAT(Journal::open(path_, key_).contents().records, IsEmpty());
  write_records();
  EXPECT_THAT(Journal::read(path_, key_).records, ElementsAreArray(records_));
  EXPECT_EQ(Journal::read(path_, key_).dropped_bytes, 0U);
  {
    Journal journal = Journal::open(path_, key_);
    EXPECT_THAT(journal.contents().records, ElementsAreArray(records_));
    Journal moved = std::move(journal);
    moved.append("more");
  }
  EXPECT_THAT(Journal::read(path_, key_).records, ::testing::SizeIs(5));
}

TEST_F(JournalTest, ATornTailIsCutAtEveryOffset) {
  write_records();
  const std::string whole = read_file(path_);
  std::vector<std::size_t> ends;  // of header and records
  const std::size_t header = 8 + 4 + 4 + key_.size() + 4;
  ends.push_back(header);
  for (const std::string& record : records_) {
    ends.push_back(ends.back() + 8 + record.size());
  }
  ASSERT_EQ(ends.back(), whole.size());
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    if (length > header + 60 && length % 97 != 0 && whole.size() - length > 20) {
      continue;  // inside the long record
    }
    write_atomically(path_, whole.substr(0, length));
    const auto complete = static_cast<std::size_t>(
        std::count_if(ends.begin() + 1, ends.end(), [&](std::size_t end) { return end <= length; }));
    {
      Journal journal = Journal::open(path_, key_);
      ASSERT_EQ(journal.contents().records.size(), complete) << length;
      journal.append("after the crash");
    }
    std::vector<std::string> expected(records_.begin(),
                                      records_.begin() + static_cast<std::ptrdiff_t>(complete));
    expected.emplace_back("after the crash");
    const JournalContents contents = Journal::read(path_, key_);
    ASSERT_EQ(contents.records, expected) << length;
    ASSERT_EQ(contents.dropped_bytes, 0U);
  }
}

TEST_F(JournalTest, AFlippedBitNeverChangesARecord) {
  write_records();
  const std::string whole = read_file(path_);
  for (std::size_t i = 0; i < whole.size(); i += i < 150 ? 1 : 61) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    write_atomically(path_, damaged);
    try {
      const JournalContents contents = Journal::read(path_, key_);
      ASSERT_LT(contents.records.size(), records_.size()) << i;
      ASSERT_GT(contents.dropped_bytes, 0U);
      for (std::size_t record = 0; record < contents.records.size(); ++record) {
        ASSERT_EQ(contents.records[record], records_[record]) << i;
      }
    } catch (const DataError& error) {
      ASSERT_LT(i, 8 + 4 + 4 + key_.size() + 4) << error.what();
    }
  }
}

TEST_F(JournalTest, RefusesForeignFiles) {
  write_records();
  EXPECT_THAT(
      [&] { Journal::open(path_, "config 99"); },
      ThrowsMessage<DataError>(AllOf(HasSubstr("generation_000001"), HasSubstr("config 1234, generation 1"),
                                     HasSubstr("expected 'config 99'"))));
  std::string damaged = read_file(path_);
  damaged[8] = 9;
  write_atomically(path_, damaged);
  EXPECT_THAT([&] { Journal::open(path_, key_); },
              ThrowsMessage<DataError>(HasSubstr("journal of version 9, this program reads version 1")));
  write_atomically(path_, "{\"json\": 1}");
  EXPECT_THAT([&] { Journal::open(path_, key_); }, ThrowsMessage<DataError>(HasSubstr("is not a journal")));
  EXPECT_EQ(read_file(path_), "{\"json\": 1}") << "a foreign file was changed";
  EXPECT_THROW(Journal::read(directory_ / "missing", key_), DataError);
}

TEST_F(JournalTest, AFullDiskKeepsTheEarlierRecords) {
  Journal journal = Journal::open(path_, key_);
  journal.append("one");
  {
    const testing::FileSizeLimit limit(200);
    EXPECT_THROW(journal.append(std::string(500, 'x')), InfrastructureError);
    EXPECT_THAT(Journal::read(path_, key_).records, ElementsAre("one"));
    EXPECT_EQ(Journal::read(path_, key_).dropped_bytes, 0U);
    journal.append("two");
  }
  journal.append("three");
  EXPECT_THAT(Journal::read(path_, key_).records, ElementsAre("one", "two", "three"));
}

}  // namespace
}  // namespace namm
