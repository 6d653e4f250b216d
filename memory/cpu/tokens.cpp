#include "memory/cpu/tokens.h"

#include <algorithm>

namespace namm::memory::cpu {
namespace {

// The first of tokens [first, first + count) at `position` or later, relative to `first`.
size_t lower_bound(const Tokens& tokens, size_t first, size_t count, int64_t position) {
  if (!tokens.positions) {
    const int64_t begin = tokens.position(first);
    if (position <= begin) return 0;
    return position - begin >= static_cast<int64_t>(count) ? count : static_cast<size_t>(position - begin);
  }
  const int64_t* begin = tokens.positions + first;
  return static_cast<size_t>(std::lower_bound(begin, begin + count, position) - begin);
}

}  // namespace

VisibleRange visible_range(const Tokens& tokens, size_t first, size_t count, const Visibility& visibility,
                           int64_t query) {
  const int64_t last = visibility.last(query);
  return {lower_bound(tokens, first, count, visibility.first(query)),
          last == INT64_MAX ? count : lower_bound(tokens, first, count, last + 1)};
}

Sight sight(const Tokens& tokens, size_t first, size_t count, const Visibility& visibility,
            int64_t first_query, int64_t last_query) {
  const int64_t oldest = tokens.position(first), newest = tokens.position(first + count - 1);
  // Both borders of what is seen grow with the query.
  if (newest < visibility.first(first_query) || oldest > visibility.last(last_query)) return Sight::none;
  return oldest >= visibility.first(last_query) && newest <= visibility.last(first_query) ? Sight::all
                                                                                          : Sight::some;
}

}  // namespace namm::memory::cpu
