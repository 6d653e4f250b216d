#include "tasks/metrics/common_subsequence.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

constexpr size_t word_bits = 64;
constexpr size_t largest_table_bits = size_t{1} << 30;

}  // namespace

void CommonSubsequence::fill_table(std::span<const WordId> a, std::span<const WordId> b, size_t first_row) {
  const size_t width = (b.size() + word_bits - 1) / word_bits;
  if (a.size() - first_row > largest_table_bits / word_bits / width) {
    throw DataError(
        format_text("ROUGE-L of sentences of {} and {} words needs a table of more than {}; cut "
                    "the texts, or leave the recursion limit on",
                    a.size(), b.size(), format_bytes(largest_table_bits / 8)));
  }
  previous_place_.resize(b.size());
  for (size_t j = 0; j < b.size(); ++j) {
    int32_t& last = last_place_[static_cast<size_t>(b[j])];
    previous_place_[j] = std::exchange(last, static_cast<int32_t>(j));
  }
  row_.assign(width, ~uint64_t{0});
  rows_.resize((a.size() - first_row) * width);
  std::vector<uint64_t> matches(width, 0);
  for (size_t i = 0; i < a.size(); ++i) {
    const int32_t last = last_place_[static_cast<size_t>(a[i])];
    if (last != nowhere) {
      for (int32_t j = last; j != nowhere; j = previous_place_[static_cast<size_t>(j)]) {
        matches[static_cast<size_t>(j) / word_bits] |= uint64_t{1} << (static_cast<size_t>(j) % word_bits);
      }
      uint64_t carry = 0;
      for (size_t w = 0; w < width; ++w) {
        const uint64_t value = row_[w], matching = value & matches[w];
        const uint64_t partial = value + matching, sum = partial + carry;
        carry = static_cast<uint64_t>(partial < value) | static_cast<uint64_t>(sum < partial);
        row_[w] = sum | (value & ~matches[w]);
        matches[w] = 0;
      }
    }
    if (i >= first_row) {
      std::ranges::copy(row_, rows_.begin() + static_cast<ptrdiff_t>((i - first_row) * width));
    }
  }
  for (const WordId word : b) last_place_[static_cast<size_t>(word)] = nowhere;
}

bool CommonSubsequence::trace(std::span<const WordId> a, std::span<const WordId> b, int64_t limit,
                              std::vector<size_t>& places) {
  if (a.empty() || b.empty()) return true;
  const size_t steps_allowed = static_cast<size_t>(limit);
  // Every step lowers an index by one, so the shorter one bounds the steps from below.
  if (limit > 0 && std::min(a.size(), b.size()) >= steps_allowed) return false;
  const size_t first_row = limit > 0 && a.size() > steps_allowed ? a.size() - steps_allowed : 0;
  fill_table(a, b, first_row);
  const size_t width = row_.size();
  const auto grows_at = [&](size_t i, size_t j) {
    return (rows_[(i - 1 - first_row) * width + (j - 1) / word_bits] >> ((j - 1) % word_bits) & 1) == 0;
  };
  size_t i = a.size(), j = b.size();
  for (size_t steps = 1; i > 0 && j > 0; ++steps) {
    if (limit > 0 && steps >= steps_allowed) return false;
    if (a[i - 1] == b[j - 1]) {
      places.push_back(j - 1);
      --i, --j;
    } else if (grows_at(i, j)) {
      --i;
    } else {
      --j;
    }
  }
  return true;
}

}  // namespace namm::tasks
