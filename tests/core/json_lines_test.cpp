#include "core/json_lines.h"

#include <cmath>
#include <limits>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;

std::vector<nlohmann::json> read_all(JsonLinesReader& reader) {
  std::vector<nlohmann::json> records;
  while (auto record = reader.next()) {
    records.push_back(std::move(*record));
  }
  return records;
}

JsonLinesReader reader_of(const std::string& text, BadRecords bad = BadRecords::refuse) {
  return {std::make_unique<std::istringstream>(text), "data.jsonl", bad};
}

TEST(JsonLines, AcceptsWhatEditorsMakeOfAFile) {
  JsonLinesReader reader = reader_of("\xEF\xBB\xBF{\"a\": 1}\r\n\r\n  {\"a\": 2}  \n\n{\"a\": \"\xC3\xA9\"}");
  const auto records = read_all(reader);
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0]["a"], 1);
  EXPECT_EQ(records[1]["a"], 2);
  EXPECT_EQ(records[2]["a"], "\xC3\xA9");
  EXPECT_EQ(reader.line(), 5U);
  EXPECT_EQ(reader.where(), "data.jsonl:5");
}

TEST(JsonLines, BadRecordsNameFileAndLine) {
  const auto error_of = [](const std::string& text) -> std::string {
    JsonLinesReader reader = reader_of(text);
    try {
      read_all(reader);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of("{\"a\": 1}\n{\"a\": \n"), StartsWith("data.jsonl:2: not valid JSON: "));
  EXPECT_THAT(error_of("{\"a\": NaN}"), StartsWith("data.jsonl:1: not valid JSON: "));
  EXPECT_EQ(error_of("[1, 2]"), "data.jsonl:1: a record must be a JSON object, found array");
  EXPECT_EQ(error_of("{}\n{\"a\": \"\xFF\"}"), "data.jsonl:2: not valid UTF-8; convert the file to UTF-8");
  EXPECT_EQ(error_of("{\"a\": " + std::string(100'000, '[') + "}"),
            "data.jsonl:1: nested deeper than 200 levels");
  EXPECT_THAT(error_of("{\"a\": 1} {\"a\": 2}"), StartsWith("data.jsonl:1: not valid JSON"));
  EXPECT_THAT(error_of(std::string("{\"a\": \"x\0\"}", 12)), StartsWith("data.jsonl:1: not valid JSON"));
  EXPECT_EQ(error_of(""), "");
  JsonLinesReader reader = reader_of("{}");
  reader.next();
  EXPECT_THAT([&] { reader.fail("the field 'answers' is missing"); },
              ThrowsMessage<DataError>("data.jsonl:1: the field 'answers' is missing"));
}

TEST(JsonLines, SkipsAndCountsBadRecords) {
  JsonLinesReader reader = reader_of("{\"a\": 1}\n{broken\n3\n{\"a\": 2}\n", BadRecords::skip);
  EXPECT_EQ(read_all(reader).size(), 2U);
  EXPECT_EQ(reader.skipped(), 2U);
  EXPECT_THAT(reader.first_skipped(), StartsWith("data.jsonl:2: "));
}

TEST(JsonLines, WritesValidTextAlways) {
  const testing::TemporaryDirectory directory;
  JsonLinesWriter writer(directory / "out.jsonl");
  writer.write({{"text", "bad \xFF byte, line\nbreak"}, {"score", std::numeric_limits<double>::quiet_NaN()}});
  writer.write({{"score", std::numeric_limits<double>::infinity()}, {"x", 0.1}});
  EXPECT_FALSE(std::filesystem::exists(directory / "out.jsonl"));
  writer.commit();
  EXPECT_EQ(
      read_file(directory / "out.jsonl"),
      "{\"score\":null,\"text\":\"bad \xEF\xBF\xBD byte, line\\nbreak\"}\n{\"score\":null,\"x\":0.1}\n");
  JsonLinesReader reader(directory / "out.jsonl");
  EXPECT_EQ(read_all(reader).size(), 2U);
}

TEST(JsonLines, MissingFilesAndFolders) {
  const testing::TemporaryDirectory directory;
  EXPECT_THAT([&] { JsonLinesReader reader(directory / "none.jsonl"); },
              ThrowsMessage<DataError>(HasSubstr("none.jsonl: cannot be opened: No such file")));
  EXPECT_THAT([&] { JsonLinesReader reader(directory.path()); },
              ThrowsMessage<DataError>(HasSubstr("is a folder")));
}

TEST(Json, DocumentsGiveLineAndColumn) {
  EXPECT_EQ(parse_json("{\"a\": [1, 2]}", "x.json")["a"][1], 2);
  EXPECT_THAT(
      [] { parse_json("{\n  \"a\": 1,\n  b\n}", "x.json"); },
      ThrowsMessage<DataError>(AllOf(StartsWith("x.json:3:3: not valid JSON: "), HasSubstr("syntax error"))));
  EXPECT_THAT([] { parse_json("", "x.json"); },
              ThrowsMessage<DataError>(StartsWith("x.json:1:1: not valid JSON")));
}

}  // namespace
}  // namespace namm
