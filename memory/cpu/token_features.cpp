#include "memory/token_features.h"

#include <algorithm>
#include <vector>

#include "memory/cpu/cached_tokens.h"
#include "memory/cpu/group_mean_kernel.h"
#include "memory/cpu/parallel.h"
#include "memory/cpu/spectrogram_kernel.h"
#include "memory/ema_weights.h"

namespace namm::memory::cpu {
namespace {

constexpr int64_t kTile = kGroupMeanTokens;

struct Tile {
  int64_t kv_head;
  Tokens tokens;
  int64_t row;        // of its first token among the packed tokens
  int64_t moved_row;  // of its first token in the oldest segment; -1: it stands in another one
};

std::vector<Tile> tiles_of(const LayerCache& cache) {
  std::vector<Tile> tiles;
  int64_t row = 0;
  for (int64_t h = 0; h < cache.kv_heads(); ++h) {
    const CacheSegment& oldest = *cache.segments().front();
    int64_t moved_row = oldest.lengths[h] > 0 ? oldest.starts[h] : -1;
    for (const Tokens& stretch : tokens_of(cache, h)) {
      for (size_t first = 0; first < stretch.count; first += kGroupMeanTokens) {
        const size_t count = std::min(kGroupMeanTokens, stretch.count - first);
        tiles.push_back({h, part_of(stretch, first, count, cache.head_dim()), row,
                         moved_row < 0 ? -1 : moved_row + static_cast<int64_t>(first)});
        row += static_cast<int64_t>(count);
      }
      moved_row = -1;
    }
  }
  return tiles;
}

// The part of `task` that earlier queries ask, of the keys as they stood for them.
GroupMeanTask earlier_part(GroupMeanTask task, const EarlierQueries& earlier, int64_t moved_row) {
  const auto first = static_cast<size_t>(earlier.first);
  task.queries += first * task.group * task.head_dim;
  task.log_sum_exp += first * task.group;
  task.positions += first;
  task.query_count = static_cast<size_t>(earlier.count);
  task.tokens.keys = static_cast<const char*>(earlier.keys.const_data_ptr()) +
                     static_cast<size_t>(moved_row) * task.head_dim * earlier.keys.element_size();
  task.mean += first * kGroupMeanTokens;
  return task;
}

// out[j] = (add ? out[j] : 0) + sum over rows [first, last) of attention[row, j].
void sum_rows(const float* attention, int64_t first, int64_t last, int64_t count, bool add, float* out) {
  float sums[kTile] = {};
  for (int64_t t = first; t < last; ++t) {
    for (int64_t j = 0; j < count; ++j) sums[j] += attention[t * kTile + j];
  }
  for (int64_t j = 0; j < count; ++j) out[j] = (add ? out[j] : 0.0f) + sums[j];
}

}  // namespace

void attention_features(const LayerCache& cache, const AttentionFeatureInput& input,
                        TokenFeatures& features) {
  const Needs& needs = *input.needs;
  const int64_t heads = cache.kv_heads(), queries = input.queries.size(0), dim = cache.head_dim();
  const int64_t group = input.queries.size(1) / heads;
  // The queries of a KV head side by side, in float32.
  const at::Tensor q = input.queries.view({queries, heads, group, dim})
                           .permute({1, 0, 2, 3})
                           .to(at::kFloat, false, /*copy=*/true, at::MemoryFormat::Contiguous)
                           .mul_(input.attention->scale);
  const at::Tensor sums = input.log_sum_exp.view({heads, group, queries}).transpose(1, 2).contiguous();
  std::vector<int64_t> positions(static_cast<size_t>(queries));
  for (int64_t t = 0; t < queries; ++t) positions[static_cast<size_t>(t)] = input.first_position + t;

  const SpectrogramConfig* const spectrum = needs.spectrogram ? &*needs.spectrogram : nullptr;
  const int64_t frames = spectrum ? input.new_queries / spectrum->hop_length : 0;
  const int64_t bins = spectrum ? spectrum->numbers() : 0;
  const std::vector<float> weights = spectrum ? ema_weights(frames, *spectrum) : std::vector<float>();
  const int64_t recent = std::min(needs.recent_queries, input.new_queries);

  const std::vector<Tile> tiles = tiles_of(cache);
  parallel_tasks(static_cast<int64_t>(tiles.size()), [&](int64_t i, Scratch& scratch) {
    float* const attention = scratch.take<float>(static_cast<size_t>(queries * kTile));
    const Tile& tile = tiles[static_cast<size_t>(i)];
    const auto count = static_cast<int64_t>(tile.tokens.count);
    const GroupMeanTask task{.queries = q.const_data_ptr<float>() + tile.kv_head * queries * group * dim,
                             .log_sum_exp = sums.const_data_ptr<float>() + tile.kv_head * queries * group,
                             .positions = positions.data(),
                             .query_count = static_cast<size_t>(queries),
                             .group = static_cast<size_t>(group),
                             .head_dim = static_cast<size_t>(dim),
                             .tokens = tile.tokens,
                             .visibility = {Visibility::Rule::older, input.attention->window_tokens},
                             .round_to_bfloat16 = spectrum && spectrum->attention_dtype == "bfloat16",
                             .mean = attention};
    group_mean_tile(task, scratch);
    if (tile.moved_row >= 0) {
      for (const EarlierQueries& earlier : input.earlier)
        group_mean_tile(earlier_part(task, earlier, tile.moved_row), scratch);
    }
    if (needs.column_sums) {
      sum_rows(attention, queries - input.new_queries, queries, count, true,
               features.column_sums.mutable_data_ptr<float>() + tile.row);
    }
    if (recent > 0) {
      sum_rows(attention, queries - recent, queries, count, false,
               features.recent_attention.mutable_data_ptr<float>() + tile.row);
    }
    if (!spectrum || frames == 0) return;
    if (!spectrum->is_complex && has_fourier_kernel(spectrum->n_fft)) {
      float* const average = features.ema.mutable_data_ptr<float>() + tile.row * bins;
      spectrogram_average_tile({.attention = attention,
                                .tokens = static_cast<size_t>(count),
                                .absent_rows = static_cast<size_t>(input.absent_queries),
                                .n_fft = spectrum->n_fft,
                                .hop_length = spectrum->hop_length,
                                .frames = static_cast<size_t>(frames),
                                .frame_weights = weights.data(),
                                .carry = ema_carry(frames, *spectrum),
                                .previous = average,
                                .average = average});
    } else {
      const at::Tensor signal =
          at::constant_pad_nd(at::from_blob(attention, {queries, kTile}, at::kFloat).narrow(1, 0, count).t(),
                              {input.absent_queries, 0});
      at::Tensor average = features.ema.narrow(0, tile.row, count);
      average.copy_(ema_update(spectrogram(signal, *spectrum), average, *spectrum));
    }
  });
}

}  // namespace namm::memory::cpu
