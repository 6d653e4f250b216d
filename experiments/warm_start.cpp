#include "experiments/warm_start.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <span>
#include <utility>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include "core/build_info.h"
#include "core/errors.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/text.h"
#include "experiments/evaluation.h"
#include "experiments/fitness.h"
#include "experiments/memory_source.h"
#include "experiments/model_check.h"
#include "experiments/run_context.h"
#include "experiments/stage_evaluator.h"
#include "experiments/warm_start_threads.h"
#include "memory/backend.h"
#include "models/generator.h"

namespace namm::experiments {
namespace {

using memory::AttentionTrace;
using memory::RowState;
using memory::Session;

/// Heads of a context that are kept, drawn where a large model has more: of a small one all.
constexpr size_t kHeadsPerContext = 192;

/// The first evolve stage.
size_t evolve_stage_of(const ExperimentConfig& config) {
  const auto found = std::ranges::find_if(config.stages, [](auto& s) { return s.evolve.has_value(); });
  if (found == config.stages.end()) {
    throw ConfigError(format_text(
        "{}: warm-start needs an evolve stage in `stages`, for its tasks and contexts", config.name));
  }
  return static_cast<size_t>(found - config.stages.begin());
}

/// Reads `ids` in a row that goes on from `state`, with one update at their end. Returns what the row is
/// then.
RowState read_rest(const std::shared_ptr<const models::Archive>& archive,
                   const memory::SessionOptions& options, int64_t chunk_tokens, const RowState& state,
                   const std::vector<int64_t>& ids, const Session::Observer& observer) {
  Session session(AttentionTrace::rest_options(options, state.tokens + std::ssize(ids)));
  session.set_observer(observer);
  const memory::RowId row = session.adopt(AttentionTrace::bare(state));
  models::Generator(archive, session, {chunk_tokens}).prefill(std::span(&row, 1), std::span(&ids, 1));
  return session.state(row);
}

/// What is read when a question is asked and answered; the last token of an answer never is.
std::vector<int64_t> answering_ids(const tasks::Question& question) {
  std::vector<int64_t> ids = question.ids;
  ids.insert(ids.end(), question.target_ids.begin(), question.target_ids.end() - 1);
  return ids;
}

/// `kHeadsPerContext` of a context's heads, drawn by seed and sample.
AttentionTrace::Choice choose_heads(const memory::TransformerShape& shape, int64_t updates, uint64_t seed,
                                    const evolution::SampleId& id) {
  const int64_t heads = shape.layers * shape.kv_heads, all = updates * heads;
  if (all <= static_cast<int64_t>(kHeadsPerContext)) return [](int64_t, int64_t, int64_t) { return true; };
  RandomStream stream(
      {seed, "warm_start/heads", static_cast<uint64_t>(id.task), 0, static_cast<uint64_t>(id.sample)});
  std::set<int64_t> chosen;
  for (const int64_t i : stream.sample_without_replacement(all, kHeadsPerContext)) chosen.insert(i);
  return [chosen, heads, kv_heads = shape.kv_heads](int64_t update, int64_t layer, int64_t kv_head) {
    return chosen.contains(update * heads + layer * kv_heads + kv_head);
  };
}

/// Contexts of the training split; those of every task that only judge the fit come last.
struct Samples {
  std::vector<evolution::SampleId> fitted, held_out;
};

Samples draw_samples(const SamplePlan& plan, const std::vector<const tasks::Task*>& tasks, int64_t contexts) {
  const int64_t held_out = std::max<int64_t>(1, contexts / 4), all = contexts + held_out;
  for (const tasks::Task* task : tasks) {
    const auto count = task->count(tasks::Split::train);
    if (count && *count < all) {
      throw ConfigError(format_text(
          "--contexts {}: task {} has {} training samples, {} are needed (a quarter more judge the fit): "
          "lower it, or set task.record_splits to disjoint or shared",
          contexts, task->info().name, *count, all));
    }
  }
  Samples samples;
  const auto ids = plan.train(0, all);
  for (size_t i = 0; i < ids.size(); ++i)
    (static_cast<int64_t>(i) % all < contexts ? samples.fitted : samples.held_out).push_back(ids[i]);
  return samples;
}

memory::FeatureStatistics calibrate(const Evaluation& evaluation, const memory::NammConfig& config,
                                    const std::vector<const tasks::Task*>& tasks, const SamplePlan& plan,
                                    int64_t per_task) {
  const c10::InferenceMode inference;
  memory::FeatureStatistics statistics;
  for (const auto& id : plan.calibration(per_task)) {
    const tasks::Task& task = *tasks[static_cast<size_t>(id.task)];
    statistics.merge(evaluation.calibrate(
        config, task, {task.sample(tasks::Split::train, id.sample, evaluation.archive().codec())}));
  }
  if (statistics.count == 0) {
    throw DataError(
        "calibration: no context came to an update, so the features' statistics are unknown; give longer "
        "contexts, or a smaller memory.period_tokens");
  }
  return statistics;
}

}  // namespace

LabelUse label_use(const std::string& name) {
  if (name == "none") return LabelUse::none;
  if (name == "questions") return LabelUse::questions;
  throw ConfigError("labels = " + name + ": one of none, questions");
}

std::string to_string(LabelUse labels) {
  return labels == LabelUse::none ? "none" : "questions";
}

std::vector<memory::TracedHead> trace_context(const std::shared_ptr<const models::Archive>& archive,
                                              const memory::SessionOptions& options, int64_t chunk_tokens,
                                              const memory::NammConfig& config,
                                              const memory::FeatureStatistics& statistics,
                                              const std::vector<int64_t>& context_ids,
                                              const std::vector<tasks::Question>& questions, LabelUse labels,
                                              const AttentionTrace::Choice& choice) {
  AttentionTrace trace(config, statistics, choice);
  const auto whole = std::ssize(context_ids) / config.period_tokens * config.period_tokens;
  if (whole == 0) return {};
  const std::vector<int64_t> first(context_ids.begin(), context_ids.begin() + whole),
      rest(context_ids.begin() + whole, context_ids.end());
  Session session(AttentionTrace::context_options(options, config));
  session.set_observer([&](const memory::UpdateView& view) { trace.add_update(view); });
  const memory::RowId row = session.add_row();
  models::Generator(archive, session, {chunk_tokens}).prefill(std::span(&row, 1), std::span(&first, 1));
  RowState state = session.state(row);
  session.drop(row);
  if (!rest.empty()) {
    state = read_rest(archive, options, chunk_tokens, state, rest,
                      [&](const memory::UpdateView& view) { trace.add_rest(view); });
  }
  if (labels == LabelUse::questions) {
    for (const tasks::Question& question : questions) {
      const std::vector<int64_t> ids = answering_ids(question);
      if (ids.empty()) continue;
      read_rest(archive, options, chunk_tokens, state, ids,
                [&](const memory::UpdateView& view) { trace.add_answering(view); });
    }
  }
  return trace.take();
}

namespace {

/// What traces are made with; read-only, shared by all threads.
struct Tracer {
  std::shared_ptr<const models::Archive> archive;
  std::shared_ptr<const Evaluation> evaluation;
  memory::SessionOptions session;
  memory::NammConfig memory;
  memory::FeatureStatistics statistics;
  std::vector<const tasks::Task*> tasks;
  int64_t chunk_tokens = 0;
  int64_t threads_per_item = 1;
  LabelUse labels = LabelUse::none;
  RankWithin rank = RankWithin::update;
  double keep_fraction = 0;
  uint64_t seed = 0;

  struct Traced {
    std::vector<FitExample> examples;
    int64_t tokens = 0;
  };

  Traced trace(const evolution::SampleId& id) const {
    const tasks::Task& task = *tasks[static_cast<size_t>(id.task)];
    const tasks::Sample sample = task.sample(tasks::Split::train, id.sample, archive->codec());
    const std::vector<int64_t> ids = evaluation->context_ids(task, sample);
    Traced traced;
    traced.tokens = std::ssize(ids);
    if (labels == LabelUse::questions) {
      for (const auto& question : sample.questions) traced.tokens += std::ssize(answering_ids(question));
    }
    const auto choice = choose_heads(session.shape, std::ssize(ids) / memory.period_tokens, seed, id);
    int64_t group = 0;
    traced.examples = make_examples(trace_context(archive, session, chunk_tokens, memory, statistics, ids,
                                                  sample.questions, labels, choice),
                                    labels == LabelUse::questions, /*least_queries=*/memory.period_tokens,
                                    rank, keep_fraction, group);
    return traced;
  }

  /// Of all samples, in their order.
  Traced trace(const std::vector<evolution::SampleId>& ids, int threads, Progress& progress) const {
    std::vector<Traced> each(ids.size());
    share_among_threads(std::ssize(ids), threads, static_cast<int>(threads_per_item), [&](int64_t i) {
      each[static_cast<size_t>(i)] = trace(ids[static_cast<size_t>(i)]);
      progress.advance();
    });
    Traced all;
    int64_t groups = 0;
    for (Traced& one : each) {
      all.tokens += one.tokens;
      // Groups of different contexts are different.
      for (FitExample& example : one.examples) example.group += groups;
      if (!one.examples.empty()) groups = one.examples.back().group;
      std::ranges::move(one.examples, std::back_inserter(all.examples));
    }
    return all;
  }
};

ScoreRule scores_of(const memory::NammConfig& config, const std::vector<float>& parameters) {
  return [&config, theta = at::tensor(parameters)](const FitExample& example) {
    return differentiable_scores(config, theta, example.head);
  };
}

}  // namespace

WarmStart warm_start(const ExperimentConfig& config, const WarmStartOptions& options) {
  const size_t index = evolve_stage_of(config);
  const EvolveConfig& stage = *config.stages[index].evolve;
  if (config.memory.mixes_heads()) {
    throw ConfigError(
        "memory.scorer = mix: warm-start fits the scores of one head's tokens (bam, mlp, linear); a mixture "
        "judges all heads together");
  }
  const auto archive = load_model(config.model, options.device);
  const memory::TransformerShape& shape = archive->contract().shape;
  config.memory.require_transformer(shape, "memory.transformer");
  const auto stage_tasks = open_stage_tasks(config, index, *archive);

  Tracer tracer;
  tracer.archive = archive;
  tracer.tasks = stage_tasks->pointers();
  tracer.memory = config.memory;
  tracer.session = {.shape = shape,
                    .dtype = archive->dtype(),
                    .device = archive->device(),
                    .backend = memory::backend(config.memory.backend),
                    .policy = {}};
  tracer.evaluation = std::make_shared<Evaluation>(
      archive,
      EvaluationOptions{.chunk_tokens = config.model.chunk_tokens, .backend = tracer.session.backend});
  tracer.chunk_tokens = config.model.chunk_tokens;
  tracer.threads_per_item = config.threads_per_item;
  tracer.labels = options.labels;
  tracer.rank = options.rank;
  tracer.keep_fraction = options.keep_fraction;
  tracer.seed = options.fit.seed;

  const SamplePlan plan(config.seed, tracer.tasks);
  const Samples samples = draw_samples(plan, tracer.tasks, options.contexts);
  at::set_num_threads(static_cast<int>(config.threads_per_item));
  tracer.statistics =
      calibrate(*tracer.evaluation, config.memory, tracer.tasks, plan, stage.calibration.contexts_per_task);
  Progress reading("traces", samples.fitted.size() + samples.held_out.size(), "contexts");
  const Tracer::Traced fitted = tracer.trace(samples.fitted, options.fit.threads, reading);
  const Tracer::Traced held_out = tracer.trace(samples.held_out, options.fit.threads, reading);
  reading.finish();
  if (fitted.examples.empty() || held_out.examples.empty()) {
    throw DataError(
        format_text("{}: no update of memory.period_tokens = {} has as many tokens of its context after it, "
                    "so nothing is "
                    "known of the attention received later; give longer contexts, a smaller period, or "
                    "--labels questions",
                    join(stage.tasks, ", "), config.memory.period_tokens));
  }

  Progress fitting("fit", static_cast<uint64_t>(options.fit.steps), "steps");
  WarmStart result;
  result.file.config = config.memory;
  result.file.statistics = tracer.statistics;
  result.file.parameters =
      fit_scorer(result.file.config, fitted.examples, options.fit, [&](int64_t step, double loss) {
        fitting.update(static_cast<uint64_t>(step), format_text("loss {}", loss));
      });
  fitting.finish();
  result.training_heads = std::ssize(fitted.examples);
  result.held_out_heads = std::ssize(held_out.examples);
  result.tokens_read = fitted.tokens + held_out.tokens;
  const ScoreRule warm = scores_of(result.file.config, result.file.parameters);
  const auto& unseen = held_out.examples;
  const int threads = options.fit.threads;
  result.training = fit_quality(fitted.examples, threads, warm);
  result.held_out = fit_quality(unseen, threads, warm);
  result.zero = fit_quality(unseen, threads, [](const FitExample& e) { return at::zeros_like(e.target); });
  result.received = rank_quality(unseen, options.keep_fraction, threads,
                                 [](const FitExample& e) { return e.head.received; });
  result.recent =
      rank_quality(unseen, options.keep_fraction, threads, [](const FitExample& e) { return e.head.recent; });

  result.file.provenance = {
      {"origin", "warm start from attention traces"},
      {"experiment", config.name},
      {"experiment_sha256", identity_of(config, archive->sha256(), "")},
      {"stage", config.stage_name(index)},
      {"labels", to_string(options.labels)},
      {"contexts_per_task", std::to_string(options.contexts)},
      {"steps", std::to_string(options.fit.steps)},
      {"learning_rate", format_text("{}", options.fit.learning_rate)},
      {"rank_within", options.rank == RankWithin::update ? "update" : "head"},
      {"keep_fraction", format_text("{}", options.keep_fraction)},
      {"seed", std::to_string(options.fit.seed)},
      {"held_out_rank_correlation", format_text("{}", result.held_out.rank_correlation)},
      {"held_out_recall", format_text("{}", result.held_out.recall)},
      {"model_sha256", archive->sha256()},
      {"git_revision", build_info().git_revision}};
  set_evolved_tasks(result.file, stage.tasks);
  return result;
}

}  // namespace namm::experiments
