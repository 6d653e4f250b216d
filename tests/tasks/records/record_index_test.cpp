#include "tasks/records/record_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "tests/support/temporary_directory.h"

namespace namm::tasks {
namespace {

using ::testing::HasSubstr;

class Records : public ::testing::Test {
 protected:
  RecordIndex open(const std::string& text, BadRecords bad = BadRecords::refuse) {
    write_atomically(folder_ / "a.jsonl", text);
    return {BenchmarkFolder::open(folder_.path()), "a.jsonl", "id", bad,
            [](const std::string& where, const nlohmann::json& record) {
              if (!record.contains("text")) throw DataError(where + ": the record lacks `text`");
            }};
  }

  std::string error_of(const std::string& text) {
    try {
      open(text);
    } catch (const DataError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no DataError";
    return "";
  }

  testing::TemporaryDirectory folder_;
};

TEST_F(Records, AreReadInAnyOrder) {
  const RecordIndex records =
      open("{\"text\": \"a\", \"id\": 1}\n\n{\"text\": \"b\"}\n{\"text\": \"c\", \"id\": \"1\"}");
  ASSERT_EQ(records.count(), 3);
  for (const int64_t i : {2, 0, 1, 2})
    EXPECT_EQ(records.read(i).at("text"), std::string(1, static_cast<char>('a' + i)));
  EXPECT_THAT(records.where(1), HasSubstr("a.jsonl:3"));
}

TEST_F(Records, BadOnesAreNamedOrCounted) {
  EXPECT_THAT(error_of("{\"text\": \"a\"}\n{\"x\": 1}\n"), HasSubstr("a.jsonl:2: the record lacks `text`"));
  EXPECT_THAT(error_of("{\"text\": \"a\", \"id\": 7}\n{\"text\": \"b\", \"id\": 7}\n"),
              HasSubstr("a.jsonl:2: `id` 7 is also that of line 1"));
  EXPECT_THAT(error_of("\n"), HasSubstr("no usable record"));

  const RecordIndex records = open(
      "{\n{\"text\": \"a\", \"id\": 7}\n{\"x\": 1}\n{\"text\": \"b\", \"id\": 7}\n\xFF\n{\"text\": \"c\"}\n",
      BadRecords::skip);
  ASSERT_EQ(records.count(), 2);
  EXPECT_EQ(records.bad_records(), 4);
  ASSERT_EQ(records.named_bad_records().size(), 4u);
  EXPECT_THAT(records.named_bad_records()[1], HasSubstr("a.jsonl:3: the record lacks `text`"));
  EXPECT_EQ(records.read(1).at("text"), "c");
  EXPECT_EQ(records.read(0).at("text"), "a");
}

}  // namespace
}  // namespace namm::tasks
