#include "experiments/warm_start_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <torch/optim/adam.h>

#include "core/errors.h"
#include "core/random.h"
#include "experiments/warm_start_threads.h"

namespace namm::experiments {
namespace {

at::Tensor kth_best(const at::Tensor& values, int64_t k) {
  return std::get<0>(values.kthvalue(values.size(0) - k + 1));
}

/// The share of `useful`'s k best that is among the k best scores.
double recall_of(const at::Tensor& scores, const at::Tensor& useful, int64_t k) {
  const double least_score = kth_best(scores, k).item<double>();
  const double least_useful = kth_best(useful, k).item<double>();
  // Weight of a token in the best k: those level with the last place share what is left.
  const auto weights = [k](const at::Tensor& x, double least) {
    const at::Tensor above = (x > least).to(at::kDouble), level = (x == least).to(at::kDouble);
    const double places = static_cast<double>(k) - above.sum().item<double>();
    return above + level * (places / level.sum().item<double>());
  };
  return weights(scores, least_score).dot(weights(useful, least_useful)).item<double>() /
         static_cast<double>(k);
}

double correlation(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a - a.mean(), y = b - b.mean();
  const double scale = std::sqrt(x.dot(x).item<double>() * y.dot(y).item<double>());
  return scale > 0 ? x.dot(y).item<double>() / scale : 0;
}

/// [begin, end) of the examples that were ranked together.
std::vector<std::pair<size_t, size_t>> groups_of(const std::vector<FitExample>& examples) {
  std::vector<std::pair<size_t, size_t>> groups;
  for (size_t i = 0; i < examples.size(); ++i) {
    if (i == 0 || examples[i].group != examples[i - 1].group) groups.emplace_back(i, i);
    groups.back().second = i + 1;
  }
  return groups;
}

bool is_last_map(const std::string& block) {
  return block.ends_with("score.weight") || block.ends_with("out.weight");
}

/// `scale` makes scores of a group's numbers.
FitQuality quality_of(const std::vector<FitExample>& examples, int threads, const ScoreRule& rule,
                      const std::function<at::Tensor(const at::Tensor&)>& scale) {
  const auto groups = groups_of(examples);
  std::vector<FitQuality> each(groups.size());
  share_among_threads(std::ssize(groups), threads, 1, [&](int64_t g) {
    const at::NoGradGuard no_gradient;
    const auto [begin, end] = groups[static_cast<size_t>(g)];
    std::vector<at::Tensor> numbers, useful_parts, targets;
    for (size_t i = begin; i < end; ++i) {
      numbers.push_back(rule(examples[i]));
      useful_parts.push_back(examples[i].useful);
      targets.push_back(examples[i].target);
    }
    const at::Tensor useful = at::cat(useful_parts), scores = scale(at::cat(numbers));
    FitQuality& quality = each[static_cast<size_t>(g)];
    quality.loss = fit_loss(scores, at::cat(targets)).item<double>();
    quality.rank_correlation = correlation(mean_ranks(scores), mean_ranks(useful));
    quality.recall = recall_of(scores, useful, (useful.size(0) + 1) / 2);
    quality.kept = (scores >= 0).sum().item<double>();
  });
  FitQuality mean;
  double tokens = 0;
  for (const FitExample& example : examples) tokens += static_cast<double>(example.head.tokens());
  for (const FitQuality& quality : each) {
    const auto n = static_cast<double>(each.size());
    mean.loss += quality.loss / n;
    mean.rank_correlation += quality.rank_correlation / n;
    mean.recall += quality.recall / n;
    mean.kept += quality.kept / tokens;
  }
  return mean;
}

}  // namespace

RankWithin rank_within(const std::string& name) {
  if (name == "update") return RankWithin::update;
  if (name == "head") return RankWithin::head;
  throw ConfigError("rank = " + name + ": one of update, head");
}

at::Tensor later_attention(const memory::TracedHead& head, bool labels, int64_t least_queries) {
  const auto mean = [](const at::Tensor& sum, int64_t queries) {
    return sum.to(at::kDouble) / static_cast<double>(queries);
  };
  const bool context = head.later_queries >= std::max<int64_t>(least_queries, 1);
  const bool answering = labels && head.answering_queries > 0;
  if (context && answering) {
    return (mean(head.later, head.later_queries) + mean(head.answering, head.answering_queries)) / 2;
  }
  if (context) return mean(head.later, head.later_queries);
  return answering ? mean(head.answering, head.answering_queries) : at::Tensor();
}

at::Tensor mean_ranks(const at::Tensor& values) {
  const at::Tensor wide = values.to(at::kDouble).contiguous();
  const double* const x = wide.const_data_ptr<double>();
  std::vector<int64_t> order(static_cast<size_t>(wide.size(0)));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [x](int64_t a, int64_t b) { return x[a] < x[b]; });
  at::Tensor ranks = at::empty_like(wide);
  double* const rank = ranks.mutable_data_ptr<double>();
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && x[order[end]] == x[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) rank[order[i]] = static_cast<double>(begin + end - 1) / 2;
    begin = end;
  }
  return ranks;
}

at::Tensor target_scores(const at::Tensor& useful, double keep_fraction) {
  const at::Tensor ranks = mean_ranks(useful);
  at::Tensor scores = at::empty({ranks.size(0)}, at::kFloat);
  const double* const rank = ranks.const_data_ptr<double>();
  const double threshold = inverse_normal(1 - keep_fraction), n = static_cast<double>(ranks.size(0));
  for (int64_t i = 0; i < ranks.size(0); ++i) {
    scores.mutable_data_ptr<float>()[i] = static_cast<float>(inverse_normal((rank[i] + 0.5) / n) - threshold);
  }
  return scores;
}

std::vector<FitExample> make_examples(std::vector<memory::TracedHead> heads, bool labels,
                                      int64_t least_queries, RankWithin within, double keep_fraction,
                                      int64_t& group) {
  std::vector<FitExample> examples;
  for (memory::TracedHead& head : heads) {
    at::Tensor useful = later_attention(head, labels, least_queries);
    if (!useful.defined()) continue;
    const bool together =
        within == RankWithin::update && !examples.empty() && examples.back().head.update == head.update;
    if (!together) ++group;
    examples.push_back({std::move(head), std::move(useful), {}, group});
  }
  for (const auto& [begin, end] : groups_of(examples)) {
    std::vector<at::Tensor> useful;
    std::vector<int64_t> lengths;
    for (size_t i = begin; i < end; ++i) {
      useful.push_back(examples[i].useful);
      lengths.push_back(examples[i].head.tokens());
    }
    const auto targets = target_scores(at::cat(useful), keep_fraction).split_with_sizes(lengths);
    for (size_t i = begin; i < end; ++i) examples[i].target = targets[i - begin].clone();
  }
  return examples;
}

at::Tensor differentiable_scores(const memory::NammConfig& config, const at::Tensor& theta,
                                 const memory::TracedHead& head) {
  const int64_t n = config.scorer_parameters();
  const at::Tensor own = theta.narrow(0, config.scorer_of(head.layer, head.kv_head) * n, n);
  if (config.scorer == "bam") {
    return memory::bam_scores_reference(head.features, {{0, head.tokens(), 0}}, own.unsqueeze(0), config.bam);
  }
  TORCH_CHECK(config.scorer == "mlp" || config.scorer == "linear", "[warm start] scorer ", config.scorer);
  const std::vector<memory::ParameterBlock> layout = config.scorer_layout();
  at::Tensor x = head.features;
  for (size_t i = 0; i < layout.size(); i += 2) {
    const memory::ParameterBlock &weight = layout[i], &bias = layout[i + 1];
    if (i > 0) x = at::relu(x);
    x = at::addmm(own.narrow(0, bias.offset, bias.cols), x,
                  own.narrow(0, weight.offset, weight.rows * weight.cols).view({weight.rows, weight.cols}));
  }
  return x.squeeze(1);
}

at::Tensor fit_loss(const at::Tensor& scores, const at::Tensor& target) {
  return at::smooth_l1_loss(scores, target);
}

std::vector<float> initial_parameters(const memory::NammConfig& config, uint64_t seed) {
  RandomStream stream({seed, "warm_start/initial"});
  std::vector<float> parameters(static_cast<size_t>(config.parameters()), 0.0f);
  for (const memory::ParameterBlock& block : config.layout()) {
    if (!block.name.ends_with(".weight") || is_last_map(block.name)) continue;
    const double spread = 1 / std::sqrt(static_cast<double>(block.rows));
    for (int64_t i = 0; i < block.rows * block.cols; ++i)
      parameters[static_cast<size_t>(block.offset + i)] = static_cast<float>(stream.normal() * spread);
  }
  return parameters;
}

std::vector<float> fit_scorer(const memory::NammConfig& config, const std::vector<FitExample>& examples,
                              const FitOptions& options, const FitProgress& progress) {
  TORCH_CHECK(!examples.empty(), "[warm start] nothing to fit to");
  const auto count = static_cast<int64_t>(examples.size());
  const int64_t batch = std::min(options.examples_per_step, count);
  at::Tensor theta = at::tensor(initial_parameters(config, options.seed)).requires_grad_();
  torch::optim::Adam adam({theta}, torch::optim::AdamOptions(options.learning_rate));
  std::vector<at::Tensor> gradients(static_cast<size_t>(batch));
  std::vector<double> losses(static_cast<size_t>(batch));
  for (int64_t step = 0; step < options.steps; ++step) {
    RandomStream stream({options.seed, "warm_start/examples", static_cast<uint64_t>(step)});
    const std::vector<int64_t> drawn = stream.sample_without_replacement(count, batch);
    // Every example has a graph of its own; their gradients are added in one order.
    share_among_threads(batch, options.threads, 1, [&](int64_t i) {
      const auto place = static_cast<size_t>(i);
      const FitExample& example = examples[static_cast<size_t>(drawn[place])];
      at::Tensor own = theta.detach().clone().requires_grad_();
      const at::Tensor loss = fit_loss(differentiable_scores(config, own, example.head), example.target);
      loss.backward();
      gradients[place] = own.grad();
      losses[place] = loss.item<double>();
    });
    theta.mutable_grad() = at::stack(gradients).mean(0);
    const double left = 1 - static_cast<double>(step) / static_cast<double>(options.steps);
    static_cast<torch::optim::AdamOptions&>(adam.param_groups().front().options())
        .lr(options.learning_rate * left);
    adam.step();
    if (progress)
      progress(step + 1, std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(batch));
  }

  const at::Tensor fitted = theta.detach().contiguous();
  std::vector<at::Tensor> scores(examples.size());
  share_among_threads(count, options.threads, 1, [&](int64_t i) {
    const auto place = static_cast<size_t>(i);
    scores[place] = differentiable_scores(config, fitted, examples[place].head);
  });
  std::vector<float> parameters(fitted.const_data_ptr<float>(),
                                fitted.const_data_ptr<float>() + fitted.size(0));
  const std::vector<int64_t> biases = config.score_biases();
  for (size_t s = 0; s < biases.size(); ++s) {
    std::vector<at::Tensor> own;
    int64_t kept = 0;
    for (size_t i = 0; i < examples.size(); ++i) {
      const memory::TracedHead& head = examples[i].head;
      if (config.scorer_of(head.layer, head.kv_head) != static_cast<int64_t>(s)) continue;
      own.push_back(scores[i]);
      kept += (examples[i].target >= 0).sum().item<int64_t>();
    }
    if (kept == 0) continue;
    parameters[static_cast<size_t>(biases[s])] -= kth_best(at::cat(own), kept).item<float>();
  }
  return parameters;
}

FitQuality fit_quality(const std::vector<FitExample>& examples, int threads, const ScoreRule& rule) {
  return quality_of(examples, threads, rule, [](const at::Tensor& numbers) { return numbers; });
}

FitQuality rank_quality(const std::vector<FitExample>& examples, double keep_fraction, int threads,
                        const ScoreRule& rule) {
  return quality_of(examples, threads, rule, [keep_fraction](const at::Tensor& numbers) {
    return target_scores(numbers, keep_fraction);
  });
}

}  // namespace namm::experiments
