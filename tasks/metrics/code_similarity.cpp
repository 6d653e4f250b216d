#include "tasks/metrics/code_similarity.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

namespace namm::tasks {
namespace {

struct Range {
  size_t a_begin, a_end, b_begin, b_end;
};

struct Block {
  size_t a, b, size;
};

/// Python's difflib.SequenceMatcher(None, a, b): the number of matching characters by repeated longest
/// blocks.
class BlockMatcher {
 public:
  BlockMatcher(TextView a, TextView b) : a_(a), b_(b), run_(b.size() + 1), next_run_(b.size() + 1) {
    for (size_t j = 0; j < b.size(); ++j) places_[b[j]].push_back(j);
    if (b.size() >= 200) {  // "autojunk": popular characters start no block
      const size_t popular = b.size() / 100 + 1;
      std::erase_if(places_, [&](const auto& entry) { return entry.second.size() > popular; });
    }
  }

  size_t matching_characters() {
    size_t total = 0;
    std::vector<Range> open{{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      const Block block = longest_block(range);
      if (block.size == 0) continue;
      total += block.size;
      if (range.a_begin < block.a && range.b_begin < block.b) {
        open.push_back({range.a_begin, block.a, range.b_begin, block.b});
      }
      if (block.a + block.size < range.a_end && block.b + block.size < range.b_end) {
        open.push_back({block.a + block.size, range.a_end, block.b + block.size, range.b_end});
      }
    }
    return total;
  }

 private:
  /// The longest block in the range, the one that starts earliest in a, then in b; then widened over equal
  /// neighbours, which may be popular characters.
  Block longest_block(const Range& range) {
    Block best{range.a_begin, range.b_begin, 0};
    // run_[j + 1]: length of the equal run that ends at (i, j), from the previous row.
    std::vector<size_t> touched, next_touched;
    for (size_t i = range.a_begin; i < range.a_end; ++i) {
      next_touched.clear();
      const auto places = places_.find(a_[i]);
      if (places != places_.end()) {
        for (size_t j : places->second) {
          if (j < range.b_begin) continue;
          if (j >= range.b_end) break;
          const size_t length = run_[j] + 1;
          next_run_[j + 1] = length;
          next_touched.push_back(j + 1);
          if (length > best.size) best = {i + 1 - length, j + 1 - length, length};
        }
      }
      for (size_t j : touched) run_[j] = 0;
      std::swap(run_, next_run_);
      std::swap(touched, next_touched);
    }
    for (size_t j : touched) run_[j] = 0;

    while (best.a > range.a_begin && best.b > range.b_begin && a_[best.a - 1] == b_[best.b - 1]) {
      --best.a, --best.b, ++best.size;
    }
    while (best.a + best.size < range.a_end && best.b + best.size < range.b_end &&
           a_[best.a + best.size] == b_[best.b + best.size]) {
      ++best.size;
    }
    return best;
  }

  TextView a_, b_;
  std::unordered_map<char32_t, std::vector<size_t>> places_;
  std::vector<size_t> run_, next_run_;
};

size_t longest_common_subsequence(TextView a, TextView b) {
  std::vector<size_t> row(b.size() + 1, 0);
  for (char32_t c : a) {
    size_t diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = c == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

int edit_ratio(TextView a, TextView b, EditSimilarity similarity) {
  if (a == b) return 100;
  const auto all = static_cast<double>(a.size() + b.size());
  // Halves are rounded to even, so that the last bit of the quotient counts: each library's own formula.
  const double ratio = similarity == EditSimilarity::difflib
                           ? 2.0 * static_cast<double>(BlockMatcher(a, b).matching_characters()) / all
                           : 1.0 - (all - 2.0 * static_cast<double>(longest_common_subsequence(a, b))) / all;
  return static_cast<int>(std::nearbyint(100 * ratio));
}

double code_similarity(TextView prediction, TextView gold, EditSimilarity similarity) {
  Text line;
  for (const Text& candidate : split(without_leading_newlines(prediction), U'\n')) {
    if (candidate.find_first_of(U"`#") == Text::npos && candidate.find(U"//") == Text::npos) {
      line = candidate;
      break;
    }
  }
  return edit_ratio(line, gold, similarity) / 100.0;
}

}  // namespace namm::tasks
