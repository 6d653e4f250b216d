// What the cache reports against what the system says this process holds. Sizes: NAMM_LONG=1 asks for those
// of a long prompt.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include <c10/core/InferenceMode.h>

#include "memory/held_tensor.h"
#include "memory/kv_cache.h"
#include "memory/session.h"
#include "tests/memory/toy_transformer.h"

namespace namm::memory {
namespace {

using testing::TestPolicy;

int64_t kilobytes_of(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::strtoll(line.c_str() + name.size(), nullptr, 10) * 1024;
  }
  ADD_FAILURE() << path << " has no line " << name;
  return 0;
}

// Resident bytes of the process, now, and at most since the last reset.
int64_t resident_bytes() {
  return kilobytes_of("/proc/self/smaps_rollup", "Rss:");
}
int64_t peak_resident_bytes() {
  return kilobytes_of("/proc/self/status", "VmHWM:");
}
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

void expect_within_a_tenth(int64_t measured, int64_t predicted, const char* what) {
  std::printf("%s: predicted %.1f MB, measured %.1f MB\n", what, static_cast<double>(predicted) / 1e6,
              static_cast<double>(measured) / 1e6);
  EXPECT_NEAR(static_cast<double>(measured), static_cast<double>(predicted),
              0.1 * static_cast<double>(predicted))
      << what;
}

bool sizes_of_a_long_prompt() {
  const char* const value = std::getenv("NAMM_LONG");
  return value && std::string(value) == "1";
}

// 8 layers of 8 KV heads of 128: 65536 bytes a token in float32. Every fourth token stays.
TEST(ResidentBytes, EvictedKeysAndValuesGoBackToTheSystem) {
  const TransformerShape shape{8, 8, 8, 128};
  const int64_t tokens = sizes_of_a_long_prompt() ? 32768 : 4096, chunk = tokens / 8;
  const c10::InferenceMode guard;
  const at::Tensor kv = at::ones({chunk, shape.kv_heads, shape.head_dim});
  const int64_t start = resident_bytes();
  reset_peak();
  std::vector<LayerCache> layers(static_cast<size_t>(shape.layers), LayerCache(shape, at::kFloat));
  for (int64_t p = 0; p < tokens; p += chunk) {
    for (LayerCache& layer : layers) layer.append(kv, kv, p);
  }
  const auto bytes = [&] {
    int64_t sum = 0;
    for (const LayerCache& layer : layers) sum += layer.bytes();
    return sum;
  };
  const int64_t full = bytes(), resident = resident_bytes();
  EXPECT_EQ(full, tokens * 65536);
  expect_within_a_tenth(resident - start, full, "full cache");

  const at::Tensor index = at::arange(0, shape.kv_heads * tokens, 4, at::kLong);
  for (LayerCache& layer : layers) {
    layer.compact(index, std::vector<int64_t>(static_cast<size_t>(shape.kv_heads), tokens / 4));
  }
  EXPECT_EQ(bytes(), full / 4);
  expect_within_a_tenth(resident - resident_bytes(), full - bytes(), "after evicting 75 %");
  const int64_t most = peak_resident_bytes() - start;
  std::printf("most at any time: %.1f MB\n", static_cast<double>(most) / 1e6);
  EXPECT_LT(most, full + full / shape.layers + (32 << 20)) << "more than one layer was copied at a time";
  layers.clear();
  EXPECT_LT(resident_bytes() - start, 32 << 20);
}

// The whole session, moving averages included.
TEST(ResidentBytes, AnUpdateOfTheSessionReturnsMemory) {
  const TransformerShape shape{8, 8, 8, 128};
  const int64_t tokens = 2048, period = 512;
  int64_t seen = 0;
  SessionOptions options;
  options.shape = shape;
  options.policy =
      std::make_shared<TestPolicy>(period, Needs{.spectrogram = SpectrogramConfig{}, .column_sums = true},
                                   [&](int64_t, int64_t, int64_t p) { return seen < tokens || p % 4 == 0; });
  const at::Tensor q = testing::normal({period, shape.heads, shape.head_dim}, 1),
                   kv = testing::normal({period, shape.kv_heads, shape.head_dim}, 2);
  Session session(options);
  const RowId row = session.add_row();
  int64_t full = 0, resident = 0, peak = 0;
  for (; seen < tokens;) {
    session.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{period});
    for (int64_t l = 0; l < shape.layers; ++l) session.attend(q, kv, kv, l, 0.1, 0);
    seen += period;
    full = session.usage(row).cache_bytes;
    return_freed_memory();  // what earlier temporaries left would count as evicted
    resident = resident_bytes();
    reset_peak();
    session.update();
    peak = peak_resident_bytes() - resident;
  }
  const CacheUsage left = session.usage(row);
  EXPECT_EQ(full, tokens * 65536);
  // With keys and values go the queries of the period, but for the window's left context, and the averages of
  // the tokens that go.
  const SpectrogramConfig config;
  const int64_t queries =
      shape.layers * (period - config.context_queries()) * shape.heads * (shape.head_dim + 1) * 4;
  const int64_t known = shape.layers * shape.kv_heads * (tokens - period);
  const int64_t averages = (known - left.tokens) * (config.bins() + 1) * 4;
  expect_within_a_tenth(resident - resident_bytes(), full - left.cache_bytes + queries + averages,
                        "session, after evicting 75 %");
  // While all layers are judged, every token has a second set of averages; one layer is compacted at a time.
  const int64_t judged = shape.layers * shape.kv_heads * tokens * ((config.bins() + 1) * 4 + 8);
  std::printf("the update took %.1f MB beside a cache of %.1f MB\n", static_cast<double>(peak) / 1e6,
              static_cast<double>(full) / 1e6);
  EXPECT_LT(peak, judged + full / shape.layers + (32 << 20));
  session.drop(row);
}

}  // namespace
}  // namespace namm::memory
