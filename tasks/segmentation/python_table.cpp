#include "tasks/segmentation/python_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::filesystem::path& file) : text_(text), file_(file) {}

  std::vector<TableEntry> table(int levels) {
    skip_space();
    if (skip("from __future__ import unicode_literals")) skip_space();
    expect("P");
    expect("=");
    dictionary([&](char32_t row) {
      if (levels == 1) {
        entries_.push_back({row, 0, number()});
      } else {
        dictionary([&](char32_t column) { entries_.push_back({row, column, number()}); });
      }
    });
    if (at_ < text_.size()) fail("the end of the file");
    return std::move(entries_);
  }

 private:
  [[noreturn]] void fail(std::string_view expected) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, at_), '\n');
    throw DataError(format_text("{}:{}: expected {}; take the file of the package jieba 0.42.1 again",
                                file_.string(), line, expected));
  }

  void skip_space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

  bool skip(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  void expect(std::string_view word) {
    if (!skip(word)) fail(format_text("`{}`", word));
    skip_space();
  }

  /// `{key: value, ...}`, `value(key)` reads what stands behind the colon.
  template <class Value>
  void dictionary(Value value) {
    expect("{");
    while (!skip("}")) {
      const char32_t name = key();
      expect(":");
      value(name);
      if (!skip(",") && !text_.substr(at_).starts_with("}")) fail("`,` or `}`");
      skip_space();
    }
    skip_space();
  }

  /// 'B' or '\u4e00'.
  char32_t key() {
    constexpr const char* what = "a key of one character in single quotes";
    if (!skip("'")) fail(what);
    char32_t character = 0;
    if (skip("\\u")) {
      uint32_t code = 0;
      const std::string_view digits = text_.substr(at_, 4);
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
      if (error != std::errc() || end != digits.data() + 4) fail("four hexadecimal digits");
      character = code;
      at_ += 4;
    } else {
      const size_t quote = text_.find('\'', at_);
      constexpr size_t longest_character = 4;
      if (quote == std::string_view::npos || quote - at_ > longest_character) fail(what);
      const Text name = decode_utf8(text_.substr(at_, quote - at_));
      if (name.size() != 1 || name.front() == U'\\') fail(what);
      character = name.front();
      at_ = quote;
    }
    if (!skip("'")) fail(what);
    skip_space();
    return character;
  }

  double number() {
    double value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() || !std::isfinite(value)) fail("a number");
    at_ = static_cast<size_t>(end - text_.data());
    skip_space();
    return value;
  }

  std::string_view text_;
  const std::filesystem::path& file_;
  size_t at_ = 0;
  std::vector<TableEntry> entries_;
};

}  // namespace

std::vector<TableEntry> read_python_table(const std::filesystem::path& file, int levels) {
  const std::string text = read_file(file);
  return Parser(text, file).table(levels);
}

}  // namespace namm::tasks
