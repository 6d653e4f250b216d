#include "memory/policies/namm.h"

#include <algorithm>
#include <utility>

#include "memory/segments.h"

namespace namm::memory {

void NammConfig::check(const ConfigNode& node) const {
  if (period_tokens % spectrogram.hop_length != 0) {
    node.fail_entry("period_tokens", std::to_string(period_tokens),
                    "a multiple of spectrogram.hop_length = " + std::to_string(spectrogram.hop_length));
  }
}

NammPolicy::NammPolicy(const NammConfig& config, at::Tensor theta, FeatureStatistics statistics)
    : config_(config),
      mode_(head_mode(config.heads)),
      theta_(std::move(theta)),
      statistics_(std::move(statistics)) {
  TORCH_CHECK(theta_.defined() && theta_.dim() == 2 && theta_.scalar_type() == at::kFloat &&
                  theta_.size(1) == config.parameters(),
              "[namm] parameters must be float32 [members, ", config.parameters(), "], are ",
              theta_.defined() ? theta_.sizes() : at::IntArrayRef());
  TORCH_CHECK(statistics_.count == 0 || statistics_.features() == config.spectrogram.bins(),
              "[namm] statistics of ", statistics_.features(), " features for ", config.spectrogram.bins(),
              " frequencies");
}

Needs NammPolicy::needs() const {
  return {.spectrogram = config_.spectrogram};
}

namespace {

// int64 [N]: tokens between each one and the newest of its segment.
at::Tensor ages_of(const LayerView& layer) {
  const at::Device device = layer.positions.device();
  std::vector<int64_t> ends(layer.offsets.size() - 1);
  for (size_t s = 0; s < ends.size(); ++s) ends[s] = layer.offsets[s + 1] - 1;
  const at::Tensor newest =
      at::tensor(ends, at::kLong).to(device).index_select(0, segment_ids(layer.offsets, device));
  return layer.positions.index_select(0, newest) - layer.positions;
}

// [tokens of the longest row, dimension], by age; filled in for `ages` alone, a long row has forgotten most
// of what it read.
at::Tensor recency_table(const UpdateView& view, const std::vector<at::Tensor>& ages,
                         const RecencyConfig& config) {
  int64_t tokens = 0;
  for (const RowView& row : view.rows) tokens = std::max(tokens, row.tokens_processed);
  const at::Tensor all = at::cat(ages);
  const at::Tensor seen = at::zeros({tokens}, all.options().dtype(at::kBool)).index_fill_(0, all, true);
  const at::Tensor distinct = seen.nonzero().squeeze(1);
  return at::empty({tokens, config.dimension}, all.options().dtype(at::kFloat))
      .index_copy_(0, distinct, recency_embedding(distinct, config).to(all.device()));
}

}  // namespace

at::Tensor NammPolicy::features(const LayerView& layer, const at::Tensor& ages,
                                const at::Tensor& table) const {
  TORCH_CHECK(layer.ema.defined(), "[namm] the view has no spectrogram");
  return at::cat({table.index_select(0, ages), statistics_.apply(layer.ema)}, 1);
}

at::Tensor NammPolicy::scores(const UpdateView& view, const at::Tensor& features,
                              const LayerView& layer) const {
  std::vector<BamSegment> segments;
  for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
    const RowView& row = view.rows[s / static_cast<size_t>(view.shape.kv_heads)];
    segments.push_back({layer.offsets[s], layer.offsets[s + 1], row.member});
  }
  return bam_scores(features, segments, theta_.to(features.device()), config_.bam, view.backend);
}

at::Tensor NammPolicy::features(const UpdateView& view, const LayerView& layer) const {
  const at::Tensor ages = ages_of(layer);
  return features(layer, ages, recency_table(view, {ages}, config_.recency));
}

at::Tensor NammPolicy::scores(const UpdateView& view, const LayerView& layer) const {
  return scores(view, features(view, layer), layer);
}

std::vector<KeepDecision> NammPolicy::decide(const UpdateView& view) const {
  std::vector<KeepDecision> decisions;
  if (view.layers.empty()) return decisions;
  std::vector<at::Tensor> ages;
  for (const LayerView& layer : view.layers) ages.push_back(ages_of(layer));
  const at::Tensor table = recency_table(view, ages, config_.recency);
  for (size_t l = 0; l < view.layers.size(); ++l) {
    const LayerView& layer = view.layers[l];
    const at::Tensor all_scores = scores(view, features(layer, ages[l], table), layer);
    decisions.push_back(
        select_threshold(all_scores, layer.offsets, view.shape.kv_heads, mode_, config_.cache_cap));
    decisions.back().scores = all_scores;
  }
  return decisions;
}

}  // namespace namm::memory
