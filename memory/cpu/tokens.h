#pragma once

#include <cstddef>
#include <cstdint>

namespace namm::memory::cpu {

enum class ElementType { float32, bfloat16 };

/// Consecutive cached tokens of one KV head, oldest first, as raw memory: keys, values [count, head_dim] of
/// `type`, contiguous.
struct Tokens {
  const void* keys = nullptr;
  const void* values = nullptr;        ///< may be null where only keys are read
  const int64_t* positions = nullptr;  ///< [count], increasing; null: first_position, first_position + 1, ...
  int64_t first_position = 0;
  size_t count = 0;
  ElementType type = ElementType::float32;

  int64_t position(size_t i) const {
    return positions ? positions[i] : first_position + static_cast<int64_t>(i);
  }
};

/// Which keys count for a query, by their positions.
struct Visibility {
  enum class Rule { older, newer } rule = Rule::older;  ///< its own position always counts
  int64_t window_tokens = 0;  ///< of `older`: only keys above query - window_tokens; 0: all

  int64_t first(int64_t query) const {
    if (rule == Rule::newer) return query;
    return window_tokens > 0 ? query - window_tokens + 1 : INT64_MIN;
  }
  int64_t last(int64_t query) const { return rule == Rule::newer ? INT64_MAX : query; }
};

/// Indices [begin, end) of the tokens [first, first + count) that a query sees, relative to `first`.
struct VisibleRange {
  size_t begin = 0, end = 0;
};

VisibleRange visible_range(const Tokens& tokens, size_t first, size_t count, const Visibility& visibility,
                           int64_t query);

/// What queries at the positions first_query <= last_query see of tokens [first, first + count).
enum class Sight { none, some, all };
Sight sight(const Tokens& tokens, size_t first, size_t count, const Visibility& visibility,
            int64_t first_query, int64_t last_query);

}  // namespace namm::memory::cpu
