#include "tasks/haystack.h"

#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "tests/support/temporary_directory.h"

namespace namm::tasks {
namespace {

using ::testing::HasSubstr;

std::set<std::string> sentences_in(const Haystack& haystack, Split split) {
  std::set<std::string> all;
  for (const Haystack::Document& document : haystack.documents(split))
    all.insert(document.begin(), document.end());
  return all;
}

void expect_disjoint(const Haystack& haystack) {
  const auto train = sentences_in(haystack, Split::train),
             validation = sentences_in(haystack, Split::validation),
             test = sentences_in(haystack, Split::test);
  for (const std::string& sentence : test) {
    EXPECT_FALSE(train.contains(sentence)) << sentence;
    EXPECT_FALSE(validation.contains(sentence)) << sentence;
  }
  for (const std::string& sentence : validation) EXPECT_FALSE(train.contains(sentence)) << sentence;
}

TEST(Haystack, FindsSentences) {
  EXPECT_EQ(
      sentences_of("One sentence of words.\n\nToo short. Is this  a whole sentence? This one has no end"),
      (Haystack::Document{"One sentence of words.", "Is this a whole sentence?"}));
  EXPECT_EQ(sentences_of("He paid 3.5 crowns for the lamp!"),
            (Haystack::Document{"He paid 3.5 crowns for the lamp!"}));
  EXPECT_TRUE(sentences_of("").empty());
  EXPECT_TRUE(sentences_of(std::string(400, 'x') + ".").empty());
}

TEST(Haystack, TheTextOfOursServesAllSplits) {
  const Haystack haystack = Haystack::open({});
  EXPECT_GT(sentences_in(haystack, Split::train).size(), 150u);
  expect_disjoint(haystack);
}

TEST(Haystack, LongBenchRecordsAreDealtOut) {
  testing::TemporaryDirectory folder;
  std::ofstream file(folder / "records.jsonl");
  for (int record = 0; record < 10; ++record) {
    file << R"({"context": ")";
    for (int i = 0; i < 12; ++i)
      file << "Sentence " << i << " of the record with number " << record << ".\\n";
    file << "\"}\n";
  }
  file.close();
  const Haystack haystack = Haystack::open(folder / "records.jsonl");
  EXPECT_EQ(haystack.documents(Split::train).size(), 6u);
  EXPECT_EQ(haystack.documents(Split::validation).size(), 2u);
  EXPECT_EQ(haystack.documents(Split::test).size(), 2u);
  expect_disjoint(haystack);
}

TEST(Haystack, RefusesUnusableFiles) {
  testing::TemporaryDirectory folder;
  const auto error_of = [&](const std::string& name, const std::string& content) -> std::string {
    std::ofstream(folder / name, std::ios::binary) << content;
    try {
      Haystack::open(folder / name);
    } catch (const DataError& error) {
      return error.what();
    }
    ADD_FAILURE() << name << " was accepted";
    return "";
  };
  EXPECT_THAT(error_of("short.txt", "One sentence of some words only."), HasSubstr("too little text"));
  EXPECT_THAT(error_of("empty.txt", ""), HasSubstr("too little text"));
  EXPECT_THAT(error_of("latin1.txt", "caf\xE9"), HasSubstr("byte 3 is not UTF-8"));
  EXPECT_THAT(error_of("a.jsonl", "{\"context\": \"x\"}\n{\"text\": \"x\"}\n"), HasSubstr("a.jsonl:2"));
  EXPECT_THAT(error_of("b.jsonl", "{\"context\": \"x\""), HasSubstr("b.jsonl:1"));
  EXPECT_THROW(Haystack::open(folder / "missing.txt"), DataError);
}

}  // namespace
}  // namespace namm::tasks
