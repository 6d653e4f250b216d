#include "memory/mlp_scorer.h"

#include "memory/affine_rows.h"

namespace namm::memory {
namespace {

void check_theta(const at::Tensor& features, const at::Tensor& theta,
                 const std::vector<ParameterBlock>& layout) {
  const int64_t n = layout.back().offset + 1;
  TORCH_CHECK(theta.dim() == 2 && theta.size(1) == n, "[mlp] theta must be [members, ", n, "], is ",
              theta.sizes());
  TORCH_CHECK(theta.scalar_type() == features.scalar_type() && theta.device() == features.device(),
              "[mlp] theta and features differ in type or device");
}

}  // namespace

std::vector<ParameterBlock> mlp_layout(const MlpConfig& config, int64_t features) {
  std::vector<ParameterBlock> layout;
  int64_t offset = 0;
  const auto add = [&](std::string name, int64_t rows, int64_t cols) {
    layout.push_back({std::move(name), offset, rows, cols});
    offset += rows * cols;
  };
  int64_t inputs = features;
  for (int64_t i = 0; i < config.hidden_layers; ++i) {
    const std::string layer = "hidden_" + std::to_string(i);
    add(layer + ".weight", inputs, config.hidden_dim);
    add(layer + ".bias", 1, config.hidden_dim);
    inputs = config.hidden_dim;
  }
  add("score.weight", inputs, 1);
  add("score.bias", 1, 1);
  return layout;
}

at::Tensor mlp_scores(const at::Tensor& features, const std::vector<BamSegment>& segments,
                      const at::Tensor& theta, const MlpConfig& config, Backend backend) {
  if (backend == Backend::reference)
    return mlp_scores_reference(features, segments, theta, config).to(features.options());
  const std::vector<ParameterBlock> layout = mlp_layout(config, features.size(1));
  check_theta(features, theta, layout);
  at::Tensor scores = at::empty({features.size(0)}, features.options());
  for (const BamSegment& segment : segments) {
    const int64_t n = segment.end - segment.begin;
    if (n == 0) continue;
    const at::Tensor own = theta.select(0, segment.member);
    at::Tensor x = features.narrow(0, segment.begin, n);
    for (size_t i = 0; i < layout.size(); i += 2) {
      const ParameterBlock &weight = layout[i], &bias = layout[i + 1];
      x = affine_rows(
          x, own.narrow(0, weight.offset, weight.rows * weight.cols).view({weight.rows, weight.cols}),
          own.narrow(0, bias.offset, bias.cols), backend);
      if (i + 2 < layout.size()) x.relu_();
    }
    scores.narrow(0, segment.begin, n).copy_(x.squeeze(1));
  }
  return scores;
}

at::Tensor mlp_scores_reference(const at::Tensor& features, const std::vector<BamSegment>& segments,
                                const at::Tensor& theta, const MlpConfig& config) {
  const std::vector<ParameterBlock> layout = mlp_layout(config, features.size(1));
  check_theta(features, theta, layout);
  const auto exact = at::TensorOptions(at::kDouble).device(at::kCPU);
  const at::Tensor inputs = features.to(exact).contiguous(), all = theta.to(exact).contiguous();
  const double* const parameters = all.const_data_ptr<double>();
  at::Tensor scores = at::empty({features.size(0)}, at::kDouble);
  for (const BamSegment& segment : segments) {
    const double* const own = parameters + segment.member * all.size(1);
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      const double* const z = inputs.const_data_ptr<double>() + t * inputs.size(1);
      std::vector<double> x(z, z + inputs.size(1));
      for (size_t i = 0; i < layout.size(); i += 2) {
        const ParameterBlock &weight = layout[i], &bias = layout[i + 1];
        std::vector<double> y(static_cast<size_t>(weight.cols));
        for (int64_t o = 0; o < weight.cols; ++o) {
          double sum = own[bias.offset + o];
          for (int64_t j = 0; j < weight.rows; ++j)
            sum += x[static_cast<size_t>(j)] * own[weight.offset + j * weight.cols + o];
          const bool last = i + 2 == layout.size();
          y[static_cast<size_t>(o)] = !last && sum < 0 ? 0 : sum;
        }
        x = y;
      }
      scores.data_ptr<double>()[t] = x[0];
    }
  }
  return scores;
}

}  // namespace namm::memory
