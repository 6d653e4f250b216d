#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "memory/eviction_policy.h"

namespace namm::memory {

/// What NAMM kept, update by update, for every row it ran: [tag][update][layer * Hk + head], as
/// Session::kept_history gives it. A row that never came to an update has an empty list.
struct RecordedCounts {
  std::map<int64_t, std::vector<std::vector<int64_t>>> rows;

  bool empty() const { return rows.empty(); }
};

/// How many tokens a baseline may keep in each (layer, KV head) at an update. Config value: a name, or one of
/// `{tokens: N}` and `{fraction: F}`.
struct Budget {
  enum class Kind {
    match_namm,  ///< NAMM's total at the same update of the same row, spread evenly over layers and heads;
                 ///< totals equal
    match_namm_layers,  ///< NAMM's total of each layer, spread evenly over its heads
    match_namm_heads,   ///< NAMM's own counts
    tokens,             ///< `tokens` in every head
    fraction,           ///< `fraction` of the tokens processed in every head, rounded down, at least 1
  };
  Kind kind = Kind::match_namm;
  int64_t tokens = 0;
  double fraction = 0;

  static Budget match_namm() { return {}; }
  static Budget of_tokens(int64_t tokens) { return {Kind::tokens, tokens, 0}; }
  static Budget of_fraction(double fraction) { return {Kind::fraction, 0, fraction}; }

  /// Needs what NAMM kept.
  bool needs_counts() const { return kind != Kind::tokens && kind != Kind::fraction; }
  /// "match_namm", "256 tokens", "0.25 of the tokens".
  std::string text() const;

  static Budget from_config(const ConfigNode& node);
  ConfigValue to_config() const;

  bool operator==(const Budget&) const = default;
};

/// Tokens to keep [L * Hk], layer major, for `row` at its current update. A remainder goes to the first
/// layers and heads, one token each. Updates after the last recorded one get its counts; a row recorded
/// without any update gets INT64_MAX (everything stays). TORCH_CHECK: `recorded` is there where needed and
/// knows the row's tag.
std::vector<int64_t> budget_counts(const Budget& budget, const RecordedCounts* recorded, const RowView& row,
                                   const TransformerShape& shape);

}  // namespace namm::memory
