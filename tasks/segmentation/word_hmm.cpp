#include "tasks/segmentation/word_hmm.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"
#include "tasks/text/python_literal.h"

namespace namm::tasks {
namespace {

using nlohmann::json;

enum State : uint8_t { begin, end, middle, single };

constexpr std::string_view letters[] = {"B", "E", "M", "S"};
constexpr double never = -3.14e100;  // upstream's logarithm of zero

// Who may stand before a state. The later letter comes last, because Python's max over (value, letter) takes
// it on a tie.
constexpr State predecessors[4][2] = {{end, single}, {begin, middle}, {begin, middle}, {end, single}};

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& text) {
  throw DataError(
      format_text("{}: {}; take the file of the package jieba 0.42.1 again", file.string(), text));
}

/// The dictionary literal `P` of a table: a value for every state.
json read_table(const std::filesystem::path& file) {
  json table = python_assignment(read_file(file), "P", file.string());
  if (!table.is_object() || table.size() != std::size(letters))
    fail(file, "must have the states B, E, M and S");
  for (const std::string_view letter : letters) {
    if (!table.contains(letter)) fail(file, format_text("lacks state '{}'", letter));
  }
  return table;
}

double number(const std::filesystem::path& file, const std::string& key, const json& value) {
  if (!value.is_number()) fail(file, format_text("'{}' must be a number", key));
  return value.get<double>();
}

const json& dictionary(const std::filesystem::path& file, std::string_view key, const json& value) {
  if (!value.is_object()) fail(file, format_text("'{}' must be a dictionary", key));
  return value;
}

}  // namespace

WordHmm::WordHmm() : emission_(last_han - first_han + 1) {
  start_.fill(never);
  for (auto& row : transition_) row.fill(never);
  for (auto& row : emission_) row.fill(never);
}

WordHmm WordHmm::load(const std::filesystem::path& folder) {
  WordHmm model;
  const auto start_file = folder / "prob_start.py", transition_file = folder / "prob_trans.py",
             emission_file = folder / "prob_emit.py";
  const json start = read_table(start_file), transition = read_table(transition_file),
             emission = read_table(emission_file);
  for (size_t s = 0; s < states; ++s) {
    const std::string_view letter = letters[s];
    model.start_[s] = number(start_file, std::string(letter), start.at(letter));
    for (const auto& [key, value] : dictionary(transition_file, letter, transition.at(letter)).items()) {
      const auto to = std::ranges::find(letters, key);
      if (to == std::end(letters)) fail(transition_file, format_text("'{}' is no state", key));
      model.transition_[s][static_cast<size_t>(to - letters)] = number(transition_file, key, value);
    }
    for (const auto& [key, value] : dictionary(emission_file, letter, emission.at(letter)).items()) {
      const Text character = decode_utf8(key);
      if (character.size() != 1) fail(emission_file, format_text("'{}' is not one character", key));
      const double log_probability = number(emission_file, key, value);
      ++model.emissions_[s];
      // The file also has characters that never reach the model.
      if (is_han(character.front())) model.emission_[character.front() - first_han][s] = log_probability;
    }
  }
  return model;
}

void WordHmm::cut(TextView text, std::vector<TextView>& words) const {
  if (text.empty()) return;
  // Viterbi: value[s] is the best path to state s, from[i][s] the state before it.
  StateValues value;
  std::vector<std::array<uint8_t, states>> from(text.size());
  for (size_t s = 0; s < states; ++s) value[s] = start_[s] + emission_[text.front() - first_han][s];
  for (size_t i = 1; i < text.size(); ++i) {
    const StateValues& emission = emission_[text[i] - first_han];
    StateValues next;
    for (size_t s = 0; s < states; ++s) {
      const auto [first, second] = predecessors[s];
      const double by_first = value[first] + transition_[first][s] + emission[s];
      const double by_second = value[second] + transition_[second][s] + emission[s];
      next[s] = by_second >= by_first ? by_second : by_first;
      from[i][s] = by_second >= by_first ? second : first;
    }
    value = next;
  }

  uint8_t state = value[single] >= value[end] ? single : end;
  std::vector<uint8_t> path(text.size());
  for (size_t i = text.size(); i-- > 0; state = from[i][state]) path[i] = state;

  size_t start = 0;  // of the word
  for (size_t i = 0; i < text.size(); ++i) {
    if (path[i] == begin || path[i] == single) start = i;
    if (path[i] == end || path[i] == single) words.push_back(text.substr(start, i + 1 - start));
  }
}

}  // namespace namm::tasks
