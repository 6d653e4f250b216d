#include "tests/bench/torch_pipeline.h"

#include <cmath>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <ATen/core/dispatch/Dispatcher.h>

#include "memory/attend.h"
#include "memory/policies/namm.h"
#include "memory/session.h"
#include "tests/bench/agreement.h"
#include "tests/bench/attend_override.h"
#include "tests/bench/case.h"
#include "tests/memory/random_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::bench {
namespace {

using testing::normal;

struct Small {
  memory::TransformerShape shape{.layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 8};
  memory::NammConfig config;
  at::Tensor theta;

  explicit Small(const std::string& heads) {
    config.period_tokens = 16;
    config.spectrogram = {.n_fft = 8, .hop_length = 4};
    config.heads = heads;
    // The score of the last map's bias alone would keep everything.
    theta = normal({1, config.parameters()}, 5) * 0.3;
    theta.select(1, -1).fill_(0);
    theta.narrow(1, config.parameters() - 1 - config.features(), config.features()).mul_(-1);
  }
};

// Both programs over five chunks: outputs, decisions and caches of every update.
void expect_agreement(const std::string& heads) {
  const Small small(heads);
  memory::SessionOptions options;
  options.shape = small.shape;
  options.policy =
      std::make_shared<memory::NammPolicy>(small.config, small.theta, memory::FeatureStatistics{});
  memory::Session session(options);
  const memory::RowId row = session.add_row();
  TorchPipeline pipeline(small.shape, small.config, small.theta, {});
  const int64_t period = small.config.period_tokens;
  uint64_t seed = 100;
  bool evicted = false;
  for (int64_t chunk = 0; chunk < 5; ++chunk) {
    session.begin_step(std::span(&row, 1), std::span(&period, 1));
    for (int64_t l = 0; l < small.shape.layers; ++l) {
      const at::Tensor q = normal({period, 4, 8}, seed++), k = normal({period, 2, 8}, seed++),
                       v = normal({period, 2, 8}, seed++);
      require_close("attention", session.attend(q, k, v, l, 0.35, 0), pipeline.attend(q, k, v, l, 0.35),
                    tolerances::implementations::attention);
    }
    session.update();
    pipeline.update();
    for (int64_t l = 0; l < small.shape.layers; ++l) {
      for (const HeadBlock& block : pipeline.blocks(l)) {
        for (int64_t h = 0; h < block.keys.size(0); ++h) {
          const auto segment = session.segment(row, l, block.first_head + h);
          require_equal("positions", segment.positions, block.positions.select(0, h));
          require_equal("keys", segment.keys, block.keys.select(0, h));
          require_equal("values", segment.values, block.values.select(0, h));
          evicted = evicted || block.keys.size(1) < (chunk + 1) * period;
        }
      }
    }
  }
  EXPECT_TRUE(evicted) << "nothing was ever forgotten";
}

TEST(TorchPipeline, AgreesWithASessionWhenHeadsDiffer) {
  EXPECT_NO_THROW(expect_agreement("ragged"));
}

TEST(TorchPipeline, AgreesWithASessionInParity) {
  EXPECT_NO_THROW(expect_agreement("parity"));
}

TEST(TorchPipeline, StandsBehindTheOperatorWhileItIsAskedTo) {
  memory::register_operators();
  const Small small("ragged");
  TorchPipeline pipeline(small.shape, small.config, small.theta, {});
  TorchPipeline same = pipeline;
  memory::SessionOptions options;
  options.shape = small.shape;
  options.policy =
      std::make_shared<memory::NammPolicy>(small.config, small.theta, memory::FeatureStatistics{});
  memory::Session session(options);
  const int64_t period = small.config.period_tokens;
  const at::Tensor q = normal({period, 4, 8}, 1), k = normal({period, 2, 8}, 2),
                   v = normal({period, 2, 8}, 3);
  const auto op = c10::Dispatcher::singleton()
                      .findSchemaOrThrow("namm::attend", "")
                      .typed<at::Tensor(at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                        int64_t, double, int64_t)>();
  at::Tensor none = at::zeros({1}, at::kLong), own = session.handle();
  EXPECT_THROW(op.call(none, q, k, v, 0, 0.35, 0), c10::Error);
  {
    const AttendOverride attend(pipeline);
    at::Tensor handle = attend.handle();
    EXPECT_TRUE(op.call(handle, q, k, v, 0, 0.35, 0).equal(same.attend(q, k, v, 0, 0.35)));
    const memory::RowId row = session.add_row();
    session.begin_step(std::span(&row, 1), std::span(&period, 1));
    op.call(own, q, k, v, 0, 0.35, 0);
    op.call(own, q, k, v, 1, 0.35, 0);
    EXPECT_EQ(session.tokens_processed(row), period);
  }
  EXPECT_THROW(op.call(none, q, k, v, 0, 0.35, 0), c10::Error);
}

TEST(Agreement, DifferencesAreFound) {
  const at::Tensor x = normal({7}, 1);
  EXPECT_NO_THROW(require_close("x", x, x + 1e-7, 1e-6));
  EXPECT_THROW(require_close("x", x, x + 1e-4, 1e-6), Mismatch);
  EXPECT_THROW(require_close("x", x / 0.0 * 0.0, x, 1e-6), Mismatch);
  EXPECT_THROW(require_close("x", x, normal({8}, 1), 1e-6), Mismatch);
  EXPECT_THROW(require_equal("x", x, x + 1), Mismatch);

  const at::Tensor scores = at::tensor({0.5, -1e-6, 0.2, -0.7});
  const at::Tensor baseline = scores >= 0;
  at::Tensor close = baseline.clone(), far = baseline.clone();
  close[1] = true;
  far[0] = false;
  EXPECT_EQ(require_same_choice("x", baseline, baseline, scores, 1e-5), 0);
  EXPECT_EQ(require_same_choice("x", close, baseline, scores, 1e-5), 1);
  EXPECT_THROW(require_same_choice("x", far, baseline, scores, 1e-5), Mismatch);
}

}  // namespace
}  // namespace namm::bench
