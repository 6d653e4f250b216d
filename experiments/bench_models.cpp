#include "experiments/bench_models.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include <ATen/ATen.h>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"
#include "experiments/chunk_tokens.h"
#include "experiments/memory_source.h"
#include "experiments/places.h"
#include "memory/policies/namm.h"
#include "memory/policy_list.h"
#include "memory/session.h"
#include "models/generator.h"
#include "tests/bench/agreement.h"
#include "tests/bench/attend_override.h"
#include "tests/support/tolerances.h"

namespace namm::experiments {

namespace {

using bench::Measurement;
using bench::Settings;
using memory::RowId;
using memory::Session;

struct Subject {
  std::shared_ptr<const models::Archive> archive;
  memory::MemoryFile memory;

  std::shared_ptr<const memory::EvictionPolicy> policy(const std::string& name, memory::Budget budget) const {
    memory::PolicyArguments arguments;
    if (memory::needs_memory(name)) {
      static_cast<memory::NammConfig&>(arguments.config) = memory.config;
      arguments.parameters = memory.theta();
      arguments.statistics = memory.statistics;
    }
    arguments.budget = budget;
    return memory::make_policy(name, arguments);
  }

  Session session(std::shared_ptr<const memory::EvictionPolicy> policy) const {
    memory::SessionOptions options;
    options.shape = archive->contract().shape;
    options.dtype = archive->dtype();
    options.policy = std::move(policy);
    return Session(options);
  }

  /// Random ids past the special ones.
  std::vector<int64_t> prompt(int64_t tokens, uint64_t seed, uint64_t index = 0) const {
    constexpr int64_t kSpecial = 3;
    RandomStream stream({seed, "bench/prompt", index});
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < tokens; ++i)
      ids.push_back(kSpecial +
                    static_cast<int64_t>(stream.uniform_int(archive->contract().vocabulary - kSpecial)));
    return ids;
  }
};

class SharedSubject {
 public:
  const Subject& get() {
    if (!subject_.archive) {
      const auto model = shipped_file("models/tiny/tiny-llama.pt");
      if (!model) {
        throw DataError(
            "the shipped model models/tiny/tiny-llama.pt is missing (git checkout models/tiny brings it "
            "back)");
      }
      subject_.memory = read_memory_of(shipped_memory());
      subject_.archive = models::Archive::load(*model);
    }
    return subject_;
  }

 private:
  Subject subject_;
};

/// Logits after the prompt, [1, vocabulary].
at::Tensor prefill(const Subject& subject, Session& session, RowId row, const std::vector<int64_t>& ids) {
  models::Generator generator(subject.archive, session, {kChunkTokens});
  return generator.prefill(std::span(&row, 1), std::span(&ids, 1));
}

double prefill_seconds(const Subject& subject, const std::shared_ptr<const memory::EvictionPolicy>& policy,
                       const std::vector<int64_t>& ids) {
  Session session = subject.session(policy);
  const RowId row = session.add_row();
  return bench::seconds_of([&] { prefill(subject, session, row, ids); });
}

/// The same archive on the baseline's memory, in the same pieces of one period.
at::Tensor pipeline_prefill(const Subject& subject, bench::TorchPipeline& pipeline,
                            const std::vector<int64_t>& ids) {
  const bench::AttendOverride attend(pipeline);
  at::Tensor hidden;
  const auto tokens = static_cast<int64_t>(ids.size());
  const int64_t period = subject.memory.config.period_tokens;
  TORCH_CHECK(tokens % period == 0, "[bench] ", tokens, " tokens are no multiple of the shipped memory's ",
              period);
  for (int64_t begin = 0; begin < tokens; begin += period) {
    const at::Tensor chunk = at::tensor(at::ArrayRef<int64_t>(ids).slice(begin, period), at::kLong);
    hidden = subject.archive->step(subject.archive->embed(chunk),
                                   at::arange(begin, begin + period, at::kLong), attend.handle());
    pipeline.update();
  }
  return subject.archive->logits(hidden.slice(0, -1));
}

// ---- small-model-8192

/// Runs both programs once and throws Mismatch unless every decision and the last logits agree.
std::string compare_programs(const Subject& subject, bench::TorchPipeline pipeline,
                             const std::vector<int64_t>& ids) {
  std::vector<std::vector<memory::KeepDecision>> decisions;
  Session session = subject.session(subject.policy("namm", {}));
  session.set_decision_observer(
      [&](const memory::UpdateView&, const std::vector<memory::KeepDecision>& taken) {
        decisions.push_back(taken);
      });
  const RowId row = session.add_row();
  const at::Tensor ours = prefill(subject, session, row, ids);

  const memory::TransformerShape& shape = subject.archive->contract().shape;
  const int64_t heads_of_update = shape.layers * shape.kv_heads;
  int64_t heads_seen = 0, decided = 0, close = 0;
  std::vector<int64_t> starts(static_cast<size_t>(shape.layers), 0);
  pipeline.set_referee([&](int64_t layer, int64_t kv_head, const at::Tensor& scores, at::Tensor& keep) {
    const auto update = static_cast<size_t>(heads_seen++ / heads_of_update);
    if (kv_head == 0) starts[layer] = 0;
    const at::Tensor& packed = decisions.at(update).at(layer).keep;
    const int64_t n = keep.size(0);
    if (starts[layer] + n > packed.size(0)) throw bench::Mismatch("the caches differ in length");
    const at::Tensor chosen = packed.narrow(0, starts[layer], n);
    starts[layer] += n;
    decided += n;
    close += bench::require_same_choice("decisions", chosen, keep, scores,
                                        tolerances::bench::model_score_near_zero);
    keep.copy_(chosen);
  });
  const at::Tensor baseline = pipeline_prefill(subject, pipeline, ids);
  bench::require_close("logits", ours, baseline, tolerances::bench::logits);
  return format_text("{} decisions, {} of them within rounding of 0 and different", decided, close);
}

Measurement small_model(const Subject& subject, const Settings& settings) {
  const std::vector<int64_t> ids = subject.prompt(8192, settings.seed);
  const bench::TorchPipeline pipeline(subject.archive->contract().shape, subject.memory.config,
                                      subject.memory.theta(), subject.memory.statistics);
  const std::string note = compare_programs(subject, pipeline, ids);
  const auto policy = subject.policy("namm", {});
  return bench::compare_times(
      bench::time_in_turn({[&] {
                             bench::TorchPipeline fresh = pipeline;
                             return bench::seconds_of([&] { pipeline_prefill(subject, fresh, ids); });
                           },
                           [&] { return prefill_seconds(subject, policy, ids); }},
                          settings.repeats),
      note);
}

// ---- population-16x4

constexpr int64_t kMembers = 16, kPrompts = 4, kPromptTokens = 1024, kNewTokens = 64;

/// What one update decided on the tokens of one row in one layer, packed by head.
struct Decided {
  at::Tensor keep;    // bool [n]
  at::Tensor scores;  // float32 [n]
};

/// What the rows of a population did.
struct Generated {
  std::vector<std::vector<int64_t>> ids;
  std::vector<std::vector<double>> margins;   // of each id: logit of the best minus the next
  std::vector<std::vector<Decided>> decided;  // [row][update * L + layer]

  explicit Generated(size_t rows) : ids(rows), margins(rows), decided(rows) {}

  void add(size_t row, const at::Tensor& logits) {
    const at::Tensor best = std::get<0>(logits.topk(2));
    margins[row].push_back((best[0] - best[1]).item<double>());
  }
  void add(const memory::UpdateView& view, const std::vector<memory::KeepDecision>& decisions) {
    const auto heads = static_cast<size_t>(view.shape.kv_heads);
    for (size_t r = 0; r < view.rows.size(); ++r) {
      for (size_t l = 0; l < decisions.size(); ++l) {
        const int64_t begin = view.layers[l].offsets[r * heads],
                      end = view.layers[l].offsets[(r + 1) * heads];
        decided[static_cast<size_t>(view.rows[r].member * kPrompts + view.rows[r].tag)].push_back(
            {decisions[l].keep.slice(0, begin, end), decisions[l].scores.slice(0, begin, end)});
      }
    }
  }
};

class Population {
 public:
  Population(const Subject& subject, uint64_t seed) : subject_(subject) {
    // Members around the shipped memory, as an evolution has them.
    constexpr double kSigma = 0.05;
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    const at::Tensor mean = subject.memory.theta();
    theta_ = mean + at::randn({kMembers, mean.size(1)}, generator, mean.options()) * kSigma;
    for (int64_t p = 0; p < kPrompts; ++p) {
      prompts_.push_back(subject.prompt(kPromptTokens, seed, static_cast<uint64_t>(p)));
    }
  }

  /// All rows in one session.
  Generated together(bool observe) const {
    Generated all(kMembers * kPrompts);
    run(0, kMembers, 0, kPrompts, observe, all);
    return all;
  }

  /// Every row in a session of its own.
  Generated one_by_one(bool observe) const {
    Generated all(kMembers * kPrompts);
    for (int64_t m = 0; m < kMembers; ++m) {
      for (int64_t p = 0; p < kPrompts; ++p) run(m, 1, p, 1, observe, all);
    }
    return all;
  }

 private:
  void run(int64_t first_member, int64_t members, int64_t first_prompt, int64_t prompts, bool observe,
           Generated& all) const {
    Session session = subject_.session(
        std::make_shared<memory::NammPolicy>(subject_.memory.config, theta_, subject_.memory.statistics));
    if (observe) {
      session.set_decision_observer(
          [&](const memory::UpdateView& view, const std::vector<memory::KeepDecision>& decisions) {
            all.add(view, decisions);
          });
    }
    models::Generator generator(subject_.archive, session, {kChunkTokens});
    std::vector<int64_t> places;  // of the rows among all
    for (int64_t m = first_member; m < first_member + members; ++m) {
      for (int64_t p = first_prompt; p < first_prompt + prompts; ++p) places.push_back(m * kPrompts + p);
    }
    const std::vector<RowId> rows = fork_members(session, generator, first_prompt, prompts, places);
    std::vector<std::vector<int64_t>> rest;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::vector<int64_t>& ids = prompts_[places[i] % kPrompts];
      rest.emplace_back(ids.begin() + session.tokens_processed(rows[i]), ids.end());
    }
    const at::Tensor logits = generator.prefill(rows, rest);
    const std::vector<int64_t> limits(rows.size(), kNewTokens);
    models::TokenObserver margins;
    if (observe) {
      margins = [&](size_t row, int64_t, const at::Tensor& of_row) {
        all.add(places[row], of_row);
        return true;
      };
    }
    auto ids = generator.greedy(rows, logits, limits, {}, margins);
    for (size_t i = 0; i < rows.size(); ++i) all.ids[places[i]] = std::move(ids[i]);
  }

  /// A row a place, which has read its prompt up to and including the first update: members cannot differ
  /// before it, so that the tokens are read and their features computed once.
  std::vector<RowId> fork_members(Session& session, models::Generator& generator, int64_t first_prompt,
                                  int64_t prompts, const std::vector<int64_t>& places) const {
    std::vector<RowId> shared;
    std::vector<std::vector<int64_t>> heads;
    for (int64_t p = first_prompt; p < first_prompt + prompts; ++p) {
      shared.push_back(session.add_row());
      heads.emplace_back(prompts_[p].begin(),
                         prompts_[p].begin() + session.tokens_until_update(shared.back()));
    }
    generator.prefill_until_update(shared, heads);
    std::vector<RowId> rows(places.size());
    for (int64_t p = first_prompt; p < first_prompt + prompts; ++p) {
      const RowId parent = shared[p - first_prompt];
      for (size_t i = 0; i < places.size(); ++i) {
        if (places[i] % kPrompts == p) rows[i] = session.fork(parent, places[i] / kPrompts, p);
      }
      session.drop(parent);
    }
    session.update();
    return rows;
  }

  const Subject& subject_;
  at::Tensor theta_;
  std::vector<std::vector<int64_t>> prompts_;
};

/// Throws Mismatch unless every row decided and generated the same in both, up to scores within rounding of 0
/// and ties of the best two logits: from there on a row is another sequence and not compared.
std::string compare_populations(const Generated& ours, const Generated& baseline) {
  int64_t decisions = 0, ids = 0, close = 0, ties = 0;
  for (size_t row = 0; row < baseline.ids.size(); ++row) {
    bool parted = false;
    if (ours.decided[row].size() != baseline.decided[row].size())
      throw bench::Mismatch(format_text("row {} has another number of updates in a batch", row));
    for (size_t u = 0; u < baseline.decided[row].size() && !parted; ++u) {
      const Decided &mine = ours.decided[row][u], &theirs = baseline.decided[row][u];
      parted = bench::require_same_choice(format_text("row {}: decisions", row), mine.keep, theirs.keep,
                                          theirs.scores, tolerances::bench::model_score_near_zero) > 0;
      decisions += theirs.keep.size(0);
    }
    close += parted ? 1 : 0;
    for (size_t i = 0; i < baseline.ids[row].size() && !parted; ++i) {
      ++ids;
      if (ours.ids[row][i] == baseline.ids[row][i]) continue;
      const double margin = baseline.margins[row][i];
      if (margin > tolerances::other_program::greedy_margin) {
        throw bench::Mismatch(format_text("row {}, token {}: id {} in a batch, {} alone, ahead by {}", row, i,
                                          ours.ids[row][i], baseline.ids[row][i], margin));
      }
      ++ties;
      parted = true;
    }
  }
  return format_text(
      "{} decisions and {} ids the same; {} of {} rows part at a score within rounding of 0, {} at a tie",
      decisions, ids, close, baseline.ids.size(), ties);
}

Measurement population(const Subject& subject, const Settings& settings) {
  const Population population(subject, settings.seed);
  const std::string note = compare_populations(population.together(true), population.one_by_one(true));
  return bench::compare_times(
      bench::time_in_turn({[&] { return bench::seconds_of([&] { population.one_by_one(false); }); },
                           [&] { return bench::seconds_of([&] { population.together(false); }); }},
                          settings.repeats),
      note);
}

// ---- prefill-32768

/// Throws Mismatch unless every head holds `tokens` tokens after the prompt and the logits are numbers.
void require_cache(const Subject& subject, const std::string& name, const memory::Budget& budget,
                   const std::vector<int64_t>& ids, int64_t tokens) {
  Session session = subject.session(subject.policy(name, budget));
  const RowId row = session.add_row();
  const at::Tensor logits = prefill(subject, session, row, ids);
  if (!logits.isfinite().all().item<bool>()) throw bench::Mismatch(name + ": logits are no numbers");
  for (const int64_t n : session.usage(row).lengths) {
    if (n != tokens) {
      throw bench::Mismatch(format_text("{}: a head holds {} tokens, the budget is {}", name, n, tokens));
    }
  }
}

Measurement prefill_at_a_quarter(const Subject& subject, const Settings& settings) {
  constexpr int64_t kTokens = 32768;
  const std::vector<int64_t> ids = subject.prompt(kTokens, settings.seed);
  const memory::Budget quarter = memory::Budget::of_fraction(0.25);
  const std::vector<std::string> names{"recency", "l2"};
  std::vector<bench::Timed> programs{
      [&] { return prefill_seconds(subject, subject.policy("full", {}), ids); }};
  for (const std::string& name : names) {
    require_cache(subject, name, quarter, ids, kTokens / 4);
    programs.emplace_back([&] { return prefill_seconds(subject, subject.policy(name, quarter), ids); });
  }
  const bench::Timings timings = bench::time_in_turn(programs, settings.repeats);
  const double full = timings.medians[0], recency = timings.medians[1], l2 = timings.medians[2];
  const double worse = std::max(recency, l2);
  const auto rounded = [](double x) { return std::round(100 * x) / 100; };
  return {full / worse, full, worse,
          format_text("the slower of recency {} s and l2 {} s, at 25 %", rounded(recency), rounded(l2))};
}

// ---- exponent

struct Growth {
  double exponent = 0;
  double longest_seconds = 0;
};

Growth growth(const Subject& subject, const memory::Budget& budget, const std::vector<int64_t>& lengths,
              const Settings& settings) {
  const auto policy = subject.policy("namm-topk", budget);
  std::vector<std::vector<int64_t>> prompts;
  std::vector<bench::Timed> programs;
  std::vector<double> tokens;
  for (const int64_t length : lengths) {
    prompts.push_back(subject.prompt(length, settings.seed));
    tokens.push_back(static_cast<double>(length));
  }
  for (const auto& ids : prompts)
    programs.emplace_back([&] { return prefill_seconds(subject, policy, ids); });
  const bench::Timings timings = bench::time_in_turn(programs, settings.repeats);
  return {bench::fitted_exponent(tokens, timings.medians), timings.medians.back()};
}

Measurement exponent(const Subject& subject, const Settings& settings) {
  constexpr int64_t kBudget = 2048;
  require_cache(subject, "namm-topk", memory::Budget::of_tokens(kBudget), subject.prompt(4096, settings.seed),
                kBudget);
  const Growth fixed =
      growth(subject, memory::Budget::of_tokens(kBudget), {4096, 8192, 16384, 32768, 65536}, settings);
  const Growth share =
      growth(subject, memory::Budget::of_fraction(0.25), {4096, 8192, 16384, 32768}, settings);
  Measurement result;
  result.ratio = fixed.exponent;
  result.seconds = fixed.longest_seconds;
  const auto rounded = [](double x) { return std::round(100 * x) / 100; };
  result.note = format_text(
      "4k to 64k tokens, best {} by NAMM's scores; best 25 %, 4k to 32k: exponent {}, {} s at 32k", kBudget,
      rounded(share.exponent), rounded(share.longest_seconds));
  return result;
}

}  // namespace

std::vector<bench::Case> model_cases() {
  auto shared = std::make_shared<SharedSubject>();
  const auto of = [shared](Measurement (*run)(const Subject&, const Settings&)) {
    return [shared, run](const Settings& settings) { return run(shared->get(), settings); };
  };
  return {
      {{"small-model-8192", "time", 4, {}}, false, of(small_model)},
      {{"population-16x4", "time", 1.8, {}}, false, of(population)},
      {{"prefill-32768", "time", 2.2, {}}, false, of(prefill_at_a_quarter)},
      {{"exponent", "exponent", 1.10, 1, true}, false, of(exponent)},
  };
}

}  // namespace namm::experiments
