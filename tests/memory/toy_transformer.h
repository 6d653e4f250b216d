#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include <ATen/ATen.h>

#include "memory/session.h"
#include "tests/memory/random_tensors.h"

namespace namm::testing {

/// A random Transformer without MLP: x += attention(x Wq, x Wk, x Wv) Wo in every layer. Products are made
/// row by row, so that a row's bits do not depend on the batch and what is left to differ is the session.
struct ToyTransformer {
  memory::TransformerShape shape;
  int64_t hidden = 0;
  double scale = 0;
  std::vector<at::Tensor> wq, wk, wv, wo;  // [hidden, H d], [hidden, Hk d] twice, [H d, hidden]

  ToyTransformer(const memory::TransformerShape& s, int64_t hidden_size, uint64_t seed)
      : shape(s), hidden(hidden_size) {
    scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
    const double w = 1.0 / std::sqrt(static_cast<double>(hidden));
    for (int64_t l = 0; l < shape.layers; ++l) {
      wq.push_back(normal({hidden, shape.heads * shape.head_dim}, seed++) * w);
      wk.push_back(normal({hidden, shape.kv_heads * shape.head_dim}, seed++) * w);
      wv.push_back(normal({hidden, shape.kv_heads * shape.head_dim}, seed++) * w);
      wo.push_back(normal({shape.heads * shape.head_dim, hidden}, seed++) * w);
    }
  }

  /// One step of the session: x[i] [length of row i, hidden]; returns the hidden states of each row.
  std::vector<at::Tensor> step(memory::Session& session, std::vector<memory::RowId> rows,
                               std::vector<at::Tensor> x) const {
    std::vector<int64_t> lengths;
    for (const at::Tensor& row : x) lengths.push_back(row.size(0));
    session.begin_step(rows, lengths);
    for (int64_t l = 0; l < shape.layers; ++l) {
      const auto packed = [&](const at::Tensor& w, int64_t heads) {
        std::vector<at::Tensor> parts;
        for (const at::Tensor& row : x) parts.push_back(at::matmul(row, w).view({-1, heads, shape.head_dim}));
        return at::cat(parts);
      };
      const at::Tensor attended = session.attend(packed(wq[l], shape.heads), packed(wk[l], shape.kv_heads),
                                                 packed(wv[l], shape.kv_heads), l, scale, 0);
      int64_t offset = 0;
      for (at::Tensor& row : x) {
        const at::Tensor part = attended.narrow(0, offset, row.size(0)).reshape({row.size(0), -1});
        offset += row.size(0);
        row = row + at::matmul(part, wo[l]);
      }
    }
    return x;
  }
};

/// A policy made of functions: the tests say what it needs and what it keeps.
class TestPolicy : public memory::EvictionPolicy {
 public:
  /// Whether a token stays; the newest of a segment always does.
  using Rule = std::function<bool(int64_t layer, int64_t kv_head, int64_t position)>;

  TestPolicy(int64_t period, memory::Needs needs, Rule rule)
      : period_(period), needs_(std::move(needs)), rule_(std::move(rule)) {}

  std::string name() const override { return "test"; }
  memory::Needs needs() const override { return needs_; }
  memory::Schedule schedule() const override { return {period_}; }

  std::vector<memory::KeepDecision> decide(const memory::UpdateView& view) const override {
    std::vector<memory::KeepDecision> decisions;
    for (const memory::LayerView& layer : view.layers) {
      const auto segments = static_cast<int64_t>(layer.offsets.size()) - 1;
      at::Tensor keep = at::zeros({layer.offsets.back()}, at::kBool);
      at::Tensor lengths = at::zeros({segments}, at::kInt);
      for (int64_t s = 0; s < segments; ++s) {
        for (int64_t i = layer.offsets[s]; i < layer.offsets[s + 1]; ++i) {
          const int64_t position = layer.positions.const_data_ptr<int64_t>()[i];
          if (i + 1 < layer.offsets[s + 1] && !rule_(layer.layer, s % view.shape.kv_heads, position))
            continue;
          keep.data_ptr<bool>()[i] = true;
          ++lengths.data_ptr<int32_t>()[s];
        }
      }
      decisions.push_back({keep, lengths.view({-1, view.shape.kv_heads})});
    }
    return decisions;
  }

 private:
  int64_t period_;
  memory::Needs needs_;
  Rule rule_;
};

}  // namespace namm::testing
