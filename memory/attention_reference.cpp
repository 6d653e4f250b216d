#include <algorithm>
#include <limits>

#include "memory/attention.h"

namespace namm::memory {
namespace {

constexpr int64_t kQueryTile = 128;
constexpr int64_t kKeyTile = 512;

// bool [T, n]: keys that do not count.
at::Tensor forbidden(const at::Tensor& query_positions, const at::Tensor& key_positions,
                     int64_t window_tokens) {
  const at::Tensor age = query_positions.unsqueeze(1) - key_positions.unsqueeze(0);
  at::Tensor mask = age < 0;
  if (window_tokens > 0) mask.logical_or_(age >= window_tokens);
  return mask;
}

// Whether no query of the tile sees any key of the tile. Only where positions are read for free: elsewhere
// the mask does it.
bool out_of_sight(const at::Tensor& query_positions, const at::Tensor& key_positions, int64_t window_tokens) {
  if (!key_positions.is_cpu()) return false;
  const auto first = [](const at::Tensor& x) { return *x.const_data_ptr<int64_t>(); };
  const auto last = [](const at::Tensor& x) {
    return x.const_data_ptr<int64_t>()[(x.size(0) - 1) * x.stride(0)];
  };
  return first(key_positions) > last(query_positions) ||
         (window_tokens > 0 && last(key_positions) <= first(query_positions) - window_tokens);
}

}  // namespace

AttentionResult attention_reference(const at::Tensor& queries, const at::Tensor& query_positions,
                                    const std::vector<CacheBlock>& blocks, double scale,
                                    int64_t window_tokens) {
  TORCH_CHECK(queries.dim() == 3 && query_positions.dim() == 1 && query_positions.size(0) == queries.size(0),
              "[attention] queries [T, G, d] and their positions [T] are expected, got ", queries.sizes(),
              " and ", query_positions.sizes());
  const int64_t tokens = queries.size(0), group = queries.size(1), dim = queries.size(2);
  const at::ScalarType accumulate = queries.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::TensorOptions options = queries.options().dtype(accumulate);
  AttentionResult result{at::empty_like(queries, at::MemoryFormat::Contiguous),
                         at::empty({tokens, group}, options)};
  for (int64_t q0 = 0; q0 < tokens; q0 += kQueryTile) {
    const int64_t tq = std::min(kQueryTile, tokens - q0);
    const at::Tensor q = queries.narrow(0, q0, tq).to(accumulate).reshape({tq * group, dim}) * scale;
    const at::Tensor q_positions = query_positions.narrow(0, q0, tq);
    at::Tensor peak = at::full({tq, group, 1}, -std::numeric_limits<double>::infinity(), options);
    at::Tensor sum = at::zeros({tq, group, 1}, options);
    at::Tensor out = at::zeros({tq, group, dim}, options);
    for (const CacheBlock& block : blocks) {
      for (int64_t k0 = 0; k0 < block.keys.size(0); k0 += kKeyTile) {
        const int64_t tk = std::min(kKeyTile, block.keys.size(0) - k0);
        const at::Tensor k_positions = block.positions.narrow(0, k0, tk);
        if (out_of_sight(q_positions, k_positions, window_tokens)) continue;
        at::Tensor scores =
            at::matmul(q, block.keys.narrow(0, k0, tk).to(accumulate).t()).view({tq, group, tk});
        scores.masked_fill_(forbidden(q_positions, k_positions, window_tokens).unsqueeze(1),
                            -std::numeric_limits<double>::infinity());
        const at::Tensor new_peak = at::maximum(peak, scores.amax(-1, true));
        // Nothing seen so far: any finite reference does, and exp(-inf) adds nothing.
        const at::Tensor reference = new_peak.masked_fill(new_peak.isinf(), 0);
        scores.sub_(reference).exp_();
        const at::Tensor shrink = (peak - reference).exp_();
        sum.mul_(shrink).add_(scores.sum(-1, true));
        out.mul_(shrink).add_(
            at::matmul(scores.view({tq * group, tk}), block.values.narrow(0, k0, tk).to(accumulate))
                .view({tq, group, dim}));
        peak = new_peak;
      }
    }
    result.output.narrow(0, q0, tq).copy_(out.div_(sum));
    result.log_sum_exp.narrow(0, q0, tq).copy_(peak.add_(sum.log_()).squeeze(-1));
  }
  return result;
}

at::Tensor group_mean_attention(const at::Tensor& queries, const at::Tensor& log_sum_exp,
                                const at::Tensor& query_positions, const at::Tensor& keys,
                                const at::Tensor& key_positions, double scale, int64_t window_tokens,
                                const SpectrogramConfig* rounding) {
  const int64_t tokens = queries.size(0), group = queries.size(1), dim = queries.size(2), n = keys.size(0);
  TORCH_CHECK(log_sum_exp.dim() == 2 && log_sum_exp.size(0) == tokens && log_sum_exp.size(1) == group,
              "[group_mean_attention] log_sum_exp [T, G] is expected, got ", log_sum_exp.sizes());
  TORCH_CHECK(keys.dim() == 2 && keys.size(1) == dim && key_positions.size(0) == n,
              "[group_mean_attention] keys [n, d] and positions [n] are expected, got ", keys.sizes(),
              " and ", key_positions.sizes());
  const auto rounded = [&](const at::Tensor& x) { return rounding ? round_attention(x, *rounding) : x; };
  at::Tensor mean = at::empty({n, tokens}, queries.options().dtype(at::kFloat));
  const at::Tensor q = queries.transpose(0, 1).to(at::kFloat).reshape({group * tokens, dim});
  const at::Tensor bias = log_sum_exp.t().reshape({1, group * tokens}).neg();
  for (int64_t k0 = 0; k0 < n; k0 += kQueryTile) {
    const int64_t tk = std::min(kQueryTile, n - k0);
    const at::Tensor weights = at::addmm(bias, keys.narrow(0, k0, tk).to(at::kFloat), q.t(), 1, scale)
                                   .exp_()
                                   .view({tk, group, tokens});
    at::Tensor tile = mean.narrow(0, k0, tk);
    at::mean_out(tile, rounded(weights), at::IntArrayRef{1});
    tile.masked_fill_(forbidden(query_positions, key_positions.narrow(0, k0, tk), window_tokens).t(), 0);
  }
  return rounded(mean);
}

}  // namespace namm::memory
