#include "experiments/evaluation.h"

#include <chrono>
#include <limits>
#include <numeric>

#include <ATen/Functions.h>

#include "core/errors.h"
#include "core/text.h"
#include "memory/policies/full.h"
#include "memory/session.h"
#include "models/generator.h"
#include "models/token_spans.h"

namespace namm::experiments {

namespace {

using memory::RowId;
using memory::Session;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A greedy answer of a match task is right exactly when greedy decoding gives the accepted text, which the
/// given answer's own tokens show without decoding.
bool is_exact_match(const tasks::Task& task) {
  return task.info().metric == "exact";
}

struct Asked {
  std::vector<RowId> rows;
  std::vector<size_t> parent;  ///< index into the contexts' rows
  std::vector<const tasks::Question*> questions;
};

/// Names the row of question `index` of the context `tag` to the policy.
int64_t question_tag(int64_t tag, size_t index) {
  constexpr int kQuestionShift = 40;
  return tag + (static_cast<int64_t>(index + 1) << kQuestionShift);
}

/// Forks every row once for each question of its sample.
Asked ask(Session& session, const std::vector<RowId>& contexts,
          const std::vector<const tasks::Sample*>& samples, const std::vector<int64_t>& members,
          const std::vector<int64_t>& tags) {
  Asked asked;
  for (size_t i = 0; i < contexts.size(); ++i) {
    for (size_t q = 0; q < samples[i]->questions.size(); ++q) {
      asked.rows.push_back(session.fork(contexts[i], members[i], question_tag(tags[i], q)));
      asked.parent.push_back(i);
      asked.questions.push_back(&samples[i]->questions[q]);
    }
  }
  return asked;
}

/// Decodes the answers of forked rows greedily; `logits` [contexts, vocabulary] after the contexts.
std::vector<std::string> decode_answers(const models::Archive& archive, models::Generator& generator,
                                        const Asked& asked, const at::Tensor& logits,
                                        const tasks::Task& task) {
  std::vector<RowId> rows;
  std::vector<std::vector<int64_t>> ids;
  std::vector<int64_t> index(asked.rows.size());
  for (size_t i = 0; i < asked.rows.size(); ++i) {
    index[i] = static_cast<int64_t>(asked.parent[i]);
    if (asked.questions[i]->ids.empty()) continue;
    rows.push_back(asked.rows[i]);
    ids.push_back(asked.questions[i]->ids);
  }
  at::Tensor start = logits.index_select(0, at::tensor(index, at::kLong).to(logits.device()));
  if (!rows.empty()) {
    const at::Tensor after = generator.prefill(rows, ids);
    int64_t next = 0;
    for (size_t i = 0; i < asked.rows.size(); ++i) {
      if (!asked.questions[i]->ids.empty()) start[static_cast<int64_t>(i)].copy_(after[next++]);
    }
  }
  std::vector<int64_t> stop_ids = archive.contract().stop_ids;
  if (task.info().stop_at_newline) {
    const auto newline = archive.codec().encode("\n");
    if (!newline.empty()) stop_ids.push_back(newline.back());
  }
  if (task.info().minimum_new_tokens > 0) {
    for (const int64_t id : stop_ids) start.select(1, id).fill_(-std::numeric_limits<float>::infinity());
  }
  std::vector<int64_t> most;
  for (const auto* question : asked.questions) most.push_back(question->generation_tokens);
  const auto answers = generator.greedy(asked.rows, start, most, stop_ids);
  std::vector<std::string> texts;
  for (size_t i = 0; i < answers.size(); ++i) {
    std::string text = archive.codec().decode(answers[i]);
    if (task.info().cut_at_newline) {
      if (const size_t end = text.find('\n'); end != std::string::npos) text.resize(end);
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

double mean_tokens(const memory::CacheUsage& usage) {
  return static_cast<double>(usage.tokens) / static_cast<double>(usage.lengths.size());
}

}  // namespace

std::vector<double> Outcome::to_values() const {
  return {log_likelihood, exact, cache_fraction, cache_tokens};
}

Outcome Outcome::from_values(const std::vector<double>& values) {
  if (values.size() != 4)
    throw DataError("a work item's record holds other numbers than this program writes");
  return {values[0], values[1], values[2], values[3]};
}

Evaluation::Evaluation(std::shared_ptr<const models::Archive> archive, EvaluationOptions options)
    : archive_(std::move(archive)), options_(std::move(options)) {
  if (options_.positions == memory::PositionMode::compacted)
    inverse_frequencies_ = archive_->inverse_frequencies();
}

memory::SessionOptions Evaluation::session_options(
    std::shared_ptr<const memory::EvictionPolicy> policy) const {
  memory::SessionOptions options;
  options.backend = options_.backend;
  options.shape = archive_->contract().shape;
  options.dtype = archive_->dtype();
  options.device = archive_->device();
  options.policy = std::move(policy);
  options.protect = options_.protect;
  options.positions = options_.positions;
  options.inverse_frequencies = inverse_frequencies_;
  return options;
}

RowId Evaluation::add_row(Session& session, const tasks::Task& task, const tasks::Sample& sample,
                          const std::vector<int64_t>& ids, int64_t tag) const {
  const RowId row = session.add_row(0, tag);
  if (!options_.protect.text.empty()) {
    session.protect(row, models::require_spans(archive_->codec(), ids, options_.protect.text,
                                               format_text("{}, sample {}", task.info().name, sample.id)));
  }
  return row;
}

std::vector<int64_t> Evaluation::context_ids(const tasks::Task& task, const tasks::Sample& sample) const {
  if (!task.info().chat || !archive_->contract().has_chat()) return sample.context_ids;
  return archive_->encode_prompt(sample.context, true);
}

std::vector<Outcome> Evaluation::score(const std::shared_ptr<const memory::EvictionPolicy>& policy,
                                       int64_t members, const tasks::Task& task,
                                       const std::vector<tasks::Sample>& samples, bool greedy_answers) const {
  Session session(session_options(policy));
  models::Generator generator(archive_, session, {options_.chunk_tokens});
  const bool decode = greedy_answers && !is_exact_match(task);
  const int64_t period = policy->schedule().period_tokens;
  const auto count = static_cast<int64_t>(samples.size());

  // Up to the first update all members have one cache: it is read once, and forked before the update.
  std::vector<RowId> shared;
  std::vector<std::vector<int64_t>> heads;
  std::vector<std::vector<int64_t>> tails;
  std::vector<std::vector<int64_t>>
      held_back;  // LongBench's prompt is all context: its last token stands for a question
  for (int64_t s = 0; s < count; ++s) {
    std::vector<int64_t> ids = context_ids(task, samples[s]);
    shared.push_back(add_row(session, task, samples[s], ids, samples[s].id));
    held_back.emplace_back();
    const bool whole_prompt = !samples[s].questions.empty() && samples[s].questions.front().ids.empty();
    if (whole_prompt && !decode && ids.size() > 1) {
      held_back.back() = {ids.back()};
      ids.pop_back();
    }
    const auto tokens = static_cast<int64_t>(ids.size());
    const int64_t head = period > 0 ? std::min(tokens, period) : tokens;
    heads.emplace_back(ids.begin(), ids.begin() + head);
    tails.emplace_back(ids.begin() + head, ids.end());
  }
  const at::Tensor shared_logits = generator.prefill_until_update(shared, heads);

  const auto row_count = static_cast<size_t>(members * count);
  std::vector<RowId> rows(row_count);
  std::vector<const tasks::Sample*> row_samples(row_count);
  std::vector<int64_t> row_members(row_count);
  std::vector<int64_t> tags(row_count);
  std::vector<int64_t> logits_of(row_count);
  // Forks of one row come one after another, so that their features are computed once.
  for (int64_t s = 0; s < count; ++s) {
    for (int64_t m = 0; m < members; ++m) {
      const auto i = static_cast<size_t>(m * count + s);
      rows[i] = session.fork(shared[s], m, samples[s].id);
      row_samples[i] = &samples[s];
      row_members[i] = m;
      tags[i] = samples[s].id;
      logits_of[i] = s;
    }
  }
  for (const RowId row : shared) session.drop(row);
  session.update();
  at::Tensor logits =
      shared_logits.index_select(0, at::tensor(logits_of, at::kLong).to(shared_logits.device()));
  std::vector<RowId> longer;
  std::vector<std::vector<int64_t>> rest;
  std::vector<int64_t> places;
  for (size_t i = 0; i < row_count; ++i) {
    if (tails[i % samples.size()].empty()) continue;
    longer.push_back(rows[i]);
    rest.push_back(tails[i % samples.size()]);
    places.push_back(static_cast<int64_t>(i));
  }
  if (!longer.empty())
    logits.index_copy_(0, at::tensor(places, at::kLong).to(logits.device()), generator.prefill(longer, rest));

  std::vector<Outcome> outcomes(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    outcomes[i].cache_tokens = mean_tokens(session.usage(rows[i]));
    outcomes[i].cache_fraction =
        outcomes[i].cache_tokens / static_cast<double>(session.tokens_processed(rows[i]));
  }
  if (decode) {
    const Asked asked = ask(session, rows, row_samples, row_members, tags);
    const auto texts = decode_answers(*archive_, generator, asked, logits, task);
    for (size_t i = 0; i < texts.size(); ++i) {
      outcomes[asked.parent[i]].exact += task.score(texts[i], *asked.questions[i]).value_or(0) /
                                         static_cast<double>(row_samples[asked.parent[i]]->questions.size());
    }
    // The given answers have no place in what was decoded.
    for (auto& outcome : outcomes) outcome.log_likelihood = std::numeric_limits<double>::quiet_NaN();
    return outcomes;
  }
  const Asked asked = ask(session, rows, row_samples, row_members, tags);
  std::vector<std::vector<int64_t>> prompts;
  std::vector<std::vector<int64_t>> targets;
  for (size_t i = 0; i < asked.rows.size(); ++i) {
    const auto& question = *asked.questions[i];
    prompts.push_back(question.ids.empty() ? held_back[asked.parent[i] % samples.size()] : question.ids);
    targets.push_back(question.target_ids);
  }
  const auto scored = generator.score(asked.rows, prompts, targets);
  for (size_t i = 0; i < scored.size(); ++i) {
    const auto questions = static_cast<double>(row_samples[asked.parent[i]]->questions.size());
    Outcome& outcome = outcomes[asked.parent[i]];
    outcome.log_likelihood += scored[i].log_likelihood / static_cast<double>(scored[i].tokens) / questions;
    outcome.exact += (scored[i].greedy_match ? 1.0 : 0.0) / questions;
  }
  return outcomes;
}

memory::FeatureStatistics Evaluation::calibrate(const memory::NammConfig& config, const tasks::Task& task,
                                                const std::vector<tasks::Sample>& samples) const {
  auto options = session_options(std::make_shared<memory::FullPolicy>());
  options.extra_needs.spectrogram = config.needed_spectrogram();
  options.extra_period_tokens = config.period_tokens;
  Session session(options);
  memory::FeatureStatistics statistics;
  session.set_observer([&](const memory::UpdateView& view) {
    for (const auto& layer : view.layers)
      statistics.accumulate(memory::spectral_features(layer.ema, config.spectral));
  });
  models::Generator generator(archive_, session, {options_.chunk_tokens});
  std::vector<RowId> rows;
  std::vector<std::vector<int64_t>> ids;
  for (const auto& sample : samples) {
    rows.push_back(session.add_row(0, sample.id));
    ids.push_back(context_ids(task, sample));
  }
  generator.prefill(rows, ids);
  return statistics;
}

Evaluation::ContextRun Evaluation::run(const std::shared_ptr<const memory::EvictionPolicy>& policy,
                                       const tasks::Task& task, const tasks::Sample& sample,
                                       int64_t tag) const {
  Session session(session_options(policy));
  models::Generator generator(archive_, session, {options_.chunk_tokens});
  const std::vector<std::vector<int64_t>> ids{context_ids(task, sample)};
  const RowId row = add_row(session, task, sample, ids.front(), tag);

  ContextRun run;
  auto start = Clock::now();
  const at::Tensor logits = generator.prefill(std::span(&row, 1), ids);
  run.result.prefill_seconds = seconds_since(start);
  const memory::CacheUsage usage = session.usage(row);
  run.result.sample = sample.id;
  run.result.prompt_tokens = static_cast<int64_t>(ids.front().size());
  run.result.cached_tokens = usage.lengths;
  run.result.cache_bytes = usage.cache_bytes;
  run.result.excess_tokens = usage.excess_tokens;
  run.result.truncated = sample.truncated;

  start = Clock::now();
  const Asked asked = ask(session, {row}, {&sample}, {0}, {tag});
  run.predictions = decode_answers(*archive_, generator, asked, logits, task);
  run.result.decode_seconds = seconds_since(start);
  run.kept.rows[tag] = session.kept_history(row);
  for (size_t q = 0; q < asked.rows.size(); ++q) {
    run.kept.rows[question_tag(tag, q)] = session.kept_history(asked.rows[q]);
  }
  for (size_t i = 0; i < run.predictions.size(); ++i) {
    const std::optional<double> score = task.score(run.predictions[i], sample.questions[i]);
    run.result.unscored += score ? 0 : 1;
    run.result.scores.push_back(score.value_or(0));
  }
  return run;
}

}  // namespace namm::experiments
