#include "models/tokenizers/space_clean_up.h"

#include <algorithm>
#include <utility>

namespace namm::models {
namespace {

struct Replacement {
  std::string_view from, to;
};

// One after the other over the whole text, as there.
constexpr std::array<Replacement, 10> kReplacements = {{{" .", "."},
                                                        {" ?", "?"},
                                                        {" !", "!"},
                                                        {" ,", ","},
                                                        {" ' ", "'"},
                                                        {" n't", "n't"},
                                                        {" 'm", "'m"},
                                                        {" 's", "'s"},
                                                        {" 've", "'ve"},
                                                        {" 're", "'re"}}};

// Bytes at the end of `text` that begin `pattern`, without being all of it.
std::size_t open_end(std::string_view text, std::string_view pattern) {
  std::size_t bytes = std::min(text.size(), pattern.size() - 1);
  while (!text.ends_with(pattern.substr(0, bytes))) --bytes;
  return bytes;
}

}  // namespace

std::string SpaceCleanUp::run(std::string text, bool last) {
  for (std::size_t step = 0; step < kSteps; ++step) {
    const auto [from, to] = kReplacements[step];
    text.insert(0, std::exchange(held_[step], {}));
    std::string result;
    std::size_t done = 0;
    for (std::size_t found; (found = text.find(from, done)) != std::string::npos; done = found + from.size())
      result.append(text, done, found - done).append(to);
    std::string_view rest = std::string_view(text).substr(done);
    if (!last) {
      held_[step] = rest.substr(rest.size() - open_end(rest, from));
      rest.remove_suffix(held_[step].size());
    }
    result.append(rest);
    text = std::move(result);
  }
  return text;
}

std::string SpaceCleanUp::add(std::string_view piece) {
  const auto is_empty = [](const std::string& held) { return held.empty(); };
  // Everything that is replaced begins with a space.
  if (piece.find(' ') == std::string_view::npos && std::all_of(held_.begin(), held_.end(), is_empty))
    return std::string(piece);
  return run(std::string(piece), false);
}

std::string SpaceCleanUp::finish() {
  return run({}, true);
}

}  // namespace namm::models
