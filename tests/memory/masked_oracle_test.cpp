// A session that forgets against a float64 Transformer that holds everything and hides what was forgotten.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <c10/core/InferenceMode.h>

#include "memory/policy_list.h"
#include "tests/memory/toy_transformer.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::Comparison;
using testing::normal;
using testing::ToyTransformer;

constexpr TransformerShape kShape{2, 4, 2, 16};
constexpr int64_t kPeriod = 32, kHidden = 24;

const ToyTransformer& toy() {
  static const ToyTransformer model(kShape, kHidden, 5);
  return model;
}

// When each token leaves, by tokens read: [layer * Hk + head][position].
struct Lifetimes {
  std::vector<std::vector<int64_t>> leaves_at =
      std::vector<std::vector<int64_t>>(static_cast<size_t>(kShape.layers * kShape.kv_heads));
};

class Oracle {
 public:
  void observe(const UpdateView& view, const std::vector<KeepDecision>& decisions) {
    for (size_t l = 0; l < decisions.size(); ++l) {
      const LayerView& layer = view.layers[l];
      for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
        const RowView& row = view.rows[s / static_cast<size_t>(kShape.kv_heads)];
        Lifetimes& lifetimes = of_tag_[row.tag];
        auto& head = lifetimes.leaves_at[l * static_cast<size_t>(kShape.kv_heads) +
                                         s % static_cast<size_t>(kShape.kv_heads)];
        head.resize(static_cast<size_t>(row.tokens_processed), std::numeric_limits<int64_t>::max());
        for (int64_t i = layer.offsets[s]; i < layer.offsets[s + 1]; ++i) {
          if (!decisions[l].keep.const_data_ptr<bool>()[i])
            head[static_cast<size_t>(layer.positions.const_data_ptr<int64_t>()[i])] = row.tokens_processed;
        }
      }
    }
  }
  void fork(int64_t parent, int64_t tag) { of_tag_[tag] = of_tag_[parent]; }

  int64_t forgotten(int64_t tag) const {
    int64_t count = 0;
    const auto found = of_tag_.find(tag);
    if (found == of_tag_.end()) return 0;
    for (const auto& head : found->second.leaves_at)
      count +=
          std::ranges::count_if(head, [](int64_t at) { return at < std::numeric_limits<int64_t>::max(); });
    return count;
  }

  /// Hidden states [T, hidden] of a row's whole input [T, hidden], float64.
  at::Tensor hidden(int64_t tag, const at::Tensor& input) const {
    const int64_t tokens = input.size(0), group = kShape.group();
    at::Tensor x = input.to(at::kDouble);
    const at::Tensor positions = at::arange(tokens);
    for (int64_t l = 0; l < kShape.layers; ++l) {
      const auto project = [&](const at::Tensor& w, int64_t heads) {
        return at::matmul(x, w.to(at::kDouble)).view({tokens, heads, kShape.head_dim}).transpose(0, 1);
      };
      const auto place = static_cast<size_t>(l);
      const at::Tensor q = project(toy().wq[place], kShape.heads),
                       k = project(toy().wk[place], kShape.kv_heads),
                       v = project(toy().wv[place], kShape.kv_heads);
      std::vector<at::Tensor> attended;
      for (int64_t h = 0; h < kShape.heads; ++h) {
        at::Tensor leaves = at::full({tokens}, std::numeric_limits<int64_t>::max(), at::kLong);
        const auto found = of_tag_.find(tag);
        if (found != of_tag_.end()) {
          const auto& head = found->second.leaves_at[static_cast<size_t>(l * kShape.kv_heads + h / group)];
          leaves.narrow(0, 0, std::ssize(head)).copy_(at::tensor(head, at::kLong));
        }
        const at::Tensor hidden_ones = (positions.unsqueeze(0) > positions.unsqueeze(1))
                                           .logical_or(leaves.unsqueeze(0) <= positions.unsqueeze(1));
        const at::Tensor scores = at::matmul(q[h], k[h / group].t())
                                      .mul(toy().scale)
                                      .masked_fill(hidden_ones, -std::numeric_limits<double>::infinity());
        attended.push_back(at::matmul(at::softmax(scores, 1), v[h / group]));
      }
      x = x + at::matmul(at::cat(attended, 1), toy().wo[place].to(at::kDouble));
    }
    return x;
  }

 private:
  std::map<int64_t, Lifetimes> of_tag_;
};

PolicyArguments arguments(const std::string& policy, const std::string& heads,
                          std::shared_ptr<const RecordedCounts> recorded) {
  PolicyArguments result;
  result.config.period_tokens = kPeriod;
  result.config.heads = heads;
  result.config.scorer = policy == "namm-mix" ? "mix" : "bam";
  result.config.snapkv_window_tokens = 8;
  result.config.mix.recent_tokens = 4;
  if (result.config.has_own_transformer()) result.config.transformer = {kShape.layers, kShape.kv_heads};
  result.parameters = normal({1, result.config.parameters()}, 9) * 0.2;
  result.statistics.accumulate(spectral_features(normal({500, 17}, 10).abs() * 0.05, result.config.spectral));
  for (const int64_t bias : result.config.score_biases()) result.parameters.select(1, bias).fill_(0);
  result.budget = Budget::of_fraction(0.4);
  result.recorded = std::move(recorded);
  return result;
}

struct Row {
  RowId id;
  int64_t tag;
  at::Tensor input;  // all of it
  int64_t read = 0;
  std::vector<at::Tensor> hidden;
};

struct Seen {
  std::map<int64_t, at::Tensor> hidden;  // by tag
  RecordedCounts counts;
  int64_t forgotten = 0;
};

// Contexts of ragged lengths in steps of all rows, two forks of each, then 40 tokens one by one, across an
// update.
Seen run(const std::string& policy, const std::string& heads, const std::vector<int64_t>& tags,
         std::shared_ptr<const RecordedCounts> recorded, Comparison& comparison) {
  SessionOptions options;
  options.shape = kShape;
  options.policy = make_policy(policy, arguments(policy, heads, std::move(recorded)));
  Session session(options);
  Oracle oracle;
  session.set_decision_observer([&](const UpdateView& view, const std::vector<KeepDecision>& decisions) {
    oracle.observe(view, decisions);
  });
  std::vector<Row> rows;
  for (const int64_t tag : tags) {
    const int64_t context = 70 + 23 * tag;
    rows.push_back({session.add_row(0, tag), tag, normal({context + 40, kHidden}, 100 + tag), 0, {}});
  }
  const auto step = [&](int64_t most, const std::function<int64_t(const Row&)>& end) {
    std::vector<Row*> in_step;
    std::vector<RowId> ids;
    std::vector<at::Tensor> x;
    for (Row& row : rows) {
      const int64_t count = std::min({most, end(row) - row.read, session.tokens_until_update(row.id)});
      if (count <= 0) continue;
      in_step.push_back(&row);
      ids.push_back(row.id);
      x.push_back(row.input.narrow(0, row.read, count));
    }
    if (ids.empty()) return false;
    const std::vector<at::Tensor> out = toy().step(session, ids, x);
    session.update();
    for (size_t i = 0; i < in_step.size(); ++i) {
      in_step[i]->hidden.push_back(out[i]);
      in_step[i]->read += out[i].size(0);
    }
    return true;
  };
  const auto context_end = [](const Row& row) { return row.input.size(0) - 40; };
  while (step(27, context_end)) {
  }
  const size_t contexts = rows.size();
  for (size_t i = 0; i < contexts; ++i) {
    Row fork = rows[i];
    fork.tag += 1000;
    fork.id = session.fork(rows[i].id, 0, fork.tag);
    oracle.fork(rows[i].tag, fork.tag);
    fork.input = at::cat({fork.input.narrow(0, 0, fork.read), normal({40, kHidden}, 500 + fork.tag)});
    rows.push_back(fork);
  }
  while (step(1, [](const Row& row) { return row.input.size(0); })) {
  }
  Seen seen;
  for (const Row& row : rows) {
    const at::Tensor ours = at::cat(row.hidden);
    comparison.near(ours, oracle.hidden(row.tag, row.input), tolerances::other_program::logits, true,
                    policy + " " + heads + ", row " + std::to_string(row.tag));
    seen.hidden[row.tag] = ours;
    seen.counts.rows[row.tag] = session.kept_history(row.id);
    seen.forgotten += oracle.forgotten(row.tag);
  }
  return seen;
}

TEST(MaskedOracle, ForgettingEqualsHidingUnderEveryPolicy) {
  const c10::InferenceMode guard;
  const std::vector<int64_t> tags = {3, 1, 5, 2, 4};
  Comparison comparison;
  auto recorded = std::make_shared<RecordedCounts>(run("namm", "ragged", tags, nullptr, comparison).counts);
  int64_t forgotten = 0;
  for (const std::string& policy : policy_names()) {
    for (const std::string heads : {"ragged", "parity"}) {
      if (heads == "parity" && policy != "namm") continue;
      const Seen together = run(policy, heads, tags, recorded, comparison);
      if (policy == "full") {
        EXPECT_EQ(together.forgotten, 0);
      } else {
        EXPECT_GT(together.forgotten, 0) << policy;
      }
      forgotten += together.forgotten;
      // A batch of one takes the same decisions; a fork is a row like any other.
      for (const int64_t tag : tags) {
        const Seen alone = run(policy, heads, {tag}, recorded, comparison);
        for (const int64_t row : {tag, tag + 1000}) {
          EXPECT_EQ(alone.counts.rows.at(row), together.counts.rows.at(row)) << policy << ", row " << row;
          EXPECT_TRUE(at::equal(alone.hidden.at(row), together.hidden.at(row))) << policy << ", row " << row;
        }
      }
    }
  }
  std::printf(
      "%lld numbers compared, %lld tokens of heads forgotten, largest deviation %.2f of the tolerance\n",
      static_cast<long long>(comparison.values), static_cast<long long>(forgotten), comparison.worst);
}

}  // namespace
}  // namespace namm::memory
