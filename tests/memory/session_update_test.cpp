// What a policy sees at an update against numbers computed from scratch: a float64 Transformer that holds its
// whole attention.
#include <cmath>
#include <map>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "memory/session.h"
#include "tests/memory/dense_attention.h"
#include "tests/memory/toy_transformer.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::Comparison;
using testing::dense_attention;
using testing::normal;
using testing::TestPolicy;
using testing::ToyTransformer;

// About two thirds stay, differently in every layer and head.
bool stays(int64_t layer, int64_t kv_head, int64_t position) {
  return (position * 7 + layer * 5 + kv_head * 3 + position / 11) % 3 != 0;
}

// Numbers of one (layer, KV head) at an update.
struct HeadTruth {
  std::vector<int64_t> positions;
  at::Tensor ema, column_sums, key_norms, recent_attention, key_similarity, expected_attention;
};

constexpr int64_t kRecentQueries = 5;

struct RowTruth {
  at::Tensor output;                            // [tokens, hidden]
  std::vector<std::vector<HeadTruth>> updates;  // [update][layer * Hk + head]
};

// Moving averages of all frames since the first token, from the whole history [queries, tokens] of group-mean
// attention.
at::Tensor ema_from_history(const at::Tensor& history, const SpectrogramConfig& config) {
  const int64_t w = config.n_fft, hop = config.hop_length;
  at::Tensor basis_re = at::empty({config.bins(), w}, at::kDouble),
             basis_im = at::empty({config.bins(), w}, at::kDouble);
  for (int64_t f = 0; f < config.bins(); ++f) {
    for (int64_t i = 0; i < w; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(w);
      const double window = 0.5 * (1 - std::cos(angle));
      basis_re[f][i] = window * std::cos(angle * static_cast<double>(f));
      basis_im[f][i] = -window * std::sin(angle * static_cast<double>(f));
    }
  }
  const at::Tensor padded = at::constant_pad_nd(history, {0, 0, w - hop, 0});
  const double beta = std::pow(config.ema_coefficient, static_cast<double>(hop));
  at::Tensor ema = at::zeros({history.size(1), config.bins()}, at::kDouble);
  for (int64_t t = 0; t < history.size(0) / hop; ++t) {
    const at::Tensor frame = padded.narrow(0, t * hop, w);
    const at::Tensor re = at::matmul(basis_re, frame), im = at::matmul(basis_im, frame);
    ema = beta * ema + (1 - beta) * (re * re + im * im).sqrt().t();
  }
  return ema;
}

// By the mean and the variance of the logits themselves, which are normal where the queries are.
at::Tensor expected_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                              double scale) {
  const at::Tensor logits = scale * at::matmul(queries, keys.t());  // [G, count, n]
  const at::Tensor expected = logits.mean(1) + 0.5 * logits.var(1, /*unbiased=*/false);
  return at::softmax(expected, 1).mean(0) * values.norm(2, 1);
}

RowTruth truth(const ToyTransformer& model, const at::Tensor& input, int64_t period,
               const SpectrogramConfig& config) {
  const TransformerShape& shape = model.shape;
  const int64_t heads = shape.kv_heads, group = shape.group(), tokens = input.size(0);
  const auto cells = static_cast<size_t>(shape.layers * heads);
  std::vector<std::vector<int64_t>> cached(cells);
  // Everything by original position; evicted tokens just stop being attended to.
  std::vector<at::Tensor> keys(cells), values(cells), queries(cells),
      history(cells, at::zeros({tokens, tokens}, at::kDouble));
  for (at::Tensor& h : history) h = h.clone();
  RowTruth result;
  std::vector<at::Tensor> outputs;
  for (int64_t start = 0; start < tokens; start += period) {
    const int64_t count = std::min(period, tokens - start);
    const at::Tensor query_positions = at::arange(start, start + count, at::kLong);
    at::Tensor x = input.narrow(0, start, count).to(at::kDouble);
    for (int64_t l = 0; l < shape.layers; ++l) {
      const auto project = [&](const at::Tensor& w, int64_t n) {
        return at::matmul(x, w.to(at::kDouble)).view({count, n, shape.head_dim});
      };
      const at::Tensor q = project(model.wq[l], shape.heads), k = project(model.wk[l], heads),
                       v = project(model.wv[l], heads);
      std::vector<at::Tensor> attended;
      for (int64_t h = 0; h < heads; ++h) {
        const auto cell = static_cast<size_t>(l * heads + h);
        keys[cell] = start == 0 ? k.select(1, h) : at::cat({keys[cell], k.select(1, h)});
        values[cell] = start == 0 ? v.select(1, h) : at::cat({values[cell], v.select(1, h)});
        for (int64_t p = start; p < start + count; ++p) cached[cell].push_back(p);
        const at::Tensor index = at::tensor(cached[cell], at::kLong);
        const auto dense =
            dense_attention(q.narrow(1, h * group, group), query_positions, keys[cell].index_select(0, index),
                            values[cell].index_select(0, index), index, model.scale);
        attended.push_back(dense.output);
        queries[cell] = q.narrow(1, h * group, group).transpose(0, 1);  // [G, count, d]
        history[cell].narrow(0, start, count).index_copy_(1, index, dense.probabilities.mean(0));
      }
      x = x + at::matmul(at::cat(attended, 1).reshape({count, -1}), model.wo[l].to(at::kDouble));
    }
    outputs.push_back(x);
    if (start + count < start + period) break;
    std::vector<HeadTruth> update;
    for (size_t cell = 0; cell < cells; ++cell) {
      const at::Tensor index = at::tensor(cached[cell], at::kLong);
      const at::Tensor seen = history[cell].narrow(0, 0, start + count).index_select(1, index);
      const at::Tensor held = keys[cell].index_select(0, index);
      const at::Tensor unit = held / held.norm(2, 1, true), mean = unit.mean(0);
      const int64_t recent = std::min(kRecentQueries, count);
      update.push_back(
          {cached[cell], ema_from_history(seen, config), seen.sum(0), held.norm(2, 1),
           seen.narrow(0, seen.size(0) - recent, recent).sum(0),
           at::cosine_similarity(held, mean.unsqueeze(0), 1),
           expected_attention(queries[cell], held, values[cell].index_select(0, index), model.scale)});
      const auto layer = static_cast<int64_t>(cell) / heads, head = static_cast<int64_t>(cell) % heads;
      std::vector<int64_t> kept;
      for (const int64_t p : cached[cell]) {
        if (p == cached[cell].back() || stays(layer, head, p)) kept.push_back(p);
      }
      cached[cell] = kept;
    }
    result.updates.push_back(std::move(update));
  }
  result.output = at::cat(outputs);
  return result;
}

// Everything a session showed of one row.
struct RowSeen {
  std::vector<at::Tensor> outputs;
  std::vector<std::vector<HeadTruth>> updates;
};

Needs all_needs(const SpectrogramConfig& config) {
  return {.spectrogram = config,
          .column_sums = true,
          .key_norms = true,
          .recent_queries = kRecentQueries,
          .key_similarity = true,
          .expected_attention = true};
}

// Reads the inputs in one session, row i by chunks of chunk[i] and starting delay[i] steps later than the
// first.
std::vector<RowSeen> run(const ToyTransformer& model, const std::vector<at::Tensor>& inputs,
                         const std::vector<int64_t>& chunk, const std::vector<int64_t>& delay, int64_t period,
                         const SpectrogramConfig& config) {
  SessionOptions options;
  options.shape = model.shape;
  options.policy = std::make_shared<TestPolicy>(period, all_needs(config), stays);
  Session session(options);
  std::vector<RowSeen> seen(inputs.size());
  std::vector<RowId> rows;
  for (size_t i = 0; i < inputs.size(); ++i) rows.push_back(session.add_row(0, static_cast<int64_t>(i)));
  session.set_observer([&](const UpdateView& view) {
    for (size_t r = 0; r < view.rows.size(); ++r) {
      RowSeen& row = seen[static_cast<size_t>(view.rows[r].tag)];
      EXPECT_EQ(view.rows[r].update, static_cast<int64_t>(row.updates.size()));
      EXPECT_EQ(view.rows[r].tokens_processed, period * (view.rows[r].update + 1));
      std::vector<HeadTruth> update;
      for (const LayerView& layer : view.layers) {
        for (int64_t h = 0; h < model.shape.kv_heads; ++h) {
          const size_t s = r * static_cast<size_t>(model.shape.kv_heads) + static_cast<size_t>(h);
          const int64_t first = layer.offsets[s], n = layer.offsets[s + 1] - first;
          const at::Tensor positions = layer.positions.narrow(0, first, n).contiguous();
          update.push_back({{positions.const_data_ptr<int64_t>(), positions.const_data_ptr<int64_t>() + n},
                            layer.ema.narrow(0, first, n).clone(),
                            layer.column_sums.narrow(0, first, n).clone(),
                            layer.key_norms.narrow(0, first, n).clone(),
                            layer.recent_attention.narrow(0, first, n).clone(),
                            layer.key_similarity.narrow(0, first, n).clone(),
                            layer.expected_attention.narrow(0, first, n).clone()});
        }
      }
      row.updates.push_back(std::move(update));
    }
  });
  std::vector<int64_t> done(inputs.size(), 0);
  for (int64_t step = 0;; ++step) {
    std::vector<RowId> step_rows;
    std::vector<at::Tensor> x;
    std::vector<size_t> which;
    bool open = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const int64_t left = inputs[i].size(0) - done[i];
      open = open || left > 0;
      if (left == 0 || step < delay[i]) continue;
      const int64_t count = std::min({left, chunk[i], session.tokens_until_update(rows[i])});
      step_rows.push_back(rows[i]);
      x.push_back(inputs[i].narrow(0, done[i], count));
      which.push_back(i);
      done[i] += count;
    }
    if (!open) break;
    if (x.empty()) continue;
    const std::vector<at::Tensor> out = model.step(session, step_rows, x);
    for (size_t j = 0; j < out.size(); ++j) seen[which[j]].outputs.push_back(out[j]);
    session.update();
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ(session.tokens_processed(rows[i]), inputs[i].size(0));
    EXPECT_EQ(session.kept_history(rows[i]).size(), seen[i].updates.size());
  }
  return seen;
}

void expect_true(const RowSeen& seen, const RowTruth& expected, const std::string& what) {
  Comparison comparison;
  comparison.near(at::cat(seen.outputs), expected.output, tolerances::implementations::attention, true,
                  what + ", outputs");
  ASSERT_EQ(seen.updates.size(), expected.updates.size()) << what;
  for (size_t u = 0; u < seen.updates.size(); ++u) {
    for (size_t cell = 0; cell < seen.updates[u].size(); ++cell) {
      const HeadTruth& ours = seen.updates[u][cell];
      const HeadTruth& theirs = expected.updates[u][cell];
      const std::string where = what + ", update " + std::to_string(u) + ", cell " + std::to_string(cell);
      ASSERT_EQ(ours.positions, theirs.positions) << where;
      comparison.near(ours.ema, theirs.ema, tolerances::end_to_end::ema, true, where + ", moving averages");
      comparison.near(ours.column_sums, theirs.column_sums, tolerances::implementations::attention, true,
                      where + ", column sums");
      comparison.near(ours.key_norms, theirs.key_norms, tolerances::implementations::attention, true,
                      where + ", key norms");
      comparison.near(ours.recent_attention, theirs.recent_attention, tolerances::implementations::attention,
                      true, where + ", recent attention");
      comparison.near(ours.key_similarity, theirs.key_similarity, tolerances::implementations::attention,
                      true, where + ", key similarity");
      comparison.near(ours.expected_attention, theirs.expected_attention,
                      tolerances::implementations::attention, true, where + ", expected attention");
    }
  }
  std::printf("%s: %lld values, largest deviation %.2f of the tolerance\n", what.c_str(),
              static_cast<long long>(comparison.values), comparison.worst);
}

const ToyTransformer& toy() {
  static const ToyTransformer model({2, 4, 2, 16}, 24, 5);
  return model;
}

TEST(SessionUpdate, FeaturesEqualDenseOracleOverFourPeriods) {
  const SpectrogramConfig paper;  // window 32, hop 16
  SpectrogramConfig small;
  small.n_fft = 8;
  small.hop_length = 2;  // left context of 6 queries, more than the hop
  small.ema_coefficient = 0.9;
  for (const auto& [config, period, name] :
       {std::tuple{paper, int64_t{64}, "window 32"}, {small, int64_t{22}, "window 8, hop 2"}}) {
    // Four updates and a tail that is never scored.
    const at::Tensor input = normal({4 * period + 9, toy().hidden}, 41);
    const RowTruth expected = truth(toy(), input, period, config);
    ASSERT_EQ(expected.updates.size(), 4u);
    // Whole periods, odd chunks, token by token as in decoding.
    for (const int64_t chunk : {period, int64_t{13}, int64_t{1}}) {
      expect_true(run(toy(), {input}, {chunk}, {0}, period, config)[0], expected,
                  std::string(name) + ", chunks of " + std::to_string(chunk));
    }
  }
}

TEST(SessionUpdate, BatchOfRaggedRowsAtDifferentPhases) {
  const SpectrogramConfig config;
  const int64_t period = 64;
  std::vector<at::Tensor> inputs;
  for (const int64_t tokens : {int64_t{260}, int64_t{130}, int64_t{64}, int64_t{201}}) {
    inputs.push_back(normal({tokens, toy().hidden}, 100 + static_cast<uint64_t>(tokens)));
  }
  const std::vector<int64_t> chunk{16, 23, 64, 1}, delay{0, 2, 5, 1};
  const auto batch = run(toy(), inputs, chunk, delay, period, config);
  for (size_t i = 0; i < inputs.size(); ++i) {
    expect_true(batch[i], truth(toy(), inputs[i], period, config), "row " + std::to_string(i));
    // The same row alone gives the same bits.
    const RowSeen alone = run(toy(), {inputs[i]}, {chunk[i]}, {0}, period, config)[0];
    EXPECT_TRUE(at::equal(at::cat(batch[i].outputs), at::cat(alone.outputs))) << "row " << i;
    for (size_t u = 0; u < alone.updates.size(); ++u) {
      for (size_t cell = 0; cell < alone.updates[u].size(); ++cell) {
        EXPECT_EQ(batch[i].updates[u][cell].positions, alone.updates[u][cell].positions);
        EXPECT_TRUE(at::equal(batch[i].updates[u][cell].ema, alone.updates[u][cell].ema))
            << "row " << i << ", update " << u;
        EXPECT_TRUE(at::equal(batch[i].updates[u][cell].column_sums, alone.updates[u][cell].column_sums));
      }
    }
  }
}

// Forks come to an update with one context: its features are computed once, and are those of each alone.
TEST(SessionUpdate, ForksOfADueRowSeeWhatEachWouldAlone) {
  const SpectrogramConfig config;
  const int64_t period = 64;
  const at::Tensor first = normal({period, toy().hidden}, 8), other = normal({period, toy().hidden}, 9);
  std::vector<std::vector<at::Tensor>> seen;  // [update][layer * 3], of all rows
  SessionOptions options;
  options.shape = toy().shape;
  options.policy = std::make_shared<TestPolicy>(period, all_needs(config), stays);
  Session session(options);
  session.set_observer([&](const UpdateView& view) {
    seen.emplace_back();
    for (const LayerView& layer : view.layers)
      seen.back().insert(seen.back().end(), {layer.positions, layer.ema, layer.column_sums});
  });
  const std::vector<RowId> rows = {session.add_row(), session.add_row()};
  toy().step(session, rows, {first, other});
  std::vector<RowId> forks;
  for (const RowId row : {rows[0], rows[0], rows[1]}) forks.push_back(session.fork(row, 0, 0));
  for (const RowId row : rows) session.drop(row);
  session.update();
  // The forks read on, each its own tokens: nothing is shared at the second update.
  std::vector<at::Tensor> inputs;
  for (const uint64_t seed : {20, 21, 22}) inputs.push_back(normal({period, toy().hidden}, seed));
  toy().step(session, forks, inputs);
  session.update();
  ASSERT_EQ(seen.size(), 2u);

  const auto alone = [&](const at::Tensor& start, const at::Tensor& next) {
    return run(toy(), {at::cat({start, next})}, {period}, {0}, period, config)[0];
  };
  const std::vector<RowSeen> expected = {alone(first, inputs[0]), alone(first, inputs[1]),
                                         alone(other, inputs[2])};
  for (size_t u = 0; u < 2; ++u) {
    for (size_t l = 0; l < 2; ++l) {
      std::vector<at::Tensor> ema, sums;
      for (const RowSeen& row : expected) {
        for (size_t h = 0; h < 2; ++h) {
          ema.push_back(row.updates[u][l * 2 + h].ema);
          sums.push_back(row.updates[u][l * 2 + h].column_sums);
        }
      }
      EXPECT_TRUE(at::equal(seen[u][l * 3 + 1], at::cat(ema))) << "update " << u << ", layer " << l;
      EXPECT_TRUE(at::equal(seen[u][l * 3 + 2], at::cat(sums))) << "update " << u << ", layer " << l;
    }
  }
}

TEST(SessionUpdate, AttentionIsRoundedToBfloat16WhereConfigured) {
  SpectrogramConfig exact, rounded;
  rounded.attention_dtype = "bfloat16";
  const at::Tensor input = normal({64, toy().hidden}, 3);
  const RowSeen a = run(toy(), {input}, {64}, {0}, 64, exact)[0],
                b = run(toy(), {input}, {64}, {0}, 64, rounded)[0];
  const double difference = (a.updates[0][0].ema - b.updates[0][0].ema).abs().max().item<double>();
  EXPECT_GT(difference, 1e-6);
  EXPECT_LT(difference, 1e-2);
  EXPECT_LT((a.updates[0][0].column_sums - b.updates[0][0].column_sums).abs().max().item<double>(), 1e-1);
}

}  // namespace
}  // namespace namm::memory
