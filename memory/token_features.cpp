#include "memory/token_features.h"

#include <algorithm>
#include <utility>

#include "memory/attention.h"

namespace namm::memory {
namespace {

constexpr int64_t kKeyTile = 512;

// The recorded queries of one row and layer, side by side.
struct Queries {
  at::Tensor queries;      // [T, H, d]
  at::Tensor log_sum_exp;  // [H, T]
  at::Tensor positions;    // int64 [T]
};

Queries concatenate(const std::vector<QueryBlock>& blocks) {
  std::vector<at::Tensor> queries, log_sum_exps;
  int64_t tokens = 0;
  for (const QueryBlock& block : blocks) {
    queries.push_back(block.queries);
    log_sum_exps.push_back(block.log_sum_exp);
    tokens += block.queries.size(0);
  }
  const int64_t first = blocks.front().first_position;
  return {at::cat(queries), at::cat(log_sum_exps, 1),
          at::arange(first, first + tokens, blocks.front().queries.options().dtype(at::kLong))};
}

// Cosine of every key and the mean of its head's unit keys, [tokens].
at::Tensor key_similarity(const at::Tensor& keys, const std::vector<int64_t>& lengths) {
  std::vector<at::Tensor> heads;
  for (const at::Tensor& head : at::split_with_sizes(keys.to(at::kFloat), lengths)) {
    const at::Tensor norms = at::linalg_vector_norm(head, 2, at::IntArrayRef{1}, true).clamp_min(1e-12);
    const at::Tensor unit = head / norms;
    const at::Tensor mean = unit.mean(0);
    heads.push_back(unit.matmul(mean) / at::linalg_vector_norm(mean).clamp_min(1e-12));
  }
  return at::cat(heads);
}

}  // namespace

void AttentionRecord::keep_context(int64_t context_queries) {
  int64_t surplus = -context_queries;
  for (const QueryBlock& block : blocks) surplus += block.queries.size(0);
  size_t whole = 0;
  while (whole < blocks.size() && surplus >= blocks[whole].queries.size(0))
    surplus -= blocks[whole++].queries.size(0);
  blocks.erase(blocks.begin(), blocks.begin() + static_cast<std::ptrdiff_t>(whole));
  if (surplus <= 0 || blocks.empty()) return;
  QueryBlock& first = blocks.front();
  const int64_t rest = first.queries.size(0) - surplus;
  // Clones, or the views would hold the whole block.
  first = {first.queries.narrow(0, surplus, rest).clone(), first.log_sum_exp.narrow(1, surplus, rest).clone(),
           first.first_position + surplus};
}

TokenFeatures token_features(const LayerCache& cache, const AttentionRecord& record,
                             const LayerAttention& attention, int64_t new_queries, const Needs& needs) {
  TokenFeatures features;
  const at::Tensor keys = needs.keys() ? cache.packed_keys() : at::Tensor();
  if (needs.key_norms)
    features.key_norms = at::linalg_vector_norm(keys, 2, at::IntArrayRef{1}, false, at::kFloat);
  if (needs.key_similarity) features.key_similarity = key_similarity(keys, cache.lengths());
  if (!needs.attention()) return features;

  const int64_t tokens = cache.tokens(), heads = cache.kv_heads();
  const at::TensorOptions options = keys.options().dtype(at::kFloat);
  if (needs.spectrogram) features.ema = at::zeros({tokens, needs.spectrogram->bins()}, options);
  if (needs.column_sums) features.column_sums = at::zeros({tokens}, options);
  if (needs.recent_queries > 0) features.recent_attention = at::empty({tokens}, options);

  const Queries asked = concatenate(record.blocks);
  const int64_t queries = asked.queries.size(0), group = asked.queries.size(1) / heads;
  TORCH_INTERNAL_ASSERT(queries >= new_queries);
  const int64_t context = needs.spectrogram ? needs.spectrogram->context_queries() : 0;
  // Before the first update there are no context queries: zeros stand for them.
  const int64_t absent = std::max<int64_t>(0, new_queries + context - queries);
  const SpectrogramConfig* const rounding = needs.spectrogram ? &*needs.spectrogram : nullptr;
  const at::Tensor positions = cache.packed_positions();

  int64_t start = 0, known_start = 0;
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t n = cache.lengths()[h];
    const int64_t known = record.known.empty() ? 0 : record.known[h];
    const auto carry = [&](at::Tensor& now, const at::Tensor& before) {
      if (known > 0 && before.defined())
        now.narrow(0, start, known).copy_(before.narrow(0, known_start, known));
    };
    if (needs.spectrogram) carry(features.ema, record.ema);
    if (needs.column_sums) carry(features.column_sums, record.column_sums);
    const at::Tensor head_queries = asked.queries.narrow(1, h * group, group);
    const at::Tensor head_lse = asked.log_sum_exp.narrow(0, h * group, group).t();
    for (int64_t k0 = 0; k0 < n; k0 += kKeyTile) {
      const int64_t tk = std::min(kKeyTile, n - k0);
      const int64_t row = start + k0;
      const at::Tensor mean = group_mean_attention(head_queries, head_lse, asked.positions,
                                                   keys.narrow(0, row, tk), positions.narrow(0, row, tk),
                                                   attention.scale, attention.window_tokens, rounding);
      if (needs.column_sums) {
        features.column_sums.narrow(0, row, tk)
            .add_(mean.narrow(1, queries - new_queries, new_queries).sum(1));
      }
      if (needs.recent_queries > 0) {
        const int64_t recent = std::min(needs.recent_queries, new_queries);
        features.recent_attention.narrow(0, row, tk).copy_(mean.narrow(1, queries - recent, recent).sum(1));
      }
      if (needs.spectrogram) {
        const at::Tensor signal = at::constant_pad_nd(mean, {absent, 0});
        at::Tensor ema = features.ema.narrow(0, row, tk);
        ema.copy_(ema_update(spectrogram(signal, *needs.spectrogram), ema, *needs.spectrogram));
      }
    }
    start += n;
    known_start += known;
  }
  return features;
}

}  // namespace namm::memory
