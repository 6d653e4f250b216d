#include "memory/attention_trace.h"

#include <limits>
#include <utility>

#include <c10/core/InferenceMode.h>

#include "memory/policies/full.h"

namespace namm::memory {
namespace {

// [Hk, n]: attention from the queries since the row's last update.
at::Tensor recent_of(const UpdateView& view, const LayerView& layer) {
  const int64_t heads = view.shape.kv_heads;
  TORCH_CHECK(view.rows.size() == 1 && layer.recent_attention.defined(),
              "[trace] one row at a time, with its recent attention");
  for (int64_t h = 0; h < heads; ++h) {
    TORCH_CHECK(layer.offsets[h + 1] - layer.offsets[h] == view.rows[0].tokens_processed, "[trace] layer ",
                layer.layer, ", KV head ", h, " has forgotten tokens");
  }
  return layer.recent_attention.view({heads, -1}).to(at::kCPU);
}

}  // namespace

AttentionTrace::AttentionTrace(const NammConfig& config, const FeatureStatistics& statistics, Choice choice)
    : config_(config),
      reader_(config, at::zeros({1, config.parameters()}), statistics),
      choice_(std::move(choice)) {}

SessionOptions AttentionTrace::context_options(SessionOptions options, const NammConfig& config) {
  options.policy = std::make_shared<FullPolicy>();
  options.extra_needs = {.spectrogram = config.needed_spectrogram(), .recent_queries = config.period_tokens};
  options.extra_period_tokens = config.period_tokens;
  return options;
}

SessionOptions AttentionTrace::rest_options(SessionOptions options, int64_t tokens) {
  options.policy = std::make_shared<FullPolicy>();
  options.extra_needs = {.recent_queries = std::numeric_limits<int64_t>::max()};
  options.extra_period_tokens = tokens;
  return options;
}

RowState AttentionTrace::bare(const RowState& row) {
  TORCH_CHECK(row.tokens == row.updated_tokens, "[trace] the row has read ", row.tokens - row.updated_tokens,
              " tokens since its last update");
  RowState bare = row;
  for (LayerState& layer : bare.layers) {
    layer.record.blocks.clear();
    layer.record.ema.reset();
  }
  return bare;
}

void AttentionTrace::add_update(const UpdateView& view) {
  add_later(view, /*answering=*/false);
  const c10::InferenceMode guard;
  const RowView& row = view.rows[0];
  received_.resize(view.layers.size());
  for (const LayerView& layer : view.layers) {
    const at::Tensor recent = recent_of(view, layer);
    at::Tensor& received = received_[static_cast<size_t>(layer.layer)];
    received = received.defined()
                   ? recent + at::constant_pad_nd(received, {0, recent.size(1) - received.size(1)})
                   : recent.clone();
    at::Tensor features;
    for (int64_t h = 0; h < view.shape.kv_heads; ++h) {
      if (!choice_(row.update, layer.layer, h)) continue;
      if (!features.defined())
        features =
            reader_.features(view, layer).view({view.shape.kv_heads, -1, config_.features()}).to(at::kCPU);
      heads_.push_back({row.update, layer.layer, h, features.select(0, h).clone(),
                        received.select(0, h).clone(), recent.select(0, h).clone(),
                        at::zeros_like(recent.select(0, h)), at::zeros_like(recent.select(0, h))});
    }
  }
}

void AttentionTrace::add_rest(const UpdateView& view) {
  add_later(view, /*answering=*/false);
}

void AttentionTrace::add_answering(const UpdateView& view) {
  add_later(view, /*answering=*/true);
}

void AttentionTrace::add_later(const UpdateView& view, bool answering) {
  const c10::InferenceMode guard;
  const int64_t queries = view.rows.at(0).tokens_processed - tokens_;
  if (!answering) tokens_ += queries;
  std::vector<at::Tensor> recent;
  if (!heads_.empty()) {
    for (const LayerView& layer : view.layers) recent.push_back(recent_of(view, layer));
  }
  for (TracedHead& head : heads_) {
    const at::Tensor attention =
        recent[static_cast<size_t>(head.layer)].select(0, head.kv_head).narrow(0, 0, head.tokens());
    (answering ? head.answering : head.later).add_(attention);
    (answering ? head.answering_queries : head.later_queries) += queries;
  }
}

std::vector<TracedHead> AttentionTrace::take() {
  TORCH_CHECK(!c10::InferenceMode::is_enabled(), "[trace] tensors of inference mode have no gradient");
  std::vector<TracedHead> heads = std::exchange(heads_, {});
  for (TracedHead& head : heads) {
    for (at::Tensor* const x : {&head.features, &head.received, &head.recent, &head.later, &head.answering})
      *x = x->clone();
  }
  return heads;
}

}  // namespace namm::memory
