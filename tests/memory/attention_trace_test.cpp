#include "memory/attention_trace.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/memory/dense_attention.h"
#include "tests/memory/toy_transformer.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::normal;
using testing::ToyTransformer;

constexpr int64_t kPeriod = 16;

NammConfig small_config() {
  NammConfig config;
  config.period_tokens = kPeriod;
  config.spectrogram = {.n_fft = 8, .hop_length = 4};
  return config;
}

// Group-mean attention [queries, keys] of every (layer, KV head), by a float64 pass that holds all of it.
std::vector<at::Tensor> whole_attention(const ToyTransformer& model, const at::Tensor& input) {
  const TransformerShape& shape = model.shape;
  const int64_t tokens = input.size(0), group = shape.group();
  const at::Tensor positions = at::arange(tokens, at::kLong);
  std::vector<at::Tensor> cells;
  at::Tensor x = input.to(at::kDouble);
  for (int64_t l = 0; l < shape.layers; ++l) {
    const auto project = [&](const at::Tensor& w, int64_t heads) {
      return at::matmul(x, w.to(at::kDouble)).view({tokens, heads, shape.head_dim});
    };
    const at::Tensor q = project(model.wq[l], shape.heads), k = project(model.wk[l], shape.kv_heads),
                     v = project(model.wv[l], shape.kv_heads);
    std::vector<at::Tensor> outputs;
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      const auto dense = testing::dense_attention(q.narrow(1, h * group, group), positions, k.select(1, h),
                                                  v.select(1, h), positions, model.scale);
      cells.push_back(dense.probabilities.mean(0));
      outputs.push_back(dense.output);
    }
    x = x + at::matmul(at::cat(outputs, 1).reshape({tokens, -1}), model.wo[l].to(at::kDouble));
  }
  return cells;
}

// Reads `input` in a row, a period at a time.
void read(const ToyTransformer& model, Session& session, RowId row, const at::Tensor& input) {
  for (int64_t start = 0; start < input.size(0);) {
    const int64_t count = std::min(session.tokens_until_update(row), input.size(0) - start);
    model.step(session, {row}, {input.narrow(0, start, count)});
    session.update();
    start += count;
  }
}

class AttentionTraceTest : public ::testing::TestWithParam<Backend> {
 protected:
  const TransformerShape shape_{.layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 8};
  const ToyTransformer model_{shape_, 24, 5};
  SessionOptions options_{.shape = shape_, .backend = GetParam(), .policy = {}};
};

INSTANTIATE_TEST_SUITE_P(Backends, AttentionTraceTest,
                         ::testing::Values(Backend::automatic, Backend::reference), [](const auto& backend) {
                           return backend.param == Backend::reference ? "reference" : "automatic";
                         });

// A context of two periods and a half, and two questions about it.
TEST_P(AttentionTraceTest, EqualsDenseAttention) {
  constexpr int64_t kContext = 2 * kPeriod + 8;
  const at::Tensor context = normal({kContext, model_.hidden}, 90) * 2;
  const std::vector<at::Tensor> questions = {normal({5, model_.hidden}, 91), normal({3, model_.hidden}, 92)};
  const NammConfig config = small_config();
  FeatureStatistics statistics;
  statistics.accumulate(normal({50, config.spectral_count()}, 93));

  AttentionTrace trace(config, statistics, [](int64_t, int64_t, int64_t) { return true; });
  const NammPolicy policy(config, at::zeros({1, config.parameters()}), statistics);
  std::vector<at::Tensor> features;
  Session session(AttentionTrace::context_options(options_, config));
  session.set_observer([&](const UpdateView& view) {
    trace.add_update(view);
    for (const LayerView& layer : view.layers) features.push_back(policy.features(view, layer).clone());
  });
  const RowId row = session.add_row();
  read(model_, session, row, context.narrow(0, 0, 2 * kPeriod));
  EXPECT_THROW(
      {
        model_.step(session, {row}, {context.narrow(0, 2 * kPeriod, 1)});
        AttentionTrace::bare(session.state(row));
      },
      c10::Error)
      << "a row in the middle of a period";
  session.drop(row);
  const RowId again = session.add_row();
  session.set_observer({});
  read(model_, session, again, context.narrow(0, 0, 2 * kPeriod));

  Session rest(AttentionTrace::rest_options(options_, kContext));
  rest.set_observer([&](const UpdateView& view) { trace.add_rest(view); });
  const RowId whole = rest.adopt(AttentionTrace::bare(session.state(again)));
  read(model_, rest, whole, context.narrow(0, 2 * kPeriod, kContext - 2 * kPeriod));
  for (const at::Tensor& question : questions) {
    Session asked(AttentionTrace::rest_options(options_, kContext + question.size(0)));
    asked.set_observer([&](const UpdateView& view) { trace.add_answering(view); });
    read(model_, asked, asked.adopt(AttentionTrace::bare(rest.state(whole))), question);
  }

  const std::vector<TracedHead> heads = trace.take();
  ASSERT_EQ(heads.size(), 2u * 2 * 2);
  const std::vector<at::Tensor> alone = whole_attention(model_, context);
  std::vector<std::vector<at::Tensor>> asked;
  for (const at::Tensor& question : questions)
    asked.push_back(whole_attention(model_, at::cat({context, question})));
  for (size_t i = 0; i < heads.size(); ++i) {
    const TracedHead& head = heads[i];
    EXPECT_EQ(head.update, static_cast<int64_t>(i) / 4);
    EXPECT_EQ(head.layer, static_cast<int64_t>(i) / 2 % 2);
    EXPECT_EQ(head.kv_head, static_cast<int64_t>(i) % 2);
    const int64_t n = (head.update + 1) * kPeriod;
    const size_t cell = static_cast<size_t>(head.layer * 2 + head.kv_head);
    const auto between = [&](const at::Tensor& attention, int64_t begin, int64_t end) {
      return attention.narrow(0, begin, end - begin).narrow(1, 0, n).sum(0);
    };
    const auto near = [&](const at::Tensor& ours, const at::Tensor& truth, const char* what) {
      ASSERT_EQ(ours.sizes(), truth.sizes());
      EXPECT_FALSE(ours.is_inference()) << what;
      EXPECT_LT((ours - truth).abs().max().item<double>(), 20 * tolerances::implementations::attention)
          << what << ", update " << head.update << ", layer " << head.layer << ", head " << head.kv_head;
    };
    near(head.received, between(alone[cell], 0, n), "received");
    near(head.recent, between(alone[cell], n - kPeriod, n), "recent");
    near(head.later, between(alone[cell], n, kContext), "later");
    near(head.answering,
         between(asked[0][cell], kContext, kContext + 5) + between(asked[1][cell], kContext, kContext + 3),
         "answering");
    EXPECT_EQ(head.later_queries, kContext - n);
    EXPECT_EQ(head.answering_queries, 8);
    EXPECT_TRUE(at::equal(head.features, features[static_cast<size_t>(head.update * 2 + head.layer)].narrow(
                                             0, head.kv_head * n, n)));
  }
}

TEST_P(AttentionTraceTest, RecordsTheChosenHeadsAlone) {
  const NammConfig config = small_config();
  const at::Tensor context = normal({3 * kPeriod, model_.hidden}, 94);
  const auto traced = [&](AttentionTrace::Choice choice) {
    AttentionTrace trace(config, {}, std::move(choice));
    Session session(AttentionTrace::context_options(options_, config));
    session.set_observer([&](const UpdateView& view) { trace.add_update(view); });
    read(model_, session, session.add_row(), context);
    return trace.take();
  };
  const auto all = traced([](int64_t, int64_t, int64_t) { return true; });
  const auto one = traced(
      [](int64_t update, int64_t layer, int64_t head) { return update == 1 && layer == 1 && head == 0; });
  ASSERT_EQ(all.size(), 3u * 2 * 2);
  ASSERT_EQ(one.size(), 1u);
  const TracedHead& same = all[1 * 4 + 1 * 2 + 0];
  EXPECT_TRUE(at::equal(one[0].features, same.features));
  EXPECT_TRUE(at::equal(one[0].received, same.received));
  EXPECT_TRUE(at::equal(one[0].later, same.later));
  EXPECT_EQ(one[0].later_queries, kPeriod);
}

}  // namespace
}  // namespace namm::memory
