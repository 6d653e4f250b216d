#include "tasks/text/python_literal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"

namespace namm::tasks {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json value_of(const std::string& text) {
  return python_assignment("import re\nx = 1\ny = " + text + "  # noqa\nz = 3\n", "y", "a.py");
}

TEST(PythonLiteral, Texts) {
  EXPECT_EQ(value_of(R"('a')"), "a");
  EXPECT_EQ(value_of(R"("a\n\t\"\'\\ \x41\u4e2d\U0001F600\101\d")"), "a\n\t\"'\\ A中😀A\\d");
  EXPECT_EQ(value_of(R"("a" 'b' + "c")"), "abc");
  EXPECT_EQ(value_of(R"(("a"  # first
      "b"))"),
            "ab");
  EXPECT_EQ(value_of("'''a\n'b' '''"), "a\n'b' ");
  EXPECT_EQ(value_of("'a\\\nb'"), "ab");
  EXPECT_EQ(value_of(R"(r'\n{x}')"), "\\n{x}");
  EXPECT_EQ(value_of(R"(f"What is {target}?")"), "What is {target}?");
  EXPECT_EQ(value_of("''"), "");
}

TEST(PythonLiteral, ValuesOfEveryKind) {
  EXPECT_EQ(
      value_of("{'a': [1, -2.5, 1e3, 1_000, (), (3,), ('b')], # why\n  \"c\": {'d': None,},\n}"),
      (json{{"a", {1, -2.5, 1000.0, 1000, json::array(), json::array({3}), "b"}}, {"c", {{"d", nullptr}}}}));
  EXPECT_EQ(value_of("[True, False]"), (json{true, false}));
}

TEST(PythonLiteral, IndentedAssignments) {
  const std::string source = "def f():\n    prefix = f\"What is {x}?\"\n    return prefix\n";
  EXPECT_EQ(python_assignment(source, "prefix", "a.py", true), "What is {x}?");
  EXPECT_THROW(python_assignment(source, "prefix", "a.py"), DataError);
}

TEST(PythonLiteral, OtherThingsAreRefusedWithTheirLine) {
  for (const std::string bad :
       {"f(1)", "{'a': g}", "{'a' 1}", "[1 2]", "'abc", "'''abc", "{1: 2}", "'a' + 1", "1 + 2", "'\\x4'",
        "'\\N{DASH}'", "-", "1.2.3", "{'a': 'b'", "[", "(1", "name", "b'x'", "'a' if x else 'b'"}) {
    try {
      value_of(bad);
      ADD_FAILURE() << bad;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), HasSubstr("a.py:")) << bad;
    }
  }
  EXPECT_THROW(value_of(std::string(1000, '[')), DataError);
  for (const char* cut : {"y = r'\\", "y = '\\", "y = '\\x", "y = 'a", "y = [", "y = {'a':", "y ="}) {
    EXPECT_THROW(python_assignment(cut, "y", "a.py"), DataError) << cut;
  }
  EXPECT_THROW(python_assignment("", "y", "a.py"), DataError);
  EXPECT_THROW(python_assignment("y == 1", "y", "a.py"), DataError);
}

}  // namespace
}  // namespace namm::tasks
