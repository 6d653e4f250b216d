#include <map>

#include "memory/mix_scorer.h"

namespace namm::memory {

std::vector<MixedTokens> mix_scores_reference(const UpdateView& view, const std::vector<at::Tensor>& features,
                                              const at::Tensor& theta, const NammConfig& config) {
  const int64_t heads = view.shape.kv_heads, bins = config.spectral_count();
  std::vector<MixedTokens> result;
  for (size_t r = 0; r < view.rows.size(); ++r) {
    const RowView& row = view.rows[r];
    const MixWeights weights =
        mix_weights(theta.select(0, row.member).to(at::TensorOptions(at::kDouble).device(at::kCPU)), config);
    const auto a = weights.heads.accessor<double, 3>();
    const auto w = weights.features.accessor<double, 2>();
    std::map<int64_t, double> scores;  // by position
    for (size_t l = 0; l < view.layers.size(); ++l) {
      const LayerView& layer = view.layers[l];
      const at::Tensor wide = features[l].to(at::TensorOptions(at::kDouble).device(at::kCPU));
      const at::Tensor positions = layer.positions.to(at::kCPU);
      const auto z = wide.accessor<double, 2>();
      for (int64_t h = 0; h < heads; ++h) {
        const auto segment = static_cast<int64_t>(r) * heads + h;
        for (int64_t i = layer.offsets[segment]; i < layer.offsets[segment + 1]; ++i) {
          double& score = scores[positions.const_data_ptr<int64_t>()[i]];
          for (int64_t k = 0; k < config.mix.rank; ++k) {
            for (int64_t f = 0; f < bins; ++f) score += a[k][static_cast<int64_t>(l)][h] * z[i][f] * w[k][f];
          }
        }
      }
    }
    std::vector<int64_t> positions;
    std::vector<double> values;
    for (const auto& [position, evidence] : scores) {
      const at::Tensor age = at::tensor({row.tokens_processed - 1 - position}, at::kLong);
      const at::Tensor recency = recency_embedding(age, config.recency).squeeze(0).to(at::kDouble);
      positions.push_back(position);
      values.push_back(evidence + recency.dot(weights.recency).item<double>() + weights.bias.item<double>());
    }
    result.push_back({at::tensor(positions, at::kLong), at::tensor(values, at::kDouble)});
  }
  return result;
}

}  // namespace namm::memory
