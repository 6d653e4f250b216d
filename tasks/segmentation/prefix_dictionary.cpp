#include "tasks/segmentation/prefix_dictionary.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

constexpr uint64_t largest_frequency = 10'000'000'000;  // a file below 2 GB cannot sum up to 2^64
constexpr int64_t no_line = -1;

struct Line {
  TextView word;
  uint64_t frequency;
};

TextView without_outer_space(TextView line) {
  while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
  while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
  return line;
}

std::optional<uint64_t> whole_number(TextView digits) {
  if (digits.empty()) return std::nullopt;
  uint64_t value = 0;
  for (char32_t c : digits) {
    if (c < U'0' || c > U'9') return std::nullopt;
    value = value * 10 + (c - U'0');
    if (value > largest_frequency) return std::nullopt;
  }
  return value;
}

std::optional<Line> parse_line(TextView line) {
  line = without_outer_space(line);
  const size_t blank = line.find(U' ');
  if (blank == 0 || blank == TextView::npos) return std::nullopt;
  const TextView rest = line.substr(blank + 1);
  const size_t end = std::min(rest.find(U' '), rest.size());
  if (end < rest.size() && rest.find(U' ', end + 1) != TextView::npos) return std::nullopt;
  const std::optional<uint64_t> frequency = whole_number(rest.substr(0, end));
  if (!frequency) return std::nullopt;
  return Line{line.substr(0, blank), *frequency};
}

}  // namespace

PrefixDictionary::PrefixDictionary() : slots_(size_t{1} << 20), shift_(64 - 20), log_probability_(1) {}

PrefixDictionary::Node PrefixDictionary::find(TextView text) const {
  Node node = root;
  for (size_t i = 0; i < text.size() && node != none; ++i) node = child(node, text[i]);
  return node;
}

PrefixDictionary::Node PrefixDictionary::add_child(Node node, char32_t character) {
  if (const Node known = child(node, character); known != none) return known;
  if (log_probability_.size() * 2 > slots_.size()) grow();
  const uint64_t key = key_of(node, character);
  size_t i = slot_of(key);
  while (slots_[i].node != root) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {key, static_cast<Node>(log_probability_.size())};
  log_probability_.push_back(not_a_word);
  return slots_[i].node;
}

void PrefixDictionary::grow() {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  --shift_;
  for (const Slot& slot : old) {
    if (slot.node == root) continue;
    size_t i = slot_of(slot.key);
    while (slots_[i].node != root) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

PrefixDictionary PrefixDictionary::load(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  const auto fail = [&](int64_t line, const std::string& text) -> void {
    throw DataError(
        format_text("{}:{}: {}; take the file of the package jieba 0.42.1 again", file.string(), line, text));
  };
  if (bytes.size() >= none / 2) fail(1, "a dictionary of 2 GB or more");
  if (const auto place = first_invalid_utf8(bytes)) {
    fail(1 + std::ranges::count(bytes.substr(0, *place), '\n'), "is not UTF-8");
  }
  const Text text = decode_utf8(bytes);

  PrefixDictionary dictionary;
  std::vector<int64_t> frequency{no_line};  // by node
  int64_t number = 0;
  for (size_t start = 0; start < text.size();) {
    ++number;
    const size_t end = std::min(text.find(U'\n', start), text.size());
    const std::optional<Line> line = parse_line(TextView(text).substr(start, end - start));
    if (!line) fail(number, "must be a word, its frequency and its tag, with one blank between them");
    Node node = root;
    for (char32_t c : line->word) node = dictionary.add_child(node, c);
    frequency.resize(dictionary.log_probability_.size(), no_line);
    dictionary.words_ += frequency[node] == no_line;
    frequency[node] = static_cast<int64_t>(line->frequency);
    dictionary.total_ += line->frequency;
    start = end + 1;
  }
  if (dictionary.total_ == 0) fail(std::max<int64_t>(number, 1), "holds no word with a frequency");

  const double log_total = std::log(static_cast<double>(dictionary.total_));
  dictionary.unknown_log_probability_ = -log_total;
  for (size_t node = 1; node < frequency.size(); ++node) {
    if (frequency[node] > 0)
      dictionary.log_probability_[node] = std::log(static_cast<double>(frequency[node])) - log_total;
  }
  return dictionary;
}

}  // namespace namm::tasks
