#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/hdf5.h"
#include "memory/bam_scorer.h"
#include "memory/policies/namm.h"
#include "memory/selection.h"
#include "memory/spectrogram.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/golden_files.h"
#include "tests/support/golden_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using namm::testing::Comparison;
using namm::testing::floats;
using namm::testing::integers;
namespace limit = tolerances::stage;

struct Recording {
  explicit Recording(const std::filesystem::path& path) : file(Hdf5File::open_foreign(path)) {
    heads = file.read_attribute<int64_t>("/", "query_heads");
    kv_heads = file.read_attribute<int64_t>("/", "kv_heads");
    config.period_tokens = file.read_attribute<int64_t>("/", "period");
    config.heads = "parity";
    config.spectrogram.n_fft = file.read_attribute<int64_t>("/", "window");
    config.spectrogram.hop_length = file.read_attribute<int64_t>("/", "hop");
    config.spectrogram.ema_coefficient = file.read_attribute<double>("/", "ema");
    config.spectrogram.attention_dtype = file.read_attribute<std::string>("/", "attention_dtype");
    theta = namm::testing::recorded_theta(file);
    statistics = namm::testing::recorded_statistics(file);
  }

  Hdf5File file;
  int64_t heads = 0, kv_heads = 0;
  NammConfig config;
  at::Tensor theta;
  FeatureStatistics statistics;
};

// What one layer carries from update to update: [Hk, K, ...] of the kept tokens.
struct Carried {
  at::Tensor left_context, ema, positions;
};

// One update from the recorded attention and what we carried ourselves; compares every stage.
void check_update(const Recording& recording, const NammPolicy& policy, const std::string& group,
                  int64_t update, Backend backend, Carried& carried, Comparison& compared) {
  const SpectrogramConfig& transform = recording.config.spectrogram;
  const int64_t kv_heads = recording.kv_heads, bins = transform.bins(), context = transform.context_queries();
  const Hdf5File& file = recording.file;
  const at::Tensor by_query_head = floats(file, group + "/attention_query_heads");
  const int64_t queries = by_query_head.size(1), n = by_query_head.size(2), old = carried.ema.size(1);
  ASSERT_EQ(n, old + queries) << group;

  const at::Tensor attention = round_attention(
      by_query_head.view({kv_heads, recording.heads / kv_heads, queries, n}).mean(1), transform);
  if (file.exists(group + "/attention")) {
    compared.equal(attention, floats(file, group + "/attention"), group + " group mean");
  }

  // Tokens that are new have no left context and no average yet.
  const at::Tensor left = at::constant_pad_nd(carried.left_context, {0, 0, 0, queries});
  const at::Tensor signal =
      at::cat({left, attention.transpose(1, 2)}, 2).view({kv_heads * n, context + queries});
  const at::Tensor previous = at::constant_pad_nd(carried.ema, {0, 0, 0, queries}).view({kv_heads * n, bins});
  const at::Tensor listed = integers(file, group + "/magnitude_tokens");
  const at::Tensor expected_magnitudes = floats(file, group + "/magnitudes");
  compared.absolute(
      spectrogram(signal, transform).view({kv_heads, n, -1, bins}).index_select(1, listed).transpose(1, 2),
      expected_magnitudes, limit::magnitudes, group + " magnitudes");

  const at::Tensor ema = spectrogram_ema(signal, previous, transform, backend);
  const at::Tensor expected_ema = floats(file, group + "/ema").view({kv_heads * n, bins});
  compared.absolute(ema, expected_ema, limit::ema, group + " moving average");

  const at::Tensor positions = at::cat(
      {carried.positions, at::arange(update * queries, (update + 1) * queries).expand({kv_heads, queries})},
      1);
  compared.equal(positions, integers(file, group + "/positions"), group + " positions");

  UpdateView view;
  view.shape = {.layers = 1, .heads = recording.heads, .kv_heads = kv_heads, .head_dim = 1};
  view.backend = backend;
  view.rows.push_back({.tokens_processed = (update + 1) * queries, .update = update});
  LayerView layer;
  layer.offsets = {0};
  for (int64_t h = 0; h < kv_heads; ++h) layer.offsets.push_back((h + 1) * n);
  layer.positions = positions.reshape({-1});
  layer.ema = ema;
  view.layers.push_back(layer);

  const at::Tensor features = policy.features(view, layer);
  compared.absolute(features.view({kv_heads, n, -1}), floats(file, group + "/features"), limit::features,
                    group + " features");

  const at::Tensor scores = policy.scores(view, layer);
  const at::Tensor expected_scores = floats(file, group + "/scores").view({-1});
  compared.near(scores, expected_scores, limit::scores, true, group + " scores");
  compared.equal(count_above(scores, layer.offsets, kv_heads).view({-1}), integers(file, group + "/above"),
                 group + " above");
  const KeepDecision decision = policy.decide(view).front();
  const int64_t k = file.read_attribute<int64_t>(group, "K");
  compared.equal(decision.lengths, at::full({1, kv_heads}, k, at::kInt), group + " kept lengths");
  const at::Tensor kept = decision.keep.view({kv_heads, n}).nonzero().select(1, 1).view({kv_heads, -1});
  compared.equal(kept, integers(file, group + "/kept"), group + " kept");

  const auto take = [&](const at::Tensor& tensor, int64_t width) {
    return at::gather(tensor.view({kv_heads, n, -1}).narrow(2, tensor.size(-1) - width, width), 1,
                      kept.unsqueeze(2).expand({kv_heads, k, width}));
  };
  carried = {take(signal, context), take(ema, bins), positions.gather(1, kept)};
  compared.equal(carried.left_context, floats(file, group + "/state_out/left_context"),
                 group + " left context");
  compared.absolute(carried.ema, floats(file, group + "/state_out/ema"), limit::ema,
                    group + " carried average");
  compared.equal(carried.positions, integers(file, group + "/state_out/positions"),
                 group + " carried positions");
}

TEST(GoldenStage, EveryUpdateOfEveryRecording) {
  int64_t updates = 0;
  Comparison compared;
  const std::vector<std::filesystem::path> files = namm::testing::golden_files("stage_");
  ASSERT_FALSE(files.empty()) << "no stage_*.h5 in " << namm::testing::golden_directory();
  for (const std::filesystem::path& path : files) {
    const Recording recording(path);
    const NammPolicy policy(recording.config, recording.theta, recording.statistics);
    const SpectrogramConfig& transform = recording.config.spectrogram;
    for (const Backend backend : {Backend::reference, Backend::cpu}) {
      SCOPED_TRACE(path.filename().string() + ", backend " + to_string(backend));
      Carried carried{at::zeros({recording.kv_heads, 0, transform.context_queries()}),
                      at::zeros({recording.kv_heads, 0, transform.bins()}),
                      at::zeros({recording.kv_heads, 0}, at::kLong)};
      int64_t update = 0;
      for (; recording.file.exists("update" + std::to_string(update)); ++update) {
        check_update(recording, policy, "update" + std::to_string(update), update, backend, carried,
                     compared);
        if (HasFatalFailure()) return;
      }
      EXPECT_GT(update, 0) << "no update in " << path;
      updates += update;
    }
  }
  std::printf(
      "golden_stage: %zu files, two backends, %lld updates, %lld values compared; largest deviation %.3f of its "
      "tolerance\n",
      files.size(), static_cast<long long>(updates), static_cast<long long>(compared.values), compared.worst);
}

}  // namespace
}  // namespace namm::memory
