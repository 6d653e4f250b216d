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

/// How many tokens a baseline may keep in each (layer, KV head) at an update; each keeps its newest whatever
/// the budget, so that one below a token a head is exceeded. Config value: a name, or one of
/// `{tokens: N}`, `{fraction: F}` and `{bytes: B}`.
struct Budget {
  enum class Kind {
    match_namm,  ///< NAMM's total at the same update of the same row, spread evenly over layers and heads;
                 ///< totals equal
    match_namm_layers,  ///< NAMM's total of each layer, spread evenly over its heads
    match_namm_heads,   ///< NAMM's own counts
    tokens,             ///< `tokens` in every head
    fraction,           ///< share_of(`fraction`, tokens processed) in every head
    bytes,  ///< `tokens` bytes of keys and values a row in all, spread evenly over layers and heads
  };
  Kind kind = Kind::match_namm;
  int64_t tokens = 0;  ///< or bytes
  double fraction = 0;

  static Budget match_namm() { return {}; }
  static Budget of_tokens(int64_t tokens) { return {Kind::tokens, tokens, 0}; }
  static Budget of_bytes(int64_t bytes) { return {Kind::bytes, bytes, 0}; }
  static Budget of_fraction(double fraction) { return {Kind::fraction, 0, fraction}; }

  /// Needs what NAMM kept.
  bool needs_counts() const { return kind <= Kind::match_namm_heads; }
  /// "match_namm", "256 tokens", "0.25 of the tokens", "65536 bytes".
  std::string text() const;

  static Budget from_config(const ConfigNode& node);
  ConfigValue to_config() const;

  bool operator==(const Budget&) const = default;
};

/// `fraction` of `tokens`, rounded down, at least 1. What is a whole number but for float64's rounding (.29
/// of 100) counts as that.
int64_t share_of(double fraction, int64_t tokens);

/// Tokens to keep [L * Hk], layer major, for `row` at its current update. A remainder goes to the first
/// layers and heads, one token each. Updates after the last recorded one get its counts; a row recorded
/// without any update gets INT64_MAX (everything stays). TORCH_CHECK: `recorded` is there where needed and
/// knows the row's tag; token_bytes, of one token in one layer and KV head, is at least 1 where bytes are the
/// budget.
std::vector<int64_t> budget_counts(const Budget& budget, const RecordedCounts* recorded, const RowView& row,
                                   const TransformerShape& shape, int64_t token_bytes);

/// Most tokens that a row of `tokens` holds at any time in all layers and KV heads under a budget that needs
/// no counts: before an update, what the last one left and a period's new ones, at most `tokens` a head.
int64_t most_tokens(const Budget& budget, const TransformerShape& shape, int64_t period_tokens,
                    int64_t tokens, int64_t token_bytes);

/// `counts` [L * Hk] of a row as a pyramid (Cai et al., arXiv 2406.02069, and its published code): every head
/// has its newest `window_tokens`, at most its mean share; the rest falls evenly over the layers from twice
/// the mean less the least to the least, mean / beta, heads of a layer alike. Where the first layer holds
/// less
/// (`lengths` [L * Hk], tokens there are), the pyramid is flatter, so that it holds all of its share. The
/// total is that of `counts` to the token, or of `lengths` where that is less; every head has at least 1.
std::vector<int64_t> pyramid_counts(std::vector<int64_t> counts, const std::vector<int64_t>& lengths,
                                    int64_t kv_heads, int64_t window_tokens, double beta);

/// Counts beyond what a segment holds (`lengths`, [L * Hk]) go to the first segments with room.
void pass_on_excess(std::vector<int64_t>& counts, const std::vector<int64_t>& lengths);

}  // namespace namm::memory
