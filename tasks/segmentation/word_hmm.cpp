#include "tasks/segmentation/word_hmm.h"

#include <string_view>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/segmentation/python_table.h"

namespace namm::tasks {
namespace {

enum State : uint8_t { begin, end, middle, single };

constexpr std::string_view letters = "BEMS";
constexpr double never = -3.14e100;  // upstream's logarithm of zero

// Who may stand before a state. The later letter comes last, because Python's max over (value, letter) takes
// it on a tie.
constexpr State predecessors[4][2] = {{end, single}, {begin, middle}, {begin, middle}, {end, single}};

size_t state_of(char32_t letter, const std::filesystem::path& file) {
  const size_t state = letter < 0x80 ? letters.find(static_cast<char>(letter)) : std::string_view::npos;
  if (state == std::string_view::npos)
    throw DataError(format_text("{}: the states are B, E, M and S; it has '{}'", file.string(),
                                encode_utf8(TextView(&letter, 1))));
  return state;
}

/// The entries of a table, which must have a row for every state.
std::vector<TableEntry> read_table(const std::filesystem::path& file, int levels) {
  std::vector<TableEntry> entries = read_python_table(file, levels);
  std::array<bool, letters.size()> there{};
  for (const TableEntry& entry : entries) there[state_of(entry.row, file)] = true;
  for (size_t state = 0; state < letters.size(); ++state) {
    if (!there[state])
      throw DataError(format_text("{}: lacks state '{}'; take the file of the package jieba 0.42.1 again",
                                  file.string(), letters[state]));
  }
  return entries;
}

}  // namespace

WordHmm::WordHmm() : emission_(last_han - first_han + 1) {
  start_.fill(never);
  for (auto& row : transition_) row.fill(never);
  for (auto& row : emission_) row.fill(never);
}

WordHmm WordHmm::load(const std::filesystem::path& folder) {
  WordHmm model;
  const auto start = folder / "prob_start.py", transition = folder / "prob_trans.py",
             emission = folder / "prob_emit.py";
  for (const TableEntry& entry : read_table(start, 1)) model.start_[state_of(entry.row, start)] = entry.value;
  for (const TableEntry& entry : read_table(transition, 2)) {
    model.transition_[state_of(entry.row, transition)][state_of(entry.column, transition)] = entry.value;
  }
  for (const TableEntry& entry : read_table(emission, 2)) {
    // The file also has characters that never reach the model.
    if (is_han(entry.column))
      model.emission_[entry.column - first_han][state_of(entry.row, emission)] = entry.value;
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
