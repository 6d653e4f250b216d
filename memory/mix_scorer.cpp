#include "memory/mix_scorer.h"

#include "memory/affine_rows.h"

namespace namm::memory {
namespace {

constexpr double kHeadScale = 0.1, kFeatureScale = 0.5, kRecencyScale = 0.1;

void check_view(const UpdateView& view, const std::vector<at::Tensor>& features, const at::Tensor& theta,
                const NammConfig& config) {
  const OwnTransformer& own = config.transformer;
  TORCH_CHECK(view.shape.layers == own.layers && view.shape.kv_heads == own.kv_heads &&
                  std::ssize(view.layers) == own.layers,
              "[mix] the mixture is of ", own.layers, " layers of ", own.kv_heads, " KV heads, the view has ",
              view.layers.size(), " of ", view.shape.layers, " layers of ", view.shape.kv_heads);
  TORCH_CHECK(features.size() == view.layers.size(), "[mix] features of ", features.size(), " of ",
              view.layers.size(), " layers");
  TORCH_CHECK(theta.dim() == 2 && theta.size(1) == config.parameters(), "[mix] theta must be [members, ",
              config.parameters(), "], is ", theta.sizes());
  for (size_t l = 0; l < features.size(); ++l) {
    const LayerView& layer = view.layers[l];
    TORCH_CHECK(layer.layer == static_cast<int64_t>(l), "[mix] layers must come in order");
    TORCH_CHECK(features[l].dim() == 2 && features[l].size(0) == layer.offsets.back() &&
                    features[l].size(1) == config.spectral_count(),
                "[mix] features must be [", layer.offsets.back(), ", ", config.spectral_count(), "], are ",
                features[l].sizes());
  }
  for (const RowView& row : view.rows) {
    TORCH_CHECK(row.member >= 0 && row.member < theta.size(0), "[mix] member ", row.member, " of ",
                theta.size(0));
  }
}

}  // namespace

std::vector<ParameterBlock> mix_layout(const NammConfig& config) {
  const int64_t rank = config.mix.rank, heads = config.transformer.layers * config.transformer.kv_heads;
  std::vector<ParameterBlock> layout;
  int64_t offset = 0;
  const auto add = [&](const char* name, int64_t rows, int64_t cols) {
    layout.push_back({name, offset, rows, cols});
    offset += rows * cols;
  };
  add("mix.heads", rank, heads);
  add("mix.features", rank, config.spectral_count());
  add("recency.weight", config.recency.dimension, 1);
  add("score.bias", 1, 1);
  return layout;
}

MixWeights mix_weights(const at::Tensor& theta, const NammConfig& config) {
  const std::vector<ParameterBlock> layout = mix_layout(config);
  const auto block = [&](size_t i) {
    return theta.narrow(0, layout[i].offset, layout[i].rows * layout[i].cols);
  };
  const OwnTransformer& own = config.transformer;
  const int64_t rank = config.mix.rank, bins = config.spectral_count();
  at::Tensor heads = block(0).view({rank, own.layers, own.kv_heads}) * kHeadScale;
  at::Tensor features = block(1).view({rank, bins}) * kFeatureScale;
  heads.select(0, 0).add_(1.0 / static_cast<double>(own.layers * own.kv_heads));
  features.select(0, 0).select(0, 0).add_(1.0);
  if (rank > 1) features.narrow(0, 1, rank - 1).add_(1.0 / static_cast<double>(bins));
  return {heads, features, block(2) * kRecencyScale, block(3)};
}

std::vector<MixedTokens> mix_scores(const UpdateView& view, const std::vector<at::Tensor>& features,
                                    const at::Tensor& theta, const NammConfig& config) {
  check_view(view, features, theta, config);
  if (view.backend == Backend::reference) {
    std::vector<MixedTokens> exact = mix_scores_reference(view, features, theta, config);
    for (MixedTokens& row : exact) row = {row.positions.to(theta.device()), row.scores.to(theta.options())};
    return exact;
  }
  const int64_t heads = view.shape.kv_heads;
  std::vector<MixedTokens> result;
  for (size_t r = 0; r < view.rows.size(); ++r) {
    const RowView& row = view.rows[r];
    const MixWeights weights = mix_weights(theta.select(0, row.member), config);
    const at::Tensor feature_weights = weights.features.t().contiguous();  // [D, rank]
    at::Tensor evidence = at::zeros({row.tokens_processed}, theta.options());
    at::Tensor held = at::zeros({row.tokens_processed}, theta.options().dtype(at::kBool));
    for (size_t l = 0; l < view.layers.size(); ++l) {
      const LayerView& layer = view.layers[l];
      const auto first_segment = static_cast<int64_t>(r) * heads;
      const int64_t begin = layer.offsets[first_segment], end = layer.offsets[first_segment + heads];
      const at::Tensor seen =
          affine_rows(features[l].narrow(0, begin, end - begin), feature_weights, {}, view.backend);
      const at::Tensor head_weights = weights.heads.select(1, static_cast<int64_t>(l));  // [rank, Hk]
      held.index_fill_(0, layer.positions.narrow(0, begin, end - begin), true);
      for (int64_t h = 0; h < heads; ++h) {
        // Head by head: a position stands once in each, so that sums come in one order on any device.
        const int64_t from = layer.offsets[first_segment + h],
                      n = layer.offsets[first_segment + h + 1] - from;
        evidence.index_add_(
            0, layer.positions.narrow(0, from, n),
            affine_rows(seen.narrow(0, from - begin, n), head_weights.narrow(1, h, 1), {}, view.backend)
                .squeeze(1));
      }
    }
    const at::Tensor positions = held.nonzero().squeeze(1);
    const at::Tensor ages = row.tokens_processed - 1 - positions;
    const at::Tensor recency = affine_rows(recency_embedding(ages, config.recency).to(theta.device()),
                                           weights.recency.view({-1, 1}), weights.bias, view.backend);
    result.push_back({positions, evidence.index_select(0, positions) + recency.squeeze(1)});
  }
  return result;
}

}  // namespace namm::memory
