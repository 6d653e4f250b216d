#include "tasks/text/python_literal.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

constexpr int deepest_nesting = 50;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Parser {
 public:
  Parser(std::string_view source, size_t place, const std::string& name)
      : source_(source), place_(place), name_(name) {}

  json value() {
    if (++depth_ > deepest_nesting) fail("nested too deeply");
    skip_blanks();
    json result;
    if (const char c = peek(); c == '{') {
      result = dictionary();
    } else if (c == '[' || c == '(') {
      result = list(c == '[' ? ']' : ')', c == '(');
    } else if (starts_text()) {
      result = texts();
    } else if (c == '-' || c == '+' || c == '.' || (c >= '0' && c <= '9')) {
      result = number();
    } else if (take_word("True")) {
      result = true;
    } else if (take_word("False")) {
      result = false;
    } else if (!take_word("None")) {
      fail("not a literal (text, number, list or dictionary)");
    }
    --depth_;
    return result;
  }

  /// Behind the value there must be the end of the line.
  void end_of_line() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == ';') ++place_;
    if (place_ < source_.size() && peek() != '\n' && peek() != '#') fail("more than a literal is assigned");
  }

  [[noreturn]] void fail(const std::string& text) const {
    const auto line =
        std::count(source_.begin(),
                   source_.begin() + static_cast<std::ptrdiff_t>(std::min(place_, source_.size())), '\n') +
        1;
    throw DataError(format_text("{}:{}: {}", name_, line, text));
  }

 private:
  char peek(size_t ahead = 0) const {
    return place_ + ahead < source_.size() ? source_[place_ + ahead] : '\0';
  }

  bool take(std::string_view text) {
    if (source_.substr(place_, text.size()) != text) return false;
    place_ += text.size();
    return true;
  }

  bool take_word(std::string_view word) {
    if (source_.substr(place_, word.size()) != word || is_name_character(peek(word.size()))) return false;
    place_ += word.size();
    return true;
  }

  void skip_blanks() {
    while (place_ < source_.size()) {
      const char c = peek();
      if (c == '#') {
        place_ = std::min(source_.find('\n', place_), source_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++place_;
      } else if (c == '\\' && (peek(1) == '\n' || peek(1) == '\r')) {
        ++place_;
      } else {
        return;
      }
    }
  }

  json dictionary() {
    json result = json::object();
    ++place_;
    while (true) {
      skip_blanks();
      if (take("}")) return result;
      const json key = value();
      if (!key.is_string()) fail("a key must be a text");
      skip_blanks();
      if (!take(":")) fail("':' expected");
      result[key.get<std::string>()] = value();
      skip_blanks();
      if (!take(",") && peek() != '}') fail("',' or '}' expected");
    }
  }

  /// Round brackets around one value without a comma are no tuple.
  json list(char close, bool may_be_brackets) {
    json result = json::array();
    bool comma = false;
    ++place_;
    while (true) {
      skip_blanks();
      if (peek() == close && place_ < source_.size()) break;
      result.push_back(value());
      skip_blanks();
      if (take(",")) {
        comma = true;
      } else if (peek() != close) {
        fail(format_text("',' or '{}' expected", std::string(1, close)));
      }
    }
    ++place_;
    if (may_be_brackets && result.size() == 1 && !comma) {
      json inner = std::move(result[0]);
      return inner;
    }
    return result;
  }

  json number() {
    std::string text;
    if (peek() == '+' || peek() == '-') text += source_[place_++];
    while (
        is_name_character(peek()) || peek() == '.' ||
        ((peek() == '+' || peek() == '-') && !text.empty() && (text.back() == 'e' || text.back() == 'E'))) {
      if (peek() != '_') text += peek();
      ++place_;
    }
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* end = text.data() + text.size();
    int64_t whole = 0;
    if (const auto [rest, error] = std::from_chars(begin, end, whole); error == std::errc() && rest == end)
      return whole;
    double real = 0;
    const auto [rest, error] = std::from_chars(begin, end, real);
    if (error != std::errc() || rest != end) fail(format_text("'{}' is no number", text));
    return real;
  }

  /// Length of the letters before a quote; none: no text begins here.
  std::optional<size_t> prefix_length() const {
    for (size_t length = 0; length <= 2; ++length) {
      const char c = peek(length);
      if (c == '"' || c == '\'') return length;
      if (std::string_view("rRuUfF").find(c) == std::string_view::npos || c == '\0') return std::nullopt;
    }
    return std::nullopt;
  }

  bool starts_text() const { return prefix_length().has_value(); }

  json texts() {
    std::string result;
    while (true) {
      result += text();
      const size_t behind = place_;
      skip_blanks();
      if (take("+")) {
        skip_blanks();
        if (!starts_text()) fail("a text expected behind '+'");
      } else if (!starts_text() || (depth_ == 1 && source_.substr(behind, place_ - behind).find('\n') !=
                                                       std::string_view::npos)) {
        // Outside of brackets a new line ends the value.
        place_ = behind;
        return result;
      }
    }
  }

  std::string text() {
    bool raw = false;
    for (size_t length = *prefix_length(); length > 0; --length) {
      const char c = source_[place_++];
      raw = raw || c == 'r' || c == 'R';
    }
    const std::string quote(source_.substr(place_, 1));
    const bool is_long = source_.substr(place_, 3) == quote + quote + quote;
    const std::string close = is_long ? quote + quote + quote : quote;
    place_ += close.size();
    std::string result;
    while (!take(close)) {
      if (place_ >= source_.size() || (!is_long && peek() == '\n')) fail("the text is not closed");
      if (peek() != '\\') {
        result += source_[place_++];
      } else if (raw) {
        result += source_.substr(place_, 2);
        place_ = std::min(place_ + 2, source_.size());
      } else {
        ++place_;
        escape(result);
      }
    }
    return result;
  }

  void escape(std::string& result) {
    const char c = peek();
    ++place_;
    constexpr std::string_view letters = "abfnrtv\\'\"", meanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t known = letters.find(c); known != std::string_view::npos) {
      result += meanings[known];
    } else if (c == '\n') {
      // joins the lines
    } else if (c == 'x' || c == 'u' || c == 'U') {
      result += encode_utf8(Text(1, code_point(c == 'x' ? 2 : c == 'u' ? 4 : 8)));
    } else if (c >= '0' && c <= '7') {
      char32_t code = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && peek() >= '0' && peek() <= '7'; ++i)
        code = code * 8 + static_cast<char32_t>(source_[place_++] - '0');
      result += encode_utf8(Text(1, code));
    } else if (c == 'N' || place_ > source_.size()) {
      fail("an escape that is not read here");
    } else {
      result += '\\';
      result += c;
    }
  }

  char32_t code_point(size_t digits) {
    const std::string_view text = source_.substr(place_, digits);
    uint32_t code = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), code, 16);
    if (text.size() < digits || error != std::errc() || rest != text.data() + text.size())
      fail("an escape without its digits");
    place_ += digits;
    return code;
  }

  std::string_view source_;
  size_t place_;
  const std::string& name_;
  int depth_ = 0;
};

/// Behind the '=' of the first assignment to the variable.
std::optional<size_t> find_assignment(std::string_view source, std::string_view variable, bool indented) {
  for (size_t line = 0; line < source.size();) {
    size_t place = line;
    while (indented && place < source.size() && (source[place] == ' ' || source[place] == '\t')) ++place;
    if (source.substr(place, variable.size()) == variable) {
      place += variable.size();
      while (place < source.size() && source[place] == ' ') ++place;
      if (place + 1 < source.size() && source[place] == '=' && source[place + 1] != '=') return place + 1;
    }
    const size_t end = source.find('\n', line);
    if (end == std::string_view::npos) break;
    line = end + 1;
  }
  return std::nullopt;
}

}  // namespace

json python_assignment(std::string_view source, std::string_view variable, const std::string& name,
                       bool indented) {
  if (const auto offset = first_invalid_utf8(source))
    throw DataError(name + ": not valid UTF-8; convert the file to UTF-8");
  const auto place = find_assignment(source, variable, indented);
  if (!place) throw DataError(format_text("{}: assigns nothing to {}", name, variable));
  Parser parser(source, *place, name);
  json value = parser.value();
  parser.end_of_line();
  return value;
}

}  // namespace namm::tasks
