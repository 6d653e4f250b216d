#include "tasks/text/prompt_template.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

TEST(PromptTemplate, FillsNamedPlaces) {
  const json record = {{"context", "C {x}"}, {"input", "I"}, {"length", 7}};
  EXPECT_EQ(PromptTemplate("{context}\n{input} {length} {{a}} ", "t").fill(record), "C {x}\nI 7 {a} ");
  EXPECT_EQ(PromptTemplate("", "t").fill(record), "");
}

// benchmarks-07: an escaped newline stays what the file holds.
TEST(PromptTemplate, KeepsBackslashes) {
  const std::string two_characters = json::parse(R"("a\\nb")"), line_feed = json::parse(R"("a\nb")");
  EXPECT_EQ(PromptTemplate(two_characters, "t").fill({}).size(), 4u);
  EXPECT_EQ(PromptTemplate(line_feed, "t").fill({}), "a\nb");
}

TEST(PromptTemplate, RefusesWhatItDoesNotUnderstand) {
  for (const char* bad : {"{", "}", "{}", "{0}", "{context!r}", "{context:5}", "{a b}", "{context"}) {
    EXPECT_THROW(PromptTemplate(bad, "t"), DataError) << bad;
  }
  EXPECT_THROW(PromptTemplate("{missing}", "t").fill({{"context", "c"}}), DataError);
  EXPECT_THROW(PromptTemplate("{context}", "t").fill({{"context", json::array()}}), DataError);
}

}  // namespace
}  // namespace namm::tasks
