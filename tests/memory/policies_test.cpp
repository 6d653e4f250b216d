#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "memory/policies/adakv.h"
#include "memory/policies/expected_attention.h"
#include "memory/policies/h2o.h"
#include "memory/policies/keydiff.h"
#include "memory/policies/l2.h"
#include "memory/policies/namm.h"
#include "memory/policies/namm_mix.h"
#include "memory/policies/random.h"
#include "memory/policies/recency.h"
#include "memory/policies/snapkv.h"
#include "memory/policies/tova.h"
#include "memory/policy_list.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using Indices = std::vector<int64_t>;

const TransformerShape kShape{.layers = 3, .heads = 4, .kv_heads = 2, .head_dim = 8};

// A row with made-up tokens: a function of its tag alone, so that it is the same in every batch.
struct Row {
  RowView view;
  std::vector<at::Tensor> positions, ema, column_sums, key_norms, recent_attention, key_similarity,
      expected_attention;  // [layer * Hk + head]
};

Row make_row(int64_t tag, int64_t member, int64_t tokens) {
  Row row;
  row.view = {.member = member, .tag = tag, .tokens_processed = tokens, .update = tokens / 64 - 1};
  at::manual_seed(static_cast<uint64_t>(1000 + tag));
  for (int64_t s = 0; s < kShape.layers * kShape.kv_heads; ++s) {
    // Every head has lost other tokens; the first four and the newest are always there.
    const at::Tensor all = at::arange(tokens);
    const at::Tensor here = (at::rand({tokens}) < 0.2 + 0.1 * static_cast<double>(s))
                                .logical_or(all < 4)
                                .logical_or(all == tokens - 1);
    const at::Tensor positions = all.masked_select(here);
    row.positions.push_back(positions);
    row.ema.push_back(at::rand({positions.size(0), 32}));
    row.column_sums.push_back(at::rand({positions.size(0)}));
    row.key_norms.push_back(at::rand({positions.size(0)}));
    row.recent_attention.push_back(at::rand({positions.size(0)}));
    row.key_similarity.push_back(at::rand({positions.size(0)}));
    row.expected_attention.push_back(at::rand({positions.size(0)}));
  }
  return row;
}

// `spectral`: kind of features that the averages are for.
UpdateView make_view(const std::vector<Row>& rows, const std::string& spectral = "magnitude") {
  UpdateView view;
  view.shape = kShape;
  view.token_bytes = 64;
  for (const Row& row : rows) view.rows.push_back(row.view);
  for (int64_t l = 0; l < kShape.layers; ++l) {
    LayerView layer;
    layer.layer = l;
    layer.offsets = {0};
    std::vector<at::Tensor> positions, ema, sums, norms, recent, similarity, expected;
    for (const Row& row : rows) {
      for (int64_t h = 0; h < kShape.kv_heads; ++h) {
        const auto s = static_cast<size_t>(l * kShape.kv_heads + h);
        positions.push_back(row.positions[s]);
        ema.push_back(spectral == "complex" ? row.ema[s] : row.ema[s].narrow(1, 0, 17));
        sums.push_back(row.column_sums[s]);
        norms.push_back(row.key_norms[s]);
        recent.push_back(row.recent_attention[s]);
        similarity.push_back(row.key_similarity[s]);
        expected.push_back(row.expected_attention[s]);
        layer.offsets.push_back(layer.offsets.back() + row.positions[s].size(0));
      }
    }
    layer.positions = at::cat(positions);
    layer.ema = at::cat(ema);
    layer.column_sums = at::cat(sums);
    layer.key_norms = at::cat(norms);
    layer.recent_attention = at::cat(recent);
    layer.key_similarity = at::cat(similarity);
    layer.expected_attention = at::cat(expected);
    view.layers.push_back(layer);
  }
  return view;
}

std::vector<Row> some_rows() {
  return {make_row(3, 0, 128), make_row(5, 1, 256), make_row(11, 0, 64)};
}

// Kept positions of row r, [layer * Hk + head].
std::vector<Indices> kept_of_row(const UpdateView& view, const std::vector<KeepDecision>& decisions,
                                 size_t r) {
  std::vector<Indices> result;
  for (size_t l = 0; l < view.layers.size(); ++l) {
    for (int64_t h = 0; h < kShape.kv_heads; ++h) {
      const size_t s = r * static_cast<size_t>(kShape.kv_heads) + static_cast<size_t>(h);
      Indices kept;
      for (int64_t i = view.layers[l].offsets[s]; i < view.layers[l].offsets[s + 1]; ++i) {
        if (decisions[l].keep[i].item<bool>()) kept.push_back(view.layers[l].positions[i].item<int64_t>());
      }
      result.push_back(kept);
    }
  }
  return result;
}

// A policy and the kind of memory it is made from, where there is a choice.
struct Subject {
  std::string policy;
  std::string scorer = "bam";
  std::string sharing = "shared";
  std::string spectral = "magnitude";
  double keep_fraction = 0;
};

PolicyArguments arguments(const Subject& subject = {}) {
  PolicyArguments result;
  result.config.period_tokens = 64;
  result.config.bam.hidden_dim = 8;
  result.config.scorer = subject.policy == "namm-mix" ? "mix" : subject.scorer;
  result.config.sharing = subject.sharing;
  result.config.spectral = subject.spectral;
  result.config.mix.recent_tokens = 8;
  result.config.mix.keep_fraction = subject.keep_fraction;
  if (result.config.has_own_transformer()) {
    result.config.transformer.layers = kShape.layers;
    result.config.transformer.kv_heads = kShape.kv_heads;
  }
  at::manual_seed(21);
  result.parameters = at::randn({2, result.config.parameters()}) * 0.2;
  for (const int64_t bias : result.config.score_biases()) result.parameters.select(1, bias).fill_(0.1);
  result.statistics.accumulate(
      spectral_features(at::rand({500, subject.spectral == "complex" ? 32 : 17}), subject.spectral));
  auto recorded = std::make_shared<RecordedCounts>();
  for (const Row& row : some_rows()) {
    for (int64_t update = 0; update <= row.view.update; ++update) {
      Indices counts;
      for (const at::Tensor& positions : row.positions)
        counts.push_back(1 + positions.size(0) * (update + 1) / 8);
      recorded->rows[row.view.tag].push_back(counts);
    }
  }
  result.recorded = recorded;
  return result;
}

class PolicyConformance : public ::testing::TestWithParam<Subject> {
 protected:
  const std::string& name() const { return GetParam().policy; }
  PolicyArguments given() const { return arguments(GetParam()); }
  UpdateView view_of(const std::vector<Row>& rows) const { return make_view(rows, GetParam().spectral); }
  std::shared_ptr<const EvictionPolicy> make(const PolicyArguments& with) const {
    return make_policy(name(), with);
  }
};

// Every policy of the list, and the members of NAMM's family.
std::vector<Subject> subjects() {
  std::vector<Subject> result;
  for (const std::string& policy : policy_names()) result.push_back({policy});
  for (const std::string policy : {"namm", "namm-topk"}) {
    for (const std::string scorer : {"bam", "mlp", "linear"}) {
      for (const std::string sharing : {"shared", "per_layer", "per_head"}) {
        for (const std::string& spectral : spectral_feature_kinds())
          result.push_back({policy, scorer, sharing, spectral});
      }
    }
  }
  for (const std::string& spectral : spectral_feature_kinds()) {
    for (const double fraction : {0.0, 0.4})
      result.push_back({"namm-mix", "mix", "shared", spectral, fraction});
  }
  return result;
}

TEST_P(PolicyConformance, DecisionsAreConsistent) {
  const auto policy = make(given());
  EXPECT_EQ(policy->name(), name());
  const UpdateView view = view_of(some_rows());
  const std::vector<KeepDecision> decisions = policy->decide(view);
  ASSERT_EQ(decisions.size(), view.layers.size());
  for (size_t l = 0; l < decisions.size(); ++l) {
    const KeepDecision& decision = decisions[l];
    ASSERT_EQ(decision.keep.scalar_type(), at::kBool);
    ASSERT_EQ(decision.keep.sizes(), (Indices{view.layers[l].offsets.back()}));
    ASSERT_EQ(decision.lengths.scalar_type(), at::kInt);
    ASSERT_EQ(decision.lengths.sizes(), (Indices{3, kShape.kv_heads}));
    for (size_t s = 0; s + 1 < view.layers[l].offsets.size(); ++s) {
      const int64_t begin = view.layers[l].offsets[s], end = view.layers[l].offsets[s + 1];
      EXPECT_EQ(decision.lengths.view({-1})[static_cast<int64_t>(s)].item<int64_t>(),
                decision.keep.narrow(0, begin, end - begin).sum().item<int64_t>());
      EXPECT_TRUE(decision.keep[end - 1].item<bool>()) << "the newest token must stay";
    }
  }
}

TEST_P(PolicyConformance, TheSameViewGivesTheSameDecision) {
  const UpdateView view = view_of(some_rows());
  const auto first = make(given())->decide(view), second = make(given())->decide(view);
  for (size_t l = 0; l < first.size(); ++l) EXPECT_TRUE(at::equal(first[l].keep, second[l].keep));
}

TEST_P(PolicyConformance, NeitherOrderNorCompanyOfARowMatters) {
  const auto policy = make(given());
  const std::vector<Row> rows = some_rows();
  const UpdateView together = view_of(rows), turned = view_of({rows[2], rows[0], rows[1]});
  const auto kept_together = policy->decide(together), kept_turned = policy->decide(turned);
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto expected = kept_of_row(together, kept_together, r);
    EXPECT_EQ(kept_of_row(turned, kept_turned, (r + 1) % 3), expected) << "row " << r << " in another order";
    const UpdateView alone = view_of({rows[r]});
    EXPECT_EQ(kept_of_row(alone, policy->decide(alone), 0), expected) << "row " << r << " alone";
  }
}

// Memories give scores: a row's do not change by a bit with the rows beside it, and the reference backend's
// are within rounding.
TEST_P(PolicyConformance, ScoresAreTheRowsOwn) {
  const auto policy = make(given());
  const std::vector<Row> rows = some_rows();
  const UpdateView together = view_of(rows);
  UpdateView plain = together;
  plain.backend = Backend::reference;
  const auto all = policy->decide(together), exact = policy->decide(plain);
  if (!all[0].scores.defined()) {
    EXPECT_FALSE(needs_memory(name()));
    return;
  }
  namm::testing::Comparison compared;
  for (size_t l = 0; l < all.size(); ++l)
    compared.near(all[l].scores, exact[l].scores, tolerances::implementations::scores, true, "scores");
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto alone = policy->decide(view_of({rows[r]}));
    for (size_t l = 0; l < all.size(); ++l) {
      const std::vector<int64_t>& offsets = together.layers[l].offsets;
      const size_t first = r * static_cast<size_t>(kShape.kv_heads);
      const int64_t begin = offsets[first], end = offsets[first + static_cast<size_t>(kShape.kv_heads)];
      EXPECT_TRUE(at::equal(alone[l].scores, all[l].scores.narrow(0, begin, end - begin)))
          << "row " << r << ", layer " << l;
    }
  }
}

TEST_P(PolicyConformance, ABudgetIsSpentAndNeverPassed) {
  if (!takes_budget(name())) GTEST_SKIP() << "takes no budget";
  const UpdateView view = view_of(some_rows());
  using Kind = Budget::Kind;
  for (const Budget& budget :
       {Budget::match_namm(), Budget{Kind::match_namm_layers, 0, 0}, Budget{Kind::match_namm_heads, 0, 0},
        Budget::of_tokens(1), Budget::of_tokens(2), Budget::of_tokens(9), Budget::of_tokens(10000),
        Budget::of_fraction(0.25), Budget::of_bytes(6 * 64 * 7 + 70)}) {
    PolicyArguments with = given();
    with.budget = budget;
    const std::vector<KeepDecision> decisions = make(with)->decide(view);
    // namm-counts-random brings its own.
    const Budget spent = name() == "namm-counts-random" ? Budget{Kind::match_namm_heads, 0, 0} : budget;
    for (size_t r = 0; r < view.rows.size(); ++r) {
      const Indices allowed =
          budget_counts(spent, with.recorded.get(), view.rows[r], kShape, view.token_bytes);
      // Over what a policy may split its budget otherwise: nothing, the heads of a layer, or all of them.
      std::map<int64_t, std::array<int64_t, 3>> groups;  // kept, budget, tokens there are
      for (size_t l = 0; l < decisions.size(); ++l) {
        for (int64_t h = 0; h < kShape.kv_heads; ++h) {
          const size_t s = r * static_cast<size_t>(kShape.kv_heads) + static_cast<size_t>(h);
          const size_t place = l * static_cast<size_t>(kShape.kv_heads) + static_cast<size_t>(h);
          auto& [kept, budgeted, tokens] = groups[name() == "pyramidkv" ? 0
                                                  : name() == "adakv"   ? static_cast<int64_t>(l)
                                                                        : static_cast<int64_t>(place)];
          const int64_t length = view.layers[l].offsets[s + 1] - view.layers[l].offsets[s];
          kept += decisions[l].lengths[static_cast<int64_t>(r)][h].item<int64_t>();
          budgeted += std::max<int64_t>(1, allowed[place]);
          tokens += length;
        }
      }
      for (const auto& [group, numbers] : groups)
        EXPECT_EQ(numbers[0], std::min(numbers[1], numbers[2])) << budget.text() << ", group " << group;
    }
  }
}

// Whatever the budget, and within it where it suffices.
TEST_P(PolicyConformance, ProtectedTokensStay) {
  const Protection protection{.sinks = 3, .recent_tokens = 2, .text = {}};
  const std::vector<TokenSpan> spans = {{5, 9}, {30, 41}};
  UpdateView view = view_of(some_rows());
  for (LayerView& layer : view.layers) {
    std::vector<at::Tensor> parts;
    for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
      const RowView& row = view.rows[s / static_cast<size_t>(kShape.kv_heads)];
      parts.push_back(protected_tokens(
          layer.positions.narrow(0, layer.offsets[s], layer.offsets[s + 1] - layer.offsets[s]),
          row.tokens_processed, protection, spans));
    }
    layer.protected_tokens = at::cat(parts);
  }
  for (const Budget& budget : {Budget::of_tokens(1), Budget::of_tokens(15), Budget::of_fraction(0.5)}) {
    PolicyArguments with = given();
    with.budget = budget;
    with.config.cache_cap = 2;  // namm's own limit
    const std::vector<KeepDecision> decisions = make(with)->decide(view);
    for (size_t l = 0; l < decisions.size(); ++l) {
      const LayerView& layer = view.layers[l];
      const KeepDecision& decision = decisions[l];
      EXPECT_FALSE(layer.protected_tokens.logical_and(decision.keep.logical_not()).any().item<bool>());
      // Only these spend their budget head by head.
      const std::set<std::string> others = {"full",  "namm",      "namm-mix",
                                            "adakv", "pyramidkv", "namm-counts-random"};
      if (others.contains(name())) continue;
      for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
        const int64_t begin = layer.offsets[s], length = layer.offsets[s + 1] - begin;
        const auto place = static_cast<int64_t>(s);
        const auto heads = static_cast<size_t>(kShape.kv_heads);
        const int64_t guarded = layer.protected_tokens.narrow(0, begin, length).sum().item<int64_t>();
        const int64_t allowed =
            budget_counts(budget, nullptr, view.rows[s / heads], kShape, view.token_bytes)[0];
        EXPECT_EQ(decision.lengths.view({-1})[place].item<int64_t>(),
                  std::min(length, std::max(allowed, guarded)));
        EXPECT_EQ(decision.excess.view({-1})[place].item<int64_t>(), std::max<int64_t>(0, guarded - allowed));
      }
    }
  }
}

TEST_P(PolicyConformance, ARowOfOneTokenKeepsIt) {
  Row row = make_row(3, 0, 64);
  for (auto* tensors : {&row.positions, &row.ema, &row.column_sums, &row.key_norms, &row.recent_attention,
                        &row.key_similarity, &row.expected_attention}) {
    for (at::Tensor& tensor : *tensors) tensor = tensor.narrow(0, tensor.size(0) - 1, 1);
  }
  const UpdateView view = view_of({row});
  for (const KeepDecision& decision : make(given())->decide(view))
    EXPECT_TRUE(decision.keep.all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(Policies, PolicyConformance, ::testing::ValuesIn(subjects()),
                         [](const auto& subject) {
                           const Subject& s = subject.param;
                           std::string name = std::to_string(subject.index) + "_" + s.policy;
                           if (needs_memory(s.policy))
                             name += "_" + s.scorer + "_" + s.sharing + "_" + s.spectral;
                           if (s.keep_fraction > 0) name += "_share";
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// One segment of n tokens.
UpdateView single(int64_t n, const at::Tensor& column_sums = {}, const at::Tensor& key_norms = {}) {
  UpdateView view;
  view.shape = {.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 1};
  view.rows.push_back({.tag = 4, .tokens_processed = n});
  LayerView layer;
  layer.offsets = {0, n};
  layer.positions = at::arange(n);
  layer.column_sums = column_sums;
  layer.key_norms = key_norms;
  view.layers.push_back(layer);
  return view;
}

Indices keep(const EvictionPolicy& policy, const UpdateView& view) {
  const at::Tensor kept = policy.decide(view).front().keep.nonzero().view({-1});
  return {kept.const_data_ptr<int64_t>(), kept.const_data_ptr<int64_t>() + kept.numel()};
}

BaselineArguments tokens(int64_t count) {
  return {.period_tokens = 16, .budget = Budget::of_tokens(count), .recorded = {}};
}

TEST(RecencyPolicy, SinksAndTheNewest) {
  EXPECT_EQ(keep(RecencyPolicy(tokens(6), 4), single(10)), (Indices{0, 1, 2, 3, 8, 9}));
  EXPECT_EQ(keep(RecencyPolicy(tokens(6), 0), single(10)), (Indices{4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(keep(RecencyPolicy(tokens(3), 4), single(10)), (Indices{0, 1, 9}));
  EXPECT_EQ(keep(RecencyPolicy(tokens(1), 4), single(10)), (Indices{9}));
  // Two of the sinks are gone: their places go to the window.
  UpdateView later = single(8);
  later.layers[0].positions = at::tensor({0, 1, 10, 11, 12, 13, 14, 15}, at::kLong);
  EXPECT_EQ(keep(RecencyPolicy(tokens(6), 4), later), (Indices{0, 1, 4, 5, 6, 7}));
}

TEST(H2oPolicy, HalfHeavyHittersHalfRecent) {
  const at::Tensor sums = at::tensor({1.f, 9.f, 2.f, 8.f, 3.f, 7.f, 0.f, 0.f});
  EXPECT_EQ(keep(H2oPolicy(tokens(4), 0.5), single(8, sums)), (Indices{1, 3, 6, 7}));
  EXPECT_EQ(keep(H2oPolicy(tokens(5), 0.5), single(8, sums)), (Indices{1, 3, 5, 6, 7}));
  EXPECT_EQ(keep(H2oPolicy(tokens(3), 0), single(8, sums)), (Indices{1, 3, 7})) << "the newest token stays";
  EXPECT_EQ(keep(H2oPolicy(tokens(1), 0.5), single(8, sums)), (Indices{7}));
  // The newest token always stays here, within the budget: heavy 2 + recent 0 is not to be had.
  EXPECT_EQ(keep(H2oPolicy(tokens(2), 0), single(5, at::tensor({1.9f, 2.1f, 0.7f, 0.2f, 0.1f}))),
            (Indices{1, 4}));
  EXPECT_TRUE(H2oPolicy(tokens(4), 0.5).needs().column_sums);
  EXPECT_FALSE(H2oPolicy(tokens(4), 0.5).needs().spectrogram.has_value());
}

// Public reports memory-07 and memory-08: column sums over all queries of the five.
TEST(H2oPolicy, SumsOfThePublicReport) {
  const at::Tensor sums = at::tensor({1.9f, 2.1f, 0.7f, 0.2f, 0.1f});
  EXPECT_EQ(keep(H2oPolicy(tokens(3), 0), single(5, sums)), (Indices{0, 1, 4}));
}

UpdateView recently_attended(const at::Tensor& attention) {
  UpdateView view = single(attention.size(0));
  view.layers[0].recent_attention = attention;
  return view;
}

// Public report memory-08: the last query alone, and the last two, keep other tokens than the sums over all
// queries. The newest token stays beside them.
TEST(TovaPolicy, TheLastQueryOfThePublicReport) {
  EXPECT_EQ(keep(TovaPolicy(tokens(3)), recently_attended(at::tensor({0.2f, 0.1f, 0.5f, 0.1f, 0.1f}))),
            (Indices{0, 2, 4}));
  EXPECT_EQ(TovaPolicy(tokens(3)).needs().recent_queries, 1);
}

TEST(TovaPolicy, HeadsOfALayerDecideTogether) {
  UpdateView view = single(4);
  view.shape = {.layers = 1, .heads = 2, .kv_heads = 2, .head_dim = 1};
  LayerView& layer = view.layers[0];
  // Head 1 has lost token 1; token 2 is what both heads together attend to most.
  layer.offsets = {0, 4, 7};
  layer.positions = at::tensor({0, 1, 2, 3, 0, 2, 3}, at::kLong);
  layer.recent_attention = at::tensor({0.5f, 0.2f, 0.2f, 0.1f, 0.1f, 0.8f, 0.1f});
  EXPECT_EQ(keep(TovaPolicy(tokens(2)), view), (Indices{2, 3, 5, 6}));
}

TEST(SnapKvPolicy, TheWindowOfThePublicReport) {
  const at::Tensor sums = at::tensor({0.3f, 0.8f, 0.6f, 0.2f, 0.1f});
  EXPECT_EQ(keep(SnapKvPolicy(tokens(3), 1, 1), recently_attended(sums)), (Indices{1, 2, 4}));
  EXPECT_EQ(keep(SnapKvPolicy(tokens(4), 2, 1), recently_attended(sums)), (Indices{1, 2, 3, 4}));
  EXPECT_EQ(SnapKvPolicy(tokens(4), 2, 1).needs().recent_queries, 2);
}

TEST(SnapKvPolicy, PoolsOverNeighboursBeforeTheWindow) {
  // Means of three: 1/3, 4/3, 4/3, 4/3, 5/3, 4/3 | window; the window's own attention is nobody's neighbour.
  const at::Tensor sums = at::tensor({1.f, 0.f, 3.f, 1.f, 0.f, 4.f, 50.f, 50.f});
  EXPECT_EQ(keep(SnapKvPolicy(tokens(3), 2, 3), recently_attended(sums)), (Indices{4, 6, 7}));
  EXPECT_EQ(keep(SnapKvPolicy(tokens(3), 2, 1), recently_attended(sums)), (Indices{5, 6, 7}));
  EXPECT_EQ(keep(SnapKvPolicy(tokens(1), 2, 3), recently_attended(sums)), (Indices{7}))
      << "a window beyond the budget";
  EXPECT_THROW(SnapKvPolicy(tokens(1), 2, 4), c10::Error);
}

// Two heads of a layer, five tokens each, windows of one: scores of the older four.
UpdateView two_heads(const at::Tensor& attention) {
  UpdateView view = single(5);
  view.shape = {.layers = 1, .heads = 2, .kv_heads = 2, .head_dim = 1};
  LayerView& layer = view.layers[0];
  layer.offsets = {0, 5, 10};
  layer.positions = at::arange(5).repeat({2});
  layer.recent_attention = attention;
  return view;
}

TEST(AdaKvPolicy, TheBestTokensOfAllHeadsShareTheBudget) {
  const UpdateView view = two_heads(at::tensor({0.1f, 0.2f, 0.1f, 0.05f, 1.f, 0.9f, 0.8f, 0.7f, 0.6f, 1.f}));
  // Three tokens a head: the windows, then the four best of the other eight, all of head 1.
  EXPECT_EQ(keep(AdaKvPolicy(tokens(3), 1, 1, 0), view), (Indices{4, 5, 6, 7, 8, 9}));
  // Half of what is beyond the window stays each head's own.
  EXPECT_EQ(keep(AdaKvPolicy(tokens(3), 1, 1, 0.5), view), (Indices{1, 4, 5, 6, 7, 9}));
  EXPECT_EQ(keep(AdaKvPolicy(tokens(3), 1, 1, 1), view), (Indices{0, 1, 4, 5, 6, 9}));
  EXPECT_EQ(keep(SnapKvPolicy(tokens(3), 1, 1), view), (Indices{0, 1, 4, 5, 6, 9}));
  EXPECT_THROW(AdaKvPolicy(tokens(3), 1, 1, 1.5), c10::Error);
}

// Heads part after the first eviction: what one cannot use of its budget goes to the others, update after
// update.
TEST(AdaKvPolicy, TheBudgetIsSpentAtEveryUpdate) {
  constexpr int64_t kPeriod = 64, kHeads = 3, kWindow = 16;
  for (const double own : {0.0, 0.2, 1.0}) {
    for (const Budget& budget : {Budget::of_tokens(96), Budget::of_fraction(0.4), Budget::of_tokens(8)}) {
      const AdaKvPolicy policy({.period_tokens = kPeriod, .budget = budget, .recorded = {}}, kWindow, 5, own);
      at::manual_seed(5);
      Indices lengths(kHeads, 0);
      int64_t longest = 0, shortest = 1 << 20;
      for (int64_t update = 0; update < 8; ++update) {
        UpdateView view = single(1);
        view.shape = {.layers = 1, .heads = kHeads, .kv_heads = kHeads, .head_dim = 1};
        view.rows[0] = {.tag = 4, .tokens_processed = kPeriod * (update + 1), .update = update};
        LayerView& layer = view.layers[0];
        layer.offsets = {0};
        for (const int64_t length : lengths) layer.offsets.push_back(layer.offsets.back() + length + kPeriod);
        const int64_t there = layer.offsets.back();
        layer.positions = at::arange(there);
        // Head 0 has most of what is worth keeping, in the first updates.
        layer.recent_attention = at::rand({there});
        if (update < 4) layer.recent_attention.narrow(0, 0, layer.offsets[1]).add_(1);
        const KeepDecision decision = policy.decide(view).front();
        const int64_t each = budget_counts(budget, nullptr, view.rows[0], view.shape, 1)[0];
        int64_t kept = 0;
        for (int64_t h = 0; h < kHeads; ++h) {
          lengths[static_cast<size_t>(h)] = decision.lengths[0][h].item<int64_t>();
          EXPECT_GE(lengths[static_cast<size_t>(h)], std::min(kWindow, each));
          kept += lengths[static_cast<size_t>(h)];
          longest = std::max(longest, lengths[static_cast<size_t>(h)]);
          shortest = std::min(shortest, lengths[static_cast<size_t>(h)]);
        }
        EXPECT_EQ(kept, std::min(kHeads * each, there)) << budget.text() << ", update " << update;
      }
      if (own == 0 && budget.tokens != 8) {
        EXPECT_GT(longest, 2 * shortest);
      }
    }
  }
}

TEST(ExpectedAttentionPolicy, SinksThenTheExpected) {
  UpdateView view = single(6);
  view.layers[0].expected_attention = at::tensor({0.f, 0.1f, 0.9f, 0.3f, 0.8f, 0.f});
  EXPECT_EQ(keep(ExpectedAttentionPolicy(tokens(4), 1), view), (Indices{0, 2, 4, 5}));
  EXPECT_EQ(keep(ExpectedAttentionPolicy(tokens(4), 0), view), (Indices{2, 3, 4, 5}));
  EXPECT_TRUE(ExpectedAttentionPolicy(tokens(4), 0).needs().attention());
}

TEST(KeyDiffPolicy, ForgetsTheKeysThatAreLikeTheOthers) {
  UpdateView view = single(5);
  view.layers[0].key_similarity = at::tensor({0.9f, -0.2f, 0.8f, 0.1f, 0.95f});
  EXPECT_EQ(keep(KeyDiffPolicy(tokens(3)), view), (Indices{1, 3, 4}));
  EXPECT_FALSE(KeyDiffPolicy(tokens(3)).needs().attention());
}

TEST(NammTopkPolicy, AtNammsOwnCountsItDecidesAsNamm) {
  const UpdateView view = make_view(some_rows());
  PolicyArguments with = arguments();
  const auto threshold = make_policy("namm", with)->decide(view);
  auto recorded = std::make_shared<RecordedCounts>();
  for (size_t r = 0; r < view.rows.size(); ++r) {
    Indices counts;
    for (const Indices& kept : kept_of_row(view, threshold, r))
      counts.push_back(static_cast<int64_t>(kept.size()));
    recorded->rows[view.rows[r].tag].assign(static_cast<size_t>(view.rows[r].update) + 1, counts);
  }
  with.recorded = recorded;
  with.budget = Budget{Budget::Kind::match_namm_heads, 0, 0};
  const auto best = make_policy("namm-topk", with)->decide(view);
  for (size_t l = 0; l < best.size(); ++l)
    EXPECT_TRUE(at::equal(best[l].keep, threshold[l].keep)) << "layer " << l;
}

TEST(L2Policy, KeepsLowNormsAsPublishedAndHighOnesAsControl) {
  const at::Tensor norms = at::tensor({3.f, 1.f, 2.f, 5.f, 4.f});
  const L2Policy low(tokens(3), L2Policy::Keep::low_norms), high(tokens(3), L2Policy::Keep::high_norms);
  EXPECT_EQ(keep(low, single(5, {}, norms)), (Indices{1, 2, 4}));
  EXPECT_EQ(keep(high, single(5, {}, norms)), (Indices{0, 3, 4}));
  EXPECT_TRUE(low.needs().key_norms);
  EXPECT_FALSE(low.needs().attention());
}

// Public report memory-11: float32 norms tell apart what bfloat16 ones do not; exact ties keep the older
// token.
TEST(L2Policy, NormsThatDifferOnlyInFloat32) {
  at::Tensor keys = at::zeros({3, 128}, at::kBFloat16);
  keys[0][0] = 16;
  keys[0][1] = 0.25;
  keys[1][0] = 16;
  keys[2][0] = 99;  // the newest token, which stays anyway
  const at::Tensor norms = at::linalg_vector_norm(keys, 2, at::IntArrayRef{1}, false, at::kFloat);
  const L2Policy low(tokens(2), L2Policy::Keep::low_norms);
  EXPECT_EQ(keep(low, single(3, {}, norms)), (Indices{1, 2}));
  EXPECT_EQ(keep(low, single(3, {}, norms.to(at::kBFloat16).to(at::kFloat))), (Indices{0, 2}));
}

TEST(RandomPolicy, DrawsAreKeyedAndUniform) {
  const auto kept = [&](uint64_t seed, int64_t tag, int64_t update) {
    UpdateView view = single(64);
    view.rows[0].tag = tag;
    view.rows[0].update = update;
    return keep(RandomPolicy("random", tokens(16), seed), view);
  };
  std::set<Indices> different = {kept(1, 4, 0), kept(2, 4, 0), kept(1, 5, 0), kept(1, 4, 1)};
  EXPECT_EQ(different.size(), 4u);

  // Each of the 63 older tokens is kept with probability 15/63; 400 draws, five standard deviations.
  std::vector<int64_t> hits(64);
  for (int64_t tag = 0; tag < 400; ++tag) {
    for (const int64_t i : kept(1, tag, 0)) ++hits[static_cast<size_t>(i)];
  }
  EXPECT_EQ(hits[63], 400);
  for (size_t i = 0; i < 63; ++i) EXPECT_NEAR(static_cast<double>(hits[i]), 400 * 15.0 / 63, 43) << i;
}

TEST(RandomPolicy, ATokenOfAnotherLayerIsAnotherDraw) {
  UpdateView view = make_view({make_row(3, 0, 256)});
  view.layers[1].offsets = view.layers[0].offsets;
  view.layers[1].positions = view.layers[0].positions;
  const auto decisions = RandomPolicy("random", tokens(10), 1).decide(view);
  EXPECT_FALSE(at::equal(decisions[0].keep, decisions[1].keep));
}

TEST(NammPolicy, EveryRowIsScoredByItsOwnMember) {
  PolicyArguments with = arguments();
  with.parameters = at::zeros({3, with.config.parameters()});
  with.parameters[1][with.config.parameters() - 1] =
      -1;  // forgets all but the newest; members 0 and 2 keep everything
  std::vector<Row> rows = {make_row(1, 1, 64), make_row(2, 2, 64), make_row(3, 1, 64), make_row(4, 0, 64)};
  for (const KeepDecision& decision : make_policy("namm", with)->decide(make_view(rows))) {
    for (const int64_t r : {0, 2}) EXPECT_TRUE(decision.lengths[r].eq(1).all().item<bool>());
  }
  const UpdateView view = make_view({rows[1], rows[3]});
  for (const KeepDecision& decision : make_policy("namm", with)->decide(view)) {
    EXPECT_TRUE(decision.keep.all().item<bool>());
  }
}

TEST(NammPolicy, ParityGivesTheHeadsOfARowOneLength) {
  PolicyArguments with = arguments();
  with.config.heads = "parity";
  const UpdateView view = make_view(some_rows());
  const auto parity = make_policy("namm", with)->decide(view),
             ragged = make_policy("namm", arguments())->decide(view);
  bool differs = false;
  for (size_t l = 0; l < parity.size(); ++l) {
    // A head that holds fewer tokens than the most generous one keeps, keeps all it has.
    EXPECT_TRUE(at::equal(parity[l].lengths.amax(1), ragged[l].lengths.amax(1)));
    differs = differs || !at::equal(parity[l].lengths, ragged[l].lengths);
    EXPECT_TRUE(parity[l].keep.logical_or(ragged[l].keep.logical_not()).all().item<bool>());
  }
  EXPECT_TRUE(differs);
}

TEST(NammPolicy, AgesCountOriginalPositions) {
  const PolicyArguments with = arguments();
  const NammPolicy policy(with.config, with.parameters, with.statistics);
  const UpdateView view = make_view({make_row(3, 0, 128)});
  const LayerView& layer = view.layers[0];
  const at::Tensor features = policy.features(view, layer);
  ASSERT_EQ(features.size(1), with.config.features());
  for (size_t s = 0; s < 2; ++s) {
    const int64_t begin = layer.offsets[s], n = layer.offsets[s + 1] - begin;
    const at::Tensor ages = 127 - layer.positions.narrow(0, begin, n);
    EXPECT_TRUE(at::equal(features.narrow(0, begin, n).narrow(1, 0, 8),
                          recency_embedding(ages, with.config.recency)));
  }
}

TEST(NammPolicy, WrongArgumentsAreRefused) {
  PolicyArguments with = arguments();
  with.parameters = at::zeros({2, 4172});
  EXPECT_THROW(make_policy("namm", with), c10::Error) << "parameters of another network";
  with = arguments();
  with.parameters = at::Tensor();
  EXPECT_THROW(make_policy("namm", with), c10::Error);
  with = arguments();
  with.statistics = {};
  with.statistics.accumulate(at::rand({5, 9}));
  EXPECT_THROW(make_policy("namm", with), c10::Error) << "statistics of other features";
}

TEST(NammPolicy, ScorersOfItsOwnReadTheirOwnPartOfTheVector) {
  // Head 1 of layer 2 forgets all but its newest token, the others keep everything.
  PolicyArguments with = arguments({.policy = "namm", .scorer = "linear", .sharing = "per_head"});
  ASSERT_EQ(with.config.parameters(), 26 * kShape.layers * kShape.kv_heads);
  with.parameters = at::zeros({2, with.config.parameters()});
  with.parameters.select(1, with.config.score_biases()[2 * 2 + 1]).fill_(-1);
  const UpdateView view = make_view(some_rows());
  const auto decisions = make_policy("namm", with)->decide(view);
  for (size_t l = 0; l < decisions.size(); ++l) {
    const at::Tensor held = at::tensor(view.layers[l].offsets, at::kLong).diff().view({-1, 2}).to(at::kInt);
    EXPECT_TRUE(at::equal(decisions[l].lengths.select(1, 0), held.select(1, 0))) << "layer " << l;
    EXPECT_TRUE(
        at::equal(decisions[l].lengths.select(1, 1), l == 2 ? at::ones({3}, at::kInt) : held.select(1, 1)))
        << "layer " << l;
  }
  with = arguments({.policy = "namm", .scorer = "linear", .sharing = "per_layer"});
  with.parameters = at::zeros({2, with.config.parameters()});
  with.parameters.select(1, with.config.score_biases()[1]).fill_(-1);
  const auto by_layer = make_policy("namm", with)->decide(view);
  EXPECT_TRUE(by_layer[0].keep.all().item<bool>());
  EXPECT_TRUE(by_layer[1].lengths.eq(1).all().item<bool>());
}

// A row all of whose heads hold all tokens.
Row whole_row(int64_t tag, int64_t member, int64_t tokens) {
  Row row = make_row(tag, member, tokens);
  at::manual_seed(static_cast<uint64_t>(tag));
  for (size_t s = 0; s < row.positions.size(); ++s) {
    row.positions[s] = at::arange(tokens);
    row.ema[s] = at::rand({tokens, 17});
  }
  return row;
}

TEST(NammMixPolicy, HeadsThatHoldTheSameTokensKeepTheSame) {
  for (const double fraction : {0.0, 0.5}) {
    const PolicyArguments with = arguments({.policy = "namm-mix", .keep_fraction = fraction});
    const UpdateView view = make_view({whole_row(3, 0, 128), whole_row(4, 1, 192)});
    const auto decisions = make_policy("namm-mix", with)->decide(view);
    for (size_t r = 0; r < 2; ++r) {
      const auto kept = kept_of_row(view, decisions, r);
      for (const Indices& head : kept) EXPECT_EQ(head, kept.front());
      const int64_t tokens = view.rows[r].tokens_processed;
      if (fraction > 0) {
        EXPECT_EQ(std::ssize(kept.front()), tokens / 2);
      }
      EXPECT_LT(std::ssize(kept.front()), tokens);
      for (int64_t p = 0; p < tokens; ++p) {
        if (p < 4 || p >= tokens - 8) {
          EXPECT_TRUE(std::ranges::binary_search(kept.front(), p)) << p << " is protected";
        }
      }
    }
  }
}

TEST(NammMixPolicy, AtZeroTheConstantBinsMeanDecides) {
  PolicyArguments with = arguments({.policy = "namm-mix", .keep_fraction = 0.25});
  with.config.mix.recent_tokens = 1;
  with.config.mix.sinks = 0;
  with.parameters = at::zeros({1, with.config.parameters()});
  const Row row = whole_row(9, 0, 64);
  std::vector<at::Tensor> constant;
  for (const at::Tensor& ema : row.ema) constant.push_back(with.statistics.apply(ema).select(1, 0));
  at::Tensor mean = at::stack(constant).mean(0);
  mean[63] = 1e9;
  const at::Tensor best = std::get<0>(mean.argsort(0, /*descending=*/true).narrow(0, 0, 16).sort());
  const auto kept = keep(*make_policy("namm-mix", with), make_view({row}));
  EXPECT_EQ(Indices(kept.begin(), kept.begin() + 16),
            Indices(best.const_data_ptr<int64_t>(), best.const_data_ptr<int64_t>() + 16));
}

TEST(NammMixPolicy, ThresholdCapAndProtection) {
  PolicyArguments with = arguments({.policy = "namm-mix"});
  with.parameters = at::zeros({1, with.config.parameters()});
  with.parameters.select(1, with.config.parameters() - 1).fill_(-1e6);
  const UpdateView view = make_view({whole_row(3, 0, 64)});
  const Indices protected_tokens = {0, 1, 2, 3, 56, 57, 58, 59, 60, 61, 62, 63};
  const auto first = [&](const PolicyArguments& arguments) {
    return kept_of_row(view, make_policy("namm-mix", arguments)->decide(view), 0).front();
  };
  EXPECT_EQ(first(with), protected_tokens) << "all others score below 0";
  with.config.cache_cap = 9;
  EXPECT_EQ(first(with), (Indices{0, 56, 57, 58, 59, 60, 61, 62, 63})) << "the newest go before the sinks";
  with.config.cache_cap = 0;
  with.parameters.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(first(with), protected_tokens) << "no number counts as below 0";
}

TEST(NammMixPolicy, ItsScoresAreThoseOfTheReference) {
  namm::testing::Comparison compared;
  for (const int64_t rank : {1, 2, 3}) {
    PolicyArguments with = arguments({.policy = "namm-mix", .spectral = "log_magnitude"});
    with.config.mix.rank = rank;
    at::manual_seed(static_cast<uint64_t>(rank));
    with.parameters = at::randn({2, with.config.parameters()});
    const UpdateView view = make_view(some_rows());  // heads that lost different tokens
    std::vector<at::Tensor> features;
    for (const LayerView& layer : view.layers)
      features.push_back(with.statistics.apply(spectral_features(layer.ema, "log_magnitude")));
    const auto exact = mix_scores_reference(view, features, with.parameters, with.config);
    const auto fast = NammMixPolicy(with.config, with.parameters, with.statistics).scores(view);
    ASSERT_EQ(fast.size(), exact.size());
    for (size_t r = 0; r < exact.size(); ++r) {
      compared.equal(fast[r].positions, exact[r].positions, "positions");
      compared.near(fast[r].scores, exact[r].scores, tolerances::implementations::scores, true, "scores");
    }
  }
  EXPECT_GT(compared.values, 1000);
}

TEST(NammMixPolicy, AHeadThatLostATokenDropsOutOfItsMixture) {
  PolicyArguments with = arguments({.policy = "namm-mix"});
  Row row = whole_row(5, 0, 64);
  const NammMixPolicy policy(with.config, with.parameters, with.statistics);
  const at::Tensor before = policy.scores(make_view({row}))[0].scores;
  const at::Tensor others = at::cat({at::arange(20), at::arange(21, 64)});
  at::Tensor lost_ema = row.ema[3][20];
  row.positions[3] = others;
  row.ema[3] = row.ema[3].index_select(0, others);
  const at::Tensor after = policy.scores(make_view({row}))[0].scores;
  namm::testing::Comparison().near(after.index_select(0, others), before.index_select(0, others),
                                   tolerances::implementations::scores, true, "scores of the other tokens");
  const MixWeights weights = mix_weights(with.parameters[0], with.config);
  const double share =
      (with.statistics.apply(lost_ema).dot(weights.features[0]) * weights.heads[0][1][1]).item<double>();
  EXPECT_NEAR(after[20].item<double>(), before[20].item<double>() - share, 1e-5);
}

TEST(NammMixPolicy, WrongArgumentsAreRefused) {
  const PolicyArguments mix = arguments({.policy = "namm-mix"}), bam = arguments();
  EXPECT_THROW(make_policy("namm", mix), c10::Error);
  EXPECT_THROW(make_policy("namm-topk", mix), c10::Error);
  EXPECT_THROW(make_policy("namm-mix", bam), c10::Error);
  PolicyArguments other = mix;
  other.config.transformer.layers = 4;
  other.parameters = at::zeros({2, other.config.parameters()});
  EXPECT_THROW(make_policy("namm-mix", other)->decide(make_view(some_rows())), c10::Error) << "another model";
}

TEST(FullPolicy, NeverRuns) {
  EXPECT_TRUE(keeps_everything(*make_policy("full", {})));
  EXPECT_FALSE(keeps_everything(*make_policy("namm", arguments())));
}

TEST(PolicyList, AnUnknownNameIsAnsweredWithTheList) {
  try {
    make_policy("h20", {});
    FAIL() << "was accepted";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    for (const std::string& name : policy_names()) EXPECT_NE(text.find(name), std::string::npos) << text;
    EXPECT_NE(text.find("did you mean h2o?"), std::string::npos) << text;
  }
}

TEST(PolicyList, WhoNeedsCounts) {
  EXPECT_TRUE(needs_counts("h2o", Budget::match_namm()));
  EXPECT_FALSE(needs_counts("h2o", Budget::of_tokens(8)));
  EXPECT_TRUE(needs_counts("namm-counts-random", Budget::of_tokens(8)));
  EXPECT_FALSE(needs_counts("namm", Budget::match_namm()));
  EXPECT_FALSE(needs_counts("namm-mix", Budget::match_namm()));
  EXPECT_FALSE(needs_counts("full", Budget::match_namm()));
  for (const std::string& name : policy_names())
    EXPECT_EQ(gives_counts(name), name == "namm" || name == "namm-mix") << name;
  PolicyArguments without = arguments();
  without.recorded = nullptr;
  EXPECT_THROW(make_policy("h2o", without), c10::Error);
  EXPECT_THROW(make_policy("namm-counts-random", without), c10::Error);
}

TEST(MemoryConfig, DefaultsAreThePapersAndReadWhatTheyWrite) {
  const MemoryConfig config;
  EXPECT_EQ(config.parameters(), 4172);
  EXPECT_EQ(config.features(), 25);
  EXPECT_EQ(read_config<MemoryConfig>(ConfigDocument::from_text(to_yaml(config), "test.yaml")), config);
  EXPECT_THROW(read_config<MemoryConfig>(ConfigDocument::from_text("period_tokens: 100", "test.yaml")),
               ConfigError);
  EXPECT_THROW(read_config<MemoryConfig>(ConfigDocument::from_text("heads: both", "test.yaml")), ConfigError);
  EXPECT_THROW(read_config<MemoryConfig>(ConfigDocument::from_text("snapkv_pool_tokens: 4", "test.yaml")),
               ConfigError);
}

}  // namespace
}  // namespace namm::memory
