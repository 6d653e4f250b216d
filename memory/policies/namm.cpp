#include "memory/policies/namm.h"

#include <algorithm>
#include <utility>

#include "memory/segments.h"

namespace namm::memory {

void check_memory(const NammConfig& config, const at::Tensor& theta, const FeatureStatistics& statistics) {
  TORCH_CHECK(theta.defined() && theta.dim() == 2 && theta.scalar_type() == at::kFloat &&
                  theta.size(1) == config.parameters(),
              "[namm] parameters must be float32 [members, ", config.parameters(), "], are ",
              theta.defined() ? theta.sizes() : at::IntArrayRef());
  TORCH_CHECK(statistics.count == 0 || statistics.features() == config.spectral_count(),
              "[namm] statistics of ", statistics.features(), " features for ", config.spectral_count());
}

NammPolicy::NammPolicy(const NammConfig& config, at::Tensor theta, FeatureStatistics statistics)
    : config_(config),
      mode_(head_mode(config.heads)),
      theta_(std::move(theta)),
      statistics_(std::move(statistics)) {
  TORCH_CHECK(!config_.mixes_heads(), "[namm] a memory with scorer mix belongs to the policy namm-mix");
  check_memory(config_, theta_, statistics_);
}

Needs NammPolicy::needs() const {
  return {.spectrogram = config_.needed_spectrogram()};
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
  const at::Tensor spectral = statistics_.apply(spectral_features(layer.ema, config_.spectral));
  return at::cat({table.index_select(0, ages), spectral}, 1);
}

at::Tensor NammPolicy::scores(const UpdateView& view, const at::Tensor& features,
                              const LayerView& layer) const {
  const OwnTransformer& own = config_.transformer;
  TORCH_CHECK(config_.sharing == "shared" ||
                  (layer.layer < own.layers &&
                   (config_.sharing == "per_layer" || view.shape.kv_heads == own.kv_heads)),
              "[namm] parameters ", config_.sharing, " of ", own.layers, " layers of ", own.kv_heads,
              " KV heads, the view has layer ", layer.layer, " of ", view.shape.kv_heads);
  const int64_t scorers = config_.scorers();
  std::vector<BamSegment> segments;
  for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
    const auto heads = static_cast<size_t>(view.shape.kv_heads);
    const int64_t scorer = config_.scorer_of(layer.layer, static_cast<int64_t>(s % heads));
    segments.push_back(
        {layer.offsets[s], layer.offsets[s + 1], view.rows[s / heads].member * scorers + scorer});
  }
  const at::Tensor theta = theta_.view({-1, config_.scorer_parameters()}).to(features.device());
  if (config_.scorer == "bam") return bam_scores(features, segments, theta, config_.bam, view.backend);
  const MlpConfig linear{.hidden_layers = 0, .hidden_dim = 0};
  return mlp_scores(features, segments, theta, config_.scorer == "mlp" ? config_.mlp : linear, view.backend);
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
    decisions.push_back(select_threshold(all_scores, layer.offsets, view.shape.kv_heads, mode_,
                                         config_.cache_cap, layer.protected_tokens));
    decisions.back().scores = all_scores;
  }
  return decisions;
}

}  // namespace namm::memory
