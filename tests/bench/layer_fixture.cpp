#include "tests/bench/layer_fixture.h"

#include <cmath>
#include <utility>
#include <vector>

#include "memory/policies/namm.h"
#include "tests/bench/agreement.h"
#include "tests/bench/case.h"
#include "tests/support/tolerances.h"

namespace namm::bench {

namespace {

constexpr memory::TransformerShape kShape{.layers = 1, .heads = 32, .kv_heads = 8, .head_dim = 128};

double scale() {
  return 1.0 / std::sqrt(static_cast<double>(kShape.head_dim));
}

at::Tensor normal(at::IntArrayRef sizes, at::Generator& generator) {
  return at::randn(sizes, generator, at::TensorOptions(at::kFloat));
}

}  // namespace

/// Keeps everything until it is given a memory.
class LayerFixture::LatePolicy final : public memory::EvictionPolicy {
 public:
  explicit LatePolicy(const memory::NammConfig& config) : config_(config) {}

  void set(at::Tensor theta, memory::FeatureStatistics statistics) {
    namm_ = std::make_unique<memory::NammPolicy>(config_, std::move(theta), std::move(statistics));
  }
  const memory::NammPolicy& namm() const { return *namm_; }
  const memory::NammConfig& config() const { return config_; }

  std::string name() const override { return "namm"; }
  memory::Needs needs() const override { return {.spectrogram = config_.spectrogram}; }
  memory::Schedule schedule() const override { return {config_.period_tokens}; }
  std::vector<memory::KeepDecision> decide(const memory::UpdateView& view) const override {
    if (namm_) return namm_->decide(view);
    std::vector<memory::KeepDecision> decisions;
    for (const memory::LayerView& layer : view.layers) {
      std::vector<int32_t> lengths;
      for (size_t s = 1; s < layer.offsets.size(); ++s)
        lengths.push_back(static_cast<int32_t>(layer.offsets[s] - layer.offsets[s - 1]));
      decisions.push_back(
          {at::ones({layer.offsets.back()}, at::kBool), at::tensor(lengths).view({-1, view.shape.kv_heads})});
    }
    return decisions;
  }

 private:
  memory::NammConfig config_;
  std::unique_ptr<memory::NammPolicy> namm_;
};

LayerFixture::LayerFixture(int64_t tokens, uint64_t seed)
    : tokens_(tokens), policy_(std::make_shared<LatePolicy>(memory::NammConfig())) {
  const memory::NammConfig& config = policy_->config();
  const int64_t period = config.period_tokens;
  TORCH_CHECK(tokens % period == 0 && tokens >= 2 * period, "[bench] ", tokens,
              " tokens are not two or more periods of ", period);
  memory::SessionOptions options;
  options.shape = kShape;
  options.policy = policy_;
  session_ = std::make_unique<memory::Session>(options);
  row_ = session_->add_row();

  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto chunk = [&]() -> Chunk {
    return {normal({period, kShape.heads, kShape.head_dim}, generator),
            normal({period, kShape.kv_heads, kShape.head_dim}, generator),
            normal({period, kShape.kv_heads, kShape.head_dim}, generator)};
  };
  at::Tensor ema;
  session_->set_observer([&](const memory::UpdateView& view) { ema = view.layers[0].ema; });
  at::Tensor last_queries;
  for (int64_t begin = 0; begin + period < tokens; begin += period) {
    const Chunk next = chunk();
    attend(row_, next);
    session_->update();
    last_queries = next.q.slice(0, -config.spectrogram.context_queries());
  }
  last_ = chunk();

  // A random memory, its score shifted so that half of the tokens go.
  memory::FeatureStatistics statistics;
  statistics.accumulate(ema);
  at::Tensor theta = normal({1, config.parameters()}, generator).mul_(0.2);
  policy_->set(theta, statistics);
  const at::Tensor state_ema = ema;
  at::Tensor middle;
  session_->set_observer([&](const memory::UpdateView& view) {
    middle = policy_->namm().scores(view, view.layers[0]).median();
  });
  run_session();
  session_->set_observer({});
  theta.select(1, -1).sub_(middle);
  policy_->set(theta, statistics);

  pipeline_ = std::make_unique<TorchPipeline>(kShape, config, theta, statistics);
  const int64_t n = tokens - period, context = config.spectrogram.context_queries();
  HeadBlock block;
  std::vector<at::Tensor> keys, values, positions, attention;
  for (int64_t h = 0; h < kShape.kv_heads; ++h) {
    const auto segment = session_->segment(row_, 0, h);
    keys.push_back(segment.keys);
    values.push_back(segment.values);
    positions.push_back(segment.positions);
    const at::Tensor asked = last_queries.narrow(1, h * kShape.group(), kShape.group());  // [c, G, d]
    at::Tensor scores = at::matmul(asked, segment.keys.t()).mul_(scale());                // [c, G, n]
    const at::Tensor newer =
        segment.positions.unsqueeze(0) > at::arange(n - context, n, at::kLong).unsqueeze(1);  // [c, n]
    scores.masked_fill_(newer.unsqueeze(1), -INFINITY);
    attention.push_back(at::softmax(scores, 2).mean(1));
  }
  block.keys = at::stack(keys);
  block.values = at::stack(values);
  block.positions = at::stack(positions);
  block.context = at::stack(attention);
  block.ema = state_ema.view({kShape.kv_heads, n, -1});
  pipeline_->restore(0, {block}, n);
}

LayerFixture::~LayerFixture() = default;

at::Tensor LayerFixture::attend(memory::RowId row, const Chunk& chunk) {
  const int64_t length = chunk.q.size(0);
  session_->begin_step(std::span(&row, 1), std::span(&length, 1));
  return session_->attend(chunk.q, chunk.k, chunk.v, 0, scale(), 0);
}

int64_t LayerFixture::compare() {
  namespace tolerance = tolerances::implementations;
  at::Tensor ema, keep;
  session_->set_decision_observer(
      [&](const memory::UpdateView& view, const std::vector<memory::KeepDecision>& decisions) {
        ema = view.layers[0].ema;
        keep = decisions[0].keep;
      });
  const memory::RowId row = session_->fork(row_, 0, 0);
  const at::Tensor ours = attend(row, last_);
  session_->update();
  session_->set_decision_observer({});

  TorchPipeline pipeline = *pipeline_;
  int64_t close = 0;
  pipeline.set_referee([&](int64_t, int64_t head, const at::Tensor& scores, at::Tensor& theirs) {
    const at::Tensor chosen = keep.narrow(0, head * tokens_, tokens_);
    close += require_same_choice("decisions", chosen, theirs, scores, tolerances::bench::score_near_zero);
    theirs.copy_(chosen);
  });
  const at::Tensor baseline = pipeline.attend(last_.q, last_.k, last_.v, 0, scale());
  pipeline.update();

  require_close("attention", ours, baseline, tolerance::attention);
  std::vector<at::Tensor> averages;
  for (const HeadBlock& block : pipeline.blocks(0)) {
    for (int64_t h = 0; h < block.keys.size(0); ++h) {
      const auto segment = session_->segment(row, 0, block.first_head + h);
      require_equal("cached keys", segment.keys, block.keys.select(0, h));
      require_equal("cached values", segment.values, block.values.select(0, h));
      require_equal("positions", segment.positions, block.positions.select(0, h));
      averages.push_back(block.ema.select(0, h));
    }
  }
  require_close("moving averages", ema.index_select(0, keep.nonzero().squeeze(1)), at::cat(averages),
                tolerance::ema);
  session_->drop(row);
  return close;
}

LayerFixture::Seconds LayerFixture::run_session() {
  const memory::RowId row = session_->fork(row_, 0, 0);
  Seconds seconds;
  seconds.attend = seconds_of([&] { attend(row, last_); });
  seconds.update = seconds_of([&] { session_->update(); });
  session_->drop(row);
  return seconds;
}

LayerFixture::Seconds LayerFixture::run_pipeline() {
  TorchPipeline pipeline = *pipeline_;
  Seconds seconds;
  seconds.attend = seconds_of([&] { pipeline.attend(last_.q, last_.k, last_.v, 0, scale()); });
  seconds.update = seconds_of([&] { pipeline.update(); });
  return seconds;
}

LayerFixture::Seconds LayerFixture::run_pipeline_update() {
  TorchPipeline pipeline = *pipeline_;
  pipeline.append(last_.k, last_.v, 0);
  Seconds seconds;
  seconds.attend = seconds_of([&] { pipeline.record(last_.q, 0, scale()); });
  seconds.update = seconds_of([&] { pipeline.update(); });
  return seconds;
}

void LayerFixture::consume_session() {
  attend(row_, last_);
  session_->update();
}

}  // namespace namm::bench
