#include "memory/selection.h"

#include <algorithm>
#include <limits>

#include "core/errors.h"
#include "memory/segments.h"

namespace namm::memory {
namespace {

void check_scores(const at::Tensor& scores, const std::vector<int64_t>& offsets, int64_t kv_heads) {
  TORCH_CHECK(scores.dim() == 1 && scores.scalar_type() == at::kFloat,
              "[select] scores must be float32 [tokens], are ", scores.scalar_type(), " ", scores.sizes());
  check_offsets(offsets, scores.size(0), kv_heads);
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Scores for the threshold: the newest token of every segment above all others, NaN below. Infinite scores,
// which too large parameters give, come behind the newest and what is protected.
at::Tensor with_newest_first(const at::Tensor& scores, const std::vector<int64_t>& offsets) {
  return at::where(scores.isnan(), -kInfinity, scores)
      .clamp_max(std::numeric_limits<float>::max())
      .index_fill(0, newest_indices(offsets, scores.device()), kInfinity);
}

// limits int64 [segments]; held int64 [segments], protected tokens, undefined where nothing is.
KeepDecision decision(const at::Tensor& keep, const std::vector<int64_t>& offsets, int64_t kv_heads,
                      const at::Tensor& limits = {}, const at::Tensor& held = {}) {
  KeepDecision result{keep, segment_counts(keep, offsets).to(at::kInt).view({-1, kv_heads})};
  if (limits.defined() && held.defined())
    result.excess = (held - limits).clamp_min(0).to(at::kInt).view({-1, kv_heads});
  return result;
}

void check_protected(const at::Tensor& protected_tokens, int64_t tokens) {
  TORCH_CHECK(protected_tokens.scalar_type() == at::kBool && protected_tokens.dim() == 1 &&
                  protected_tokens.size(0) == tokens,
              "[select] protected tokens must be bool [", tokens, "], are ", protected_tokens.sizes());
}

// Places inside groups of equal `keys`, in the order of falling scores. Keys of one segment are neighbours;
// `starts` holds for every token the number of tokens whose keys are below those of its segment.
at::Tensor places(const at::Tensor& scores, const at::Tensor& keys, const at::Tensor& starts, TieRule ties) {
  const int64_t n = scores.size(0);
  const at::Tensor clean = at::where(scores.isnan(), -kInfinity, scores);
  at::Tensor order;
  if (ties == TieRule::newer_kept) {
    order = n - 1 - clean.flip(0).argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  } else {
    order = clean.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  }
  order = order.index_select(
      0, keys.index_select(0, order).argsort(/*stable=*/true, /*dim=*/0, /*descending=*/false));
  at::Tensor result = at::empty({n}, scores.options().dtype(at::kLong));
  result.index_copy_(0, order, at::arange(n, result.options()));
  return result - starts;
}

}  // namespace

HeadMode head_mode(const std::string& name) {
  if (name == "ragged") return HeadMode::ragged;
  if (name == "parity") return HeadMode::parity;
  throw ConfigError("heads = " + name + ": one of ragged, parity");
}

std::string to_string(HeadMode mode) {
  return mode == HeadMode::ragged ? "ragged" : "parity";
}

at::Tensor ranks_in_segments(const at::Tensor& scores, const std::vector<int64_t>& offsets, TieRule ties) {
  check_scores(scores, offsets, 1);
  const at::Tensor ids = segment_ids(offsets, scores.device());
  const at::Tensor starts = at::tensor(offsets, at::kLong).to(scores.device()).index_select(0, ids);
  return places(scores, ids, starts, ties);
}

at::Tensor count_above(const at::Tensor& scores, const std::vector<int64_t>& offsets, int64_t kv_heads) {
  check_scores(scores, offsets, kv_heads);
  return segment_counts(with_newest_first(scores, offsets) >= 0, offsets).to(at::kInt).view({-1, kv_heads});
}

KeepDecision select_threshold(const at::Tensor& scores, const std::vector<int64_t>& offsets, int64_t kv_heads,
                              HeadMode mode, int64_t cache_cap, const at::Tensor& protected_tokens) {
  check_scores(scores, offsets, kv_heads);
  at::Tensor forced = with_newest_first(scores, offsets), held;
  if (protected_tokens.defined()) {
    check_protected(protected_tokens, scores.size(0));
    forced = forced.masked_fill(protected_tokens, kInfinity);
    held = segment_counts(protected_tokens, offsets);
  }
  const at::Tensor above = forced >= 0;
  if (mode == HeadMode::ragged && cache_cap == 0) return decision(above, offsets, kv_heads);

  at::Tensor counts = segment_counts(above, offsets), caps;
  if (cache_cap > 0) {
    caps = at::full_like(counts, cache_cap);
    counts = counts.minimum(held.defined() ? caps.maximum(held) : caps);
  }
  counts = counts.view({-1, kv_heads});
  if (mode == HeadMode::parity) counts = counts.amax(1, /*keepdim=*/true).expand({-1, kv_heads});
  const at::Tensor wanted = counts.reshape({-1}).index_select(0, segment_ids(offsets, scores.device()));
  return decision(ranks_in_segments(forced, offsets, TieRule::newer_kept) < wanted, offsets, kv_heads, caps,
                  held);
}

KeepDecision select_top(const at::Tensor& scores, const LayerView& layer, int64_t kv_heads,
                        const std::vector<SegmentBudget>& budgets) {
  check_scores(scores, layer.offsets, kv_heads);
  const size_t segments = layer.offsets.size() - 1;
  TORCH_CHECK(budgets.size() == segments, "[select] ", budgets.size(), " budgets for ", segments,
              " segments");
  const int64_t n = scores.size(0);
  std::vector<int64_t> first_recent(segments), sinks(segments), tokens(segments);
  bool any_sinks = false;
  for (size_t s = 0; s < segments; ++s) {
    const SegmentBudget& budget = budgets[s];
    TORCH_CHECK(budget.tokens >= 0 && budget.recent >= 0 && budget.sinks >= 0,
                "[select] budgets must not be negative");
    first_recent[s] = layer.offsets[s + 1] - std::min(budget.recent, layer.offsets[s + 1] - layer.offsets[s]);
    sinks[s] = budget.sinks;
    tokens[s] = budget.tokens;
    any_sinks = any_sinks || budget.sinks > 0;
  }
  const at::Device device = scores.device();
  const at::Tensor ids = segment_ids(layer.offsets, device);
  const auto of_token = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(device).index_select(0, ids);
  };
  // Tiers: 0 protected, 1 recent, newest first, 2 sinks, oldest first, 3 the others by score.
  const at::Tensor index = at::arange(n, ids.options());
  const at::Tensor starts = of_token(layer.offsets);
  const at::Tensor is_recent = index >= of_token(first_recent);
  const at::Tensor age_order = (index - starts).to(at::kFloat);
  at::Tensor tier = at::where(is_recent, 1, 3);
  at::Tensor order = at::where(is_recent, age_order, scores);
  if (any_sinks) {
    TORCH_CHECK(layer.positions.defined() && layer.positions.numel() == n,
                "[select] sinks need the positions of all tokens");
    const at::Tensor is_sink = (layer.positions < of_token(sinks)).logical_and(is_recent.logical_not());
    tier = at::where(is_sink, 2, tier);
    order = at::where(is_sink, -age_order, order);
  }
  const at::Tensor limits = at::tensor(tokens, at::kLong).to(device);
  at::Tensor allowed = limits, held;
  if (layer.protected_tokens.defined()) {
    check_protected(layer.protected_tokens, n);
    held = segment_counts(layer.protected_tokens, layer.offsets);
    allowed = limits.maximum(held);
    tier = at::where(layer.protected_tokens, 0, tier);
  }
  return decision(places(order, ids * 4 + tier, starts, TieRule::older_kept) < allowed.index_select(0, ids),
                  layer.offsets, kv_heads, limits, held);
}

}  // namespace namm::memory
