#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "memory/attention_trace.h"
#include "memory/namm_config.h"

namespace namm::experiments {

/// Among which tokens one is ranked by the attention that it receives later. `update`: those of all heads at
/// one update of a context, so that what is kept holds as much attention as so many tokens can, and a head
/// that needs few keeps few. `head`: those of its own head, so that every head keeps the same share.
enum class RankWithin : uint8_t { update, head };

/// "update" or "head"; throws ConfigError for anything else.
RankWithin rank_within(const std::string& name);

/// One KV head at one update, and the scores that its tokens should get.
struct FitExample {
  memory::TracedHead head;
  at::Tensor useful;  ///< float64 [n], what the tokens are ranked by: attention received later, a query
  at::Tensor target;  ///< float32 [n], see target_scores
  int64_t group = 0;  ///< examples with the same one were ranked together; they stand side by side
};

/// Attention that the tokens receive later, mean over queries, float64 [n]. With `labels` half of it is from
/// questions and answers: their few queries would drown among the context's. `least_queries`: of the context,
/// below which these say nothing. Undefined where neither part says anything.
at::Tensor later_attention(const memory::TracedHead& head, bool labels, int64_t least_queries);

/// Ranks of the values, 0 the smallest, equal ones sharing their mean rank. float64 [n] for n numbers.
at::Tensor mean_ranks(const at::Tensor& values);

/// Scores with the order of `useful`, of which a share of `keep_fraction` is at least 0: the normal score of
/// a token's rank among the n, Phi^-1((rank + 1/2) / n) - Phi^-1(1 - keep_fraction). Ranks,
/// because attention is heavy-tailed and shrinks as contexts grow, and a decision needs the order alone;
/// normal scores, because they have the unit spread of the features, so that the optimiser's steps keep their
/// meaning. float32 [n].
at::Tensor target_scores(const at::Tensor& useful, double keep_fraction);

/// Examples of the heads of one context, in the order of update, layer, head; those without later_attention
/// are left out. `group` is raised to the next free one.
std::vector<FitExample> make_examples(std::vector<memory::TracedHead> heads, bool labels,
                                      int64_t least_queries, RankWithin within, double keep_fraction,
                                      int64_t& group);

/// Scores of one example's tokens by plain tensor operations, so that autograd sees them all: float32 [n].
/// theta float32 [config.parameters()]. Scorers bam, mlp and linear.
at::Tensor differentiable_scores(const memory::NammConfig& config, const at::Tensor& theta,
                                 const memory::TracedHead& head);

/// Smooth absolute error (quadratic below 1) of scores against targets, mean over tokens: attention's
/// outliers would rule a square.
at::Tensor fit_loss(const at::Tensor& scores, const at::Tensor& target);

struct FitOptions {
  int64_t steps = 200;
  int64_t examples_per_step = 16;
  double learning_rate = 0.03;  ///< of Adam; falls to 0 in a straight line
  uint64_t seed = 1;
  int threads = 1;  ///< decide speed alone
};
using FitProgress = std::function<void(int64_t step, double loss)>;

/// Where a fit begins: scores are 0, but nothing stands still as it would at a vector of zeros, where the
/// gradients of two factors are each other's values. Weights before the last map are normal with variance
/// 1 / inputs, all others 0.
std::vector<float> initial_parameters(const memory::NammConfig& config, uint64_t seed);

/// Parameters by gradient descent (Adam, Kingma and Ba, arXiv 1412.6980) on the mean loss of the examples,
/// drawn by the seed; the bias of every scorer is then moved so that as many of its tokens score at least 0
/// as have such a target. The same examples and seed give the same bits.
/// With the scorer bam, memory and time of an example grow with the square of its tokens
/// (bam_scores_reference).
std::vector<float> fit_scorer(const memory::NammConfig& config, const std::vector<FitExample>& examples,
                              const FitOptions& options, const FitProgress& progress = {});

/// How well scores tell what is attended to later; means over groups, of `kept` over all tokens.
struct FitQuality {
  double loss = 0;
  double rank_correlation = 0;  ///< Spearman's, of scores and `useful`; 0 where either is constant
  double recall = 0;  ///< of the more useful half of the tokens, the share that is in the half of the
                      ///< best scores; equal scores as a draw would have it
  double kept = 0;    ///< share of the tokens whose score is at least 0
};

/// Which scores are judged.
using ScoreRule = std::function<at::Tensor(const FitExample&)>;
FitQuality fit_quality(const std::vector<FitExample>& examples, int threads, const ScoreRule& rule);
/// Of a rule whose numbers give an order alone: its scores are target_scores of them.
FitQuality rank_quality(const std::vector<FitExample>& examples, double keep_fraction, int threads,
                        const ScoreRule& rule);

}  // namespace namm::experiments
