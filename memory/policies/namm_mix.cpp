#include "memory/policies/namm_mix.h"

#include <algorithm>
#include <utility>

#include "memory/budget.h"
#include "memory/policies/namm.h"
#include "memory/segments.h"
#include "memory/selection.h"

namespace namm::memory {

NammMixPolicy::NammMixPolicy(const NammConfig& config, at::Tensor theta, FeatureStatistics statistics)
    : config_(config), theta_(std::move(theta)), statistics_(std::move(statistics)) {
  TORCH_CHECK(config_.mixes_heads(), "[namm-mix] takes a memory with scorer mix, this one has ",
              config_.scorer, " (policy namm)");
  check_memory(config_, theta_, statistics_);
}

std::vector<MixedTokens> NammMixPolicy::scores(const UpdateView& view) const {
  std::vector<at::Tensor> features;
  for (const LayerView& layer : view.layers) {
    TORCH_CHECK(layer.ema.defined(), "[namm-mix] the view has no spectrogram");
    features.push_back(statistics_.apply(spectral_features(layer.ema, config_.spectral)));
  }
  return mix_scores(view, features, theta_, config_);
}

namespace {

// bool [U] by the row's tokens, undefined where the view protects nothing: what any head protects.
at::Tensor protected_of_row(const UpdateView& view, size_t row, const at::Tensor& positions) {
  at::Tensor by_position;
  const auto first = row * static_cast<size_t>(view.shape.kv_heads);
  for (const LayerView& layer : view.layers) {
    if (!layer.protected_tokens.defined()) continue;
    const int64_t begin = layer.offsets[first],
                  n = layer.offsets[first + static_cast<size_t>(view.shape.kv_heads)] - begin;
    if (!by_position.defined())
      by_position = at::zeros({view.rows[row].tokens_processed}, layer.protected_tokens.options());
    by_position.index_fill_(
        0, layer.positions.narrow(0, begin, n).masked_select(layer.protected_tokens.narrow(0, begin, n)),
        true);
  }
  return by_position.defined() ? by_position.index_select(0, positions) : by_position;
}

}  // namespace

KeepDecision NammMixPolicy::chosen(const MixedTokens& tokens, const RowView& row,
                                   const at::Tensor& protected_tokens) const {
  const MixConfig& mix = config_.mix;
  const int64_t held = tokens.positions.size(0);
  const bool has_share = mix.keep_fraction > 0;
  int64_t most = config_.cache_cap > 0 ? config_.cache_cap : held;
  if (has_share) {
    most = std::min(most, share_of(mix.keep_fraction, row.tokens_processed));
  }
  KeepDecision decision{at::ones({held}, tokens.scores.options().dtype(at::kBool)), {}};
  if (most < held) {
    LayerView all;
    all.offsets = {0, held};
    all.positions = tokens.positions;
    all.protected_tokens = protected_tokens;
    const SegmentBudget budget{.tokens = most, .recent = mix.recent_tokens, .sinks = mix.sinks};
    decision = select_top(tokens.scores, all, 1, {budget});
  }
  if (has_share) return decision;
  at::Tensor wanted = (tokens.scores >= 0).logical_or_(tokens.positions < mix.sinks);
  if (protected_tokens.defined()) wanted.logical_or_(protected_tokens);
  wanted.narrow(0, std::max<int64_t>(0, held - mix.recent_tokens), std::min(held, mix.recent_tokens))
      .fill_(true);
  decision.keep.logical_and_(wanted);
  return decision;
}

std::vector<KeepDecision> NammMixPolicy::decide(const UpdateView& view) const {
  const std::vector<MixedTokens> mixed = scores(view);
  const int64_t heads = view.shape.kv_heads;
  std::vector<KeepDecision> decisions;
  for (const LayerView& layer : view.layers) {
    decisions.push_back({at::zeros({layer.offsets.back()}, layer.positions.options().dtype(at::kBool)), {}});
    decisions.back().scores = at::zeros({layer.offsets.back()}, layer.positions.options().dtype(at::kFloat));
  }
  for (size_t r = 0; r < view.rows.size(); ++r) {
    const auto [keep, lengths, scores, excess] =
        chosen(mixed[r], view.rows[r], protected_of_row(view, r, mixed[r].positions));
    const at::Tensor by_position =
        at::zeros({view.rows[r].tokens_processed}, keep.options()).index_copy_(0, mixed[r].positions, keep);
    const at::Tensor scores_by_position =
        at::zeros({view.rows[r].tokens_processed}, mixed[r].scores.options())
            .index_copy_(0, mixed[r].positions, mixed[r].scores);
    for (size_t l = 0; l < view.layers.size(); ++l) {
      const LayerView& layer = view.layers[l];
      const int64_t begin = layer.offsets[r * heads], n = layer.offsets[(r + 1) * heads] - begin;
      const at::Tensor positions = layer.positions.narrow(0, begin, n);
      decisions[l].keep.narrow(0, begin, n).copy_(by_position.index_select(0, positions));
      decisions[l].scores.narrow(0, begin, n).copy_(scores_by_position.index_select(0, positions));
      if (!excess.defined()) continue;
      if (!decisions[l].excess.defined())
        decisions[l].excess = at::zeros({std::ssize(view.rows), heads}, excess.options());
      decisions[l].excess.select(0, static_cast<int64_t>(r)).copy_(excess.view({1}));
    }
  }
  for (size_t l = 0; l < view.layers.size(); ++l) {
    const std::vector<int64_t>& offsets = view.layers[l].offsets;
    at::Tensor& keep = decisions[l].keep;
    keep.index_fill_(0, newest_indices(offsets, keep.device()), true);
    decisions[l].lengths = segment_counts(keep, offsets).to(at::kInt).view({-1, heads});
  }
  return decisions;
}

}  // namespace namm::memory
