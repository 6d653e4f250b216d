#include <algorithm>

#include "memory/attention.h"
#include "memory/token_features.h"

namespace namm::memory {

void attention_features_reference(const LayerCache& cache, const AttentionFeatureInput& input,
                                  TokenFeatures& features) {
  constexpr int64_t kKeyTile = 512;
  const Needs& needs = *input.needs;
  const SpectrogramConfig* const spectrum = needs.spectrogram ? &*needs.spectrogram : nullptr;
  const int64_t queries = input.queries.size(0), group = input.queries.size(1) / cache.kv_heads();
  const at::Tensor keys = cache.packed_keys(), positions = cache.packed_positions();
  const at::Tensor query_positions =
      at::arange(input.first_position, input.first_position + queries, positions.options());
  const CacheSegment& oldest = *cache.segments().front();
  int64_t start = 0;
  for (int64_t h = 0; h < cache.kv_heads(); ++h) {
    const at::Tensor head_queries = input.queries.narrow(1, h * group, group);
    const at::Tensor head_sums = input.log_sum_exp.narrow(0, h * group, group).t();
    const int64_t end = start + cache.lengths()[h];
    for (int64_t row = start; row < end; row += kKeyTile) {
      const int64_t count = std::min(kKeyTile, end - row);
      const at::Tensor mean = group_mean_attention(
          head_queries, head_sums, query_positions, keys.narrow(0, row, count),
          positions.narrow(0, row, count), input.attention->scale, input.attention->window_tokens, spectrum);
      const int64_t moved = std::clamp<int64_t>(start + oldest.lengths[h] - row, 0, count);
      for (const EarlierQueries& before : input.earlier) {
        mean.narrow(0, 0, moved)
            .narrow(1, before.first, before.count)
            .copy_(group_mean_attention(head_queries.narrow(0, before.first, before.count),
                                        head_sums.narrow(0, before.first, before.count),
                                        query_positions.narrow(0, before.first, before.count),
                                        before.keys.narrow(0, oldest.starts[h] + row - start, moved),
                                        positions.narrow(0, row, moved), input.attention->scale,
                                        input.attention->window_tokens, spectrum));
      }
      if (needs.column_sums) {
        features.column_sums.narrow(0, row, count)
            .add_(mean.narrow(1, queries - input.new_queries, input.new_queries).sum(1));
      }
      if (needs.recent_queries > 0) {
        const int64_t recent = std::min(needs.recent_queries, input.new_queries);
        features.recent_attention.narrow(0, row, count)
            .copy_(mean.narrow(1, queries - recent, recent).sum(1));
      }
      if (spectrum) {
        const at::Tensor signal = at::constant_pad_nd(mean, {input.absent_queries, 0});
        at::Tensor ema = features.ema.narrow(0, row, count);
        ema.copy_(ema_update(spectrogram(signal, *spectrum), ema, *spectrum));
      }
    }
    start = end;
  }
}

}  // namespace namm::memory
