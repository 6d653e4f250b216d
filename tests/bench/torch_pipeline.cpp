#include "tests/bench/torch_pipeline.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "memory/ema_weights.h"

namespace namm::bench {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Blocks of theta [parameters] as matrices, by the documented layout.
at::Tensor parameter(const at::Tensor& theta, const memory::BamConfig& config, int64_t features,
                     const std::string& name) {
  for (const memory::ParameterBlock& block : memory::bam_layout(config, features)) {
    if (block.name != name) continue;
    return theta.narrow(0, block.offset, block.rows * block.cols).view({block.rows, block.cols});
  }
  return {};
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor flat = x.reshape({-1, x.size(-1)});
  const at::Tensor y = bias.defined() ? at::addmm(bias, flat, weight) : at::mm(flat, weight);
  return y.view({x.size(0), x.size(1), weight.size(1)});
}

}  // namespace

at::Tensor stft_ema(const at::Tensor& signal, const at::Tensor& previous,
                    const memory::SpectrogramConfig& config) {
  const int64_t frames = (signal.size(1) - config.context_queries()) / config.hop_length;
  const at::Tensor window = at::hann_window(config.n_fft, /*periodic=*/true, signal.options());
  const at::Tensor magnitudes =
      at::stft(signal, config.n_fft, config.hop_length, std::nullopt, window, /*center=*/false, "constant",
               /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true)
          .abs();  // [K, D, frames]
  const at::Tensor weights = at::tensor(memory::ema_weights(frames, config));
  return at::matmul(magnitudes, weights).add_(previous, memory::ema_carry(frames, config));
}

at::Tensor newer_tokens(int64_t n) {
  return at::ones({n, n}, at::kBool).triu_();
}

at::Tensor masked_bam(const at::Tensor& features, const at::Tensor& theta, const memory::BamConfig& config,
                      const at::Tensor& mask) {
  const int64_t b = features.size(0), n = features.size(1), inputs = features.size(2);
  const auto part = [&](const char* name) { return parameter(theta, config, inputs, name); };
  const at::Tensor qkv = linear(features, part("qkv.weight"), part("qkv.bias"))
                             .view({b, n, 3, config.heads, config.hidden_dim / config.heads})
                             .permute({2, 0, 3, 1, 4});
  const at::Tensor attended =
      at::scaled_dot_product_attention(qkv.select(0, 0), qkv.select(0, 1), qkv.select(0, 2), mask);
  const at::Tensor update = linear(attended.transpose(1, 2).reshape({b, n, config.hidden_dim}),
                                   part("out.weight"), part("out.bias"));
  at::Tensor y = features + update.narrow(2, 0, inputs);
  if (config.mult) y.addcmul_(features, update.narrow(2, inputs, inputs));
  return linear(y, part("score.weight"), part("score.bias")).squeeze(2);
}

TorchPipeline::TorchPipeline(const memory::TransformerShape& shape, const memory::NammConfig& config,
                             at::Tensor theta, memory::FeatureStatistics statistics)
    : shape_(shape), config_(config), mode_(memory::head_mode(config.heads)), layers_(shape.layers) {
  TORCH_CHECK(config.cache_cap == 0 && config.spectrogram.attention_dtype == "float32" &&
                  config.spectral == "magnitude" && config.scorer == "bam" && config.sharing == "shared",
              "[torch_pipeline] the baseline is the paper's memory: magnitudes, one bam, float32, no cap");
  set_memory(std::move(theta), std::move(statistics));
}

void TorchPipeline::set_memory(at::Tensor theta, memory::FeatureStatistics statistics) {
  TORCH_CHECK(theta.numel() == config_.parameters(), "[torch_pipeline] one member of ", config_.parameters(),
              " parameters is expected, got ", theta.sizes());
  theta_ = theta.view({-1});
  statistics_ = std::move(statistics);
}

void TorchPipeline::restore(int64_t layer, std::vector<HeadBlock> blocks, int64_t tokens) {
  layers_[layer] = std::move(blocks);
  tokens_ = tokens;
}

void TorchPipeline::append(const at::Tensor& k, const at::Tensor& v, int64_t layer) {
  const int64_t tokens = k.size(0);
  TORCH_CHECK(tokens == config_.period_tokens, "[torch_pipeline] a step brings one period of ",
              config_.period_tokens, " tokens, got ", tokens);
  const at::Tensor keys = k.transpose(0, 1), values = v.transpose(0, 1);  // [Hk, T, d]
  if (layer == 0) tokens_ += tokens;
  const at::Tensor positions = at::arange(tokens_ - tokens, tokens_, at::kLong);
  std::vector<HeadBlock>& blocks = layers_[layer];
  if (blocks.empty()) {
    const at::Tensor none = at::empty({shape_.kv_heads, 0, shape_.head_dim}, k.options());
    blocks.push_back({0, none, none, at::empty({shape_.kv_heads, 0}, at::kLong), {}, {}, {}});
  }
  for (HeadBlock& block : blocks) {
    const int64_t b = block.keys.size(0);
    block.keys = at::cat({block.keys, keys.narrow(0, block.first_head, b)}, 1);
    block.values = at::cat({block.values, values.narrow(0, block.first_head, b)}, 1);
    block.positions = at::cat({block.positions, positions.expand({b, tokens})}, 1);
  }
}

// [b, G, T, n]: softmax over the cached keys.
at::Tensor TorchPipeline::probabilities(const HeadBlock& block, const at::Tensor& q, double scale) const {
  const int64_t b = block.keys.size(0), n = block.keys.size(1), tokens = q.size(0), group = shape_.group();
  // [b, G T, d]: the query heads of a group meet their keys in one product.
  const at::Tensor queries = q.narrow(1, block.first_head * group, b * group)
                                 .transpose(0, 1)
                                 .reshape({b, group * tokens, shape_.head_dim});
  at::Tensor scores = at::bmm(queries, block.keys.transpose(1, 2)).mul_(scale).view({b, group, tokens, n});
  // Every older key counts: only the chunk's own square has something to hide.
  const at::Tensor newer = at::ones({tokens, tokens}, q.options().dtype(at::kBool)).triu_(1);
  scores.narrow(3, n - tokens, tokens).masked_fill_(newer, -kInfinity);
  return at::softmax(scores, 3);
}

void TorchPipeline::record(const at::Tensor& q, int64_t layer, double scale) {
  for (HeadBlock& block : layers_[layer]) block.attention = probabilities(block, q, scale).mean(1);
}

at::Tensor TorchPipeline::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t layer,
                                 double scale) {
  append(k, v, layer);
  const int64_t tokens = q.size(0), group = shape_.group();
  at::Tensor output = at::empty({tokens, shape_.heads, shape_.head_dim}, q.options());
  for (HeadBlock& block : layers_[layer]) {
    const int64_t b = block.keys.size(0), n = block.keys.size(1);
    const at::Tensor weights = probabilities(block, q, scale);
    output.narrow(1, block.first_head * group, b * group)
        .copy_(at::bmm(weights.view({b, group * tokens, n}), block.values)
                   .view({b * group, tokens, shape_.head_dim})
                   .transpose(0, 1));
    block.attention = weights.mean(1);
  }
  return output;
}

// [b, n, D]
at::Tensor TorchPipeline::updated_ema(const HeadBlock& block) const {
  const int64_t b = block.keys.size(0), n = block.keys.size(1), bins = config_.spectrogram.bins();
  const int64_t context = config_.spectrogram.context_queries();
  // Keys newer than the context queries, and a sequence that begins, get zeros.
  const at::Tensor before = block.context.defined()
                                ? at::constant_pad_nd(block.context, {0, n - block.context.size(2)})
                                : at::zeros({b, context, n}, block.attention.options());
  const at::Tensor previous = block.ema.defined()
                                  ? at::constant_pad_nd(block.ema, {0, 0, 0, n - block.ema.size(1)})
                                  : at::zeros({b, n, bins}, block.attention.options());
  const at::Tensor signal = at::cat({before, block.attention}, 1).transpose(1, 2).reshape({b * n, -1});
  return stft_ema(signal, previous.view({b * n, bins}), config_.spectrogram).view({b, n, bins});
}

// [b, n, F]: recency embedding, then the normalised average.
at::Tensor TorchPipeline::features(const HeadBlock& block, const at::Tensor& recency_table) const {
  const at::Tensor ages = block.positions.slice(1, -1) - block.positions;
  const at::Tensor recency = recency_table.index_select(0, ages.view({-1}))
                                 .view({ages.size(0), ages.size(1), config_.recency.dimension});
  return at::cat({recency, statistics_.apply(block.ema)}, 2);
}

// scores [b, n] of each block of a layer -> bool [b, n].
void TorchPipeline::select(std::vector<at::Tensor>& scores, std::vector<at::Tensor>& keeps) const {
  int64_t most = 0;
  for (at::Tensor& block : scores) {
    keeps.push_back(block >= 0);
    keeps.back().select(1, -1).fill_(true);
    if (mode_ == memory::HeadMode::parity) most = std::max(most, keeps.back().sum(1).max().item<int64_t>());
  }
  if (mode_ != memory::HeadMode::parity) return;
  // Every head keeps as many as the most generous one, its best first.
  for (size_t i = 0; i < scores.size(); ++i) {
    const at::Tensor newest_first = scores[i].index_fill(1, at::tensor({scores[i].size(1) - 1}), kInfinity);
    keeps[i] = at::zeros_like(keeps[i]).scatter_(1, std::get<1>(newest_first.topk(most, 1)), true);
  }
}

void TorchPipeline::compact(HeadBlock block, const at::Tensor& keep, std::vector<HeadBlock>& kept) const {
  const int64_t context = config_.spectrogram.context_queries();
  const at::Tensor last = block.attention.slice(1, -context);  // [b, c, n]
  if (keep.all().item<bool>()) {
    block.context = last.clone();
    block.attention.reset();
    kept.push_back(std::move(block));
    return;
  }
  for (int64_t h = 0; h < keep.size(0); ++h) {
    const at::Tensor index = keep.select(0, h).nonzero().squeeze(1);
    const auto chosen = [&](const at::Tensor& x) {
      return x.select(0, h).index_select(0, index).unsqueeze(0);
    };
    kept.push_back({block.first_head + h, chosen(block.keys), chosen(block.values), chosen(block.positions),
                    at::Tensor(), last.select(0, h).index_select(1, index).unsqueeze(0), chosen(block.ema)});
  }
}

void TorchPipeline::update() {
  const at::Tensor table = memory::recency_embedding(at::arange(tokens_, at::kLong), config_.recency);
  at::Tensor mask;  // of the last length
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    std::vector<HeadBlock> kept;
    std::vector<at::Tensor> scores, keeps;
    for (HeadBlock& block : layers_[layer]) {
      block.ema = updated_ema(block);
      const int64_t n = block.keys.size(1);
      if (!mask.defined() || mask.size(0) != n) mask = newer_tokens(n);
      scores.push_back(masked_bam(features(block, table), theta_, config_.bam, mask));
    }
    select(scores, keeps);
    for (size_t i = 0; i < keeps.size(); ++i) {
      const HeadBlock& block = layers_[layer][i];
      for (int64_t h = 0; referee_ && h < keeps[i].size(0); ++h) {
        at::Tensor keep = keeps[i].select(0, h);
        referee_(layer, block.first_head + h, scores[i].select(0, h), keep);
      }
      compact(block, keeps[i], kept);
    }
    layers_[layer] = std::move(kept);
  }
}

}  // namespace namm::bench
