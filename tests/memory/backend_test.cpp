#include "memory/backend.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <ATen/Parallel.h>

#include "core/errors.h"
#include "core/random.h"
#include "memory/policies/namm.h"
#include "memory/session.h"
#include "tests/memory/random_tensors.h"

namespace namm::memory {
namespace {

using testing::normal;

// One random setting of everything that shapes an update.
struct Setting {
  TransformerShape shape;
  NammConfig config;
  int64_t window_tokens = 0;
  at::ScalarType dtype = at::kFloat;

  std::string name() const {
    return std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + " heads of " +
           std::to_string(shape.head_dim) + ", n_fft " + std::to_string(config.spectrogram.n_fft) + ", hop " +
           std::to_string(config.spectrogram.hop_length) + ", period " +
           std::to_string(config.period_tokens) + ", window " + std::to_string(window_tokens) + ", " +
           at::toString(dtype) + ", " + config.spectrogram.attention_dtype + ", " + config.heads + ", " +
           config.spectral;
  }
};

template <class T>
T pick(RandomStream& random, std::initializer_list<T> choices) {
  return *(choices.begin() + static_cast<std::ptrdiff_t>(random.uniform_int(choices.size())));
}

Setting random_setting(RandomStream& random) {
  Setting s;
  const int64_t group = 1 + static_cast<int64_t>(random.uniform_int(8));
  s.shape.layers = 2;
  s.shape.kv_heads = 1 + static_cast<int64_t>(random.uniform_int(3));
  s.shape.heads = s.shape.kv_heads * group;
  s.shape.head_dim = pick<int64_t>(random, {16, 20, 24, 32, 48, 64, 80, 96, 128});
  s.config.spectrogram.n_fft = pick<int64_t>(random, {8, 12, 16, 16, 32, 32, 32, 64});
  s.config.spectrogram.hop_length = s.config.spectrogram.n_fft / pick<int64_t>(random, {1, 2, 2, 4});
  s.config.spectrogram.attention_dtype = pick<const char*>(random, {"float32", "float32", "bfloat16"});
  s.config.period_tokens =
      s.config.spectrogram.hop_length * (1 + static_cast<int64_t>(random.uniform_int(6)));
  s.config.heads = pick<const char*>(random, {"ragged", "ragged", "parity"});
  s.config.spectral = pick<const char*>(random, {"magnitude", "magnitude", "magnitude", "complex"});
  s.config.bam.heads = pick<int64_t>(random, {1, 2});
  s.window_tokens = pick<int64_t>(random, {0, 0, 0, 7, 50});
  s.dtype = pick(random, {at::kFloat, at::kFloat, at::kBFloat16});
  return s;
}

// Rows of different lengths through a session, the same queries, keys and values for every backend.
struct Fed {
  std::map<int64_t, std::vector<std::vector<int64_t>>> kept;  // [tag]
  std::vector<at::Tensor> outputs, positions, scores;
};

Fed feed(const Setting& s, const std::shared_ptr<const EvictionPolicy>& policy, Backend backend, int64_t rows,
         uint64_t seed) {
  Session session({.shape = s.shape, .dtype = s.dtype, .backend = backend, .policy = policy});
  Fed fed;
  session.set_decision_observer([&](const UpdateView& view, const std::vector<KeepDecision>& decisions) {
    for (size_t l = 0; l < decisions.size(); ++l) {
      fed.scores.push_back(decisions[l].scores);
      fed.positions.push_back(view.layers[l].positions.masked_select(decisions[l].keep));
    }
  });
  std::vector<RowId> ids;
  for (int64_t r = 0; r < rows; ++r) ids.push_back(session.add_row(0, r));
  RandomStream random({.seed = seed, .purpose = "steps"});
  for (int64_t step = 0; step < 9; ++step) {
    std::vector<int64_t> lengths;
    int64_t total = 0;
    for (const RowId id : ids) {
      const int64_t room = session.tokens_until_update(id);
      lengths.push_back(random.uniform_int(2) == 0
                            ? room
                            : 1 + static_cast<int64_t>(random.uniform_int(static_cast<uint64_t>(room))));
      total += lengths.back();
    }
    session.begin_step(ids, lengths);
    for (int64_t l = 0; l < s.shape.layers; ++l) {
      const uint64_t key = seed * 1000 + static_cast<uint64_t>(step * 10 + l * 3);
      fed.outputs.push_back(
          session.attend(normal({total, s.shape.heads, s.shape.head_dim}, key, s.dtype),
                         normal({total, s.shape.kv_heads, s.shape.head_dim}, key + 1, s.dtype),
                         normal({total, s.shape.kv_heads, s.shape.head_dim}, key + 2, s.dtype), l,
                         1.5 / std::sqrt(static_cast<double>(s.shape.head_dim)), s.window_tokens));
    }
    session.update();
  }
  for (int64_t r = 0; r < rows; ++r) fed.kept[r] = session.kept_history(ids[static_cast<size_t>(r)]);
  return fed;
}

std::shared_ptr<const EvictionPolicy> random_memory(const NammConfig& config, uint64_t seed) {
  const std::vector<double> mean(static_cast<size_t>(config.spectral_count()), 0.01),
      variance(mean.size(), 0.02);
  return std::make_shared<NammPolicy>(config, normal({1, config.parameters()}, seed) * 0.3,
                                      FeatureStatistics::from_variance(100, mean, variance));
}

// `check` itself compares attention, features and scores of the two backends at every step and update.
TEST(Backend, KernelsAgreeWithTheReferenceOnRandomShapes) {
  RandomStream random({.seed = 20261126, .purpose = "settings"});
  int64_t updates = 0, flips = 0, near_zero = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    const Setting setting = random_setting(random);
    SCOPED_TRACE("case " + std::to_string(i) + ": " + setting.name());
    const auto policy = random_memory(setting.config, 100 + i);
    const int64_t rows = 1 + static_cast<int64_t>(random.uniform_int(3));
    Fed checked;
    ASSERT_NO_THROW(checked = feed(setting, policy, Backend::check, rows, i));
    const Fed reference = feed(setting, policy, Backend::reference, rows, i);
    ASSERT_EQ(checked.positions.size(), reference.positions.size());
    for (size_t u = 0; u < checked.positions.size(); ++u) {
      ++updates;
      if (checked.scores[u].sizes() == reference.scores[u].sizes())
        near_zero += (reference.scores[u].abs() < 1e-5).sum().item<int64_t>();
      if (at::equal(checked.positions[u], reference.positions[u])) continue;
      // A decision may differ only where a score is as good as 0 (ragged) or as another one; what follows it
      // is another story.
      ++flips;
      break;
    }
  }
  std::printf("%lld decisions compared, %lld scores within 1e-5 of 0, %lld sequences of decisions parted\n",
              static_cast<long long>(updates), static_cast<long long>(near_zero),
              static_cast<long long>(flips));
  EXPECT_GT(updates, 300);
  EXPECT_LE(flips, 2);
}

TEST(Backend, EveryInstructionSetOfThisProcessorAgrees) {
  struct Restore {
    ~Restore() { hwy::SetSupportedTargetsForTest(0); }
  } restore;
  RandomStream random({.seed = 7, .purpose = "settings"});
  std::string names;
  for (int64_t targets = hwy::SupportedTargets(); targets != 0; targets &= targets - 1) {
    const int64_t target = targets & -targets;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    names += std::string(names.empty() ? "" : ", ") + hwy::TargetName(target);
    for (uint64_t i = 0; i < 4; ++i) {
      const Setting setting = random_setting(random);
      SCOPED_TRACE(std::string(hwy::TargetName(target)) + ", " + setting.name());
      ASSERT_NO_THROW(feed(setting, random_memory(setting.config, i), Backend::check, 2, i));
    }
  }
  std::printf("instruction sets: %s\n", names.c_str());
}

TEST(Backend, RowsAndThreadsDoNotChangeABit) {
  Setting setting;
  setting.shape = {2, 4, 2, 32};
  setting.config.period_tokens = 64;
  const auto policy = random_memory(setting.config, 3);
  const int threads = at::get_num_threads();
  const Fed all = feed(setting, policy, Backend::cpu, 3, 4);
  at::set_num_threads(1);
  const Fed alone = feed(setting, policy, Backend::cpu, 3, 4);
  at::set_num_threads(threads);
  ASSERT_EQ(all.outputs.size(), alone.outputs.size());
  for (size_t i = 0; i < all.outputs.size(); ++i)
    EXPECT_TRUE(at::equal(all.outputs[i], alone.outputs[i])) << i;
  EXPECT_EQ(all.kept, alone.kept);
}

TEST(Backend, BrokenAttentionNamesItsPlace) {
  Setting setting;
  setting.shape = {2, 4, 2, 16};
  setting.config.period_tokens = 32;
  for (const Backend backend : {Backend::cpu, Backend::reference}) {
    Session session({.shape = setting.shape, .backend = backend, .policy = random_memory(setting.config, 1)});
    const std::vector<RowId> ids{session.add_row(0, 7)};
    session.begin_step(ids, std::vector<int64_t>{32});
    for (int64_t l = 0; l < 2; ++l) {
      at::Tensor keys = normal({32, 2, 16}, 5);
      if (l == 1) keys[20][1][3] = std::nan("");
      session.attend(normal({32, 4, 16}, 4), keys, normal({32, 2, 16}, 6), l, 0.25, 0);
    }
    try {
      session.update();
      FAIL() << "nothing was told";
    } catch (const DataError& error) {
      const std::string what = error.what();
      EXPECT_NE(what.find("layer 1, KV head 1, sequence 7"), std::string::npos) << what;
    }
  }
}

// Keeps everything; its scores depend on the backend in one place, which is what `check` exists to find.
class LyingPolicy final : public EvictionPolicy {
 public:
  std::string name() const override { return "lying"; }
  Needs needs() const override { return {}; }
  Schedule schedule() const override { return {8}; }
  std::vector<KeepDecision> decide(const UpdateView& view) const override {
    std::vector<KeepDecision> decisions;
    for (const LayerView& layer : view.layers) {
      at::Tensor scores = at::ones({layer.offsets.back()});
      if (view.backend == Backend::reference && layer.layer == 1) scores[14] = 1.5;
      decisions.push_back(
          {at::ones({layer.offsets.back()}, at::kBool), at::full({1, 2}, 8, at::kInt), scores});
    }
    return decisions;
  }
};

TEST(Backend, CheckNamesADifference) {
  Session session(
      {.shape = {2, 2, 2, 16}, .backend = Backend::check, .policy = std::make_shared<LyingPolicy>()});
  const std::vector<RowId> ids{session.add_row()};
  session.begin_step(ids, std::vector<int64_t>{8});
  for (int64_t l = 0; l < 2; ++l)
    session.attend(normal({8, 2, 16}, 1), normal({8, 2, 16}, 2), normal({8, 2, 16}, 3), l, 0.25, 0);
  try {
    session.update();
    FAIL() << "the difference was not seen";
  } catch (const c10::Error& error) {
    const std::string what = error.what_without_backtrace();
    EXPECT_NE(what.find("[check] layer 1, row 0, KV head 1, token at position 6"), std::string::npos) << what;
  }
}

TEST(Backend, NamesAndLimits) {
  for (const char* name : {"auto", "reference", "cpu", "check"}) EXPECT_EQ(to_string(backend(name)), name);
  EXPECT_THROW(backend("cuda"), ConfigError);
  EXPECT_FALSE(uses_cpu_kernels(Backend::automatic, at::zeros({1}, at::kDouble)));
  EXPECT_FALSE(uses_cpu_kernels(Backend::reference, at::zeros({1})));
  EXPECT_TRUE(uses_cpu_kernels(Backend::check, at::zeros({1}, at::kBFloat16)));
  EXPECT_THROW(uses_cpu_kernels(Backend::cpu, at::zeros({1}, at::kDouble)), c10::Error);
}

}  // namespace
}  // namespace namm::memory
