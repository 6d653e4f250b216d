#include "experiments/throughput_model.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"
#include "experiments/expected_task.h"
#include "memory/policy_list.h"

namespace namm::experiments {

namespace {

using evolution::Purpose;

constexpr double kFeedForwardRatio = 3.5;   // Llama-3-8B: 14336 / 4096
constexpr int64_t kShortAnswerTokens = 16;  // question and answer that are scored, not decoded
constexpr int kQuantiles = 64;

/// `mean` times equally likely quantiles of a lognormal distribution of mean 1.
std::vector<double> lognormal_quantiles(double mean, double spread) {
  if (spread == 0) return {mean};
  const double sigma = std::sqrt(std::log1p(spread * spread));
  std::vector<double> values;
  double sum = 0;
  for (int i = 0; i < kQuantiles; ++i) {
    values.push_back(std::exp(sigma * inverse_normal((i + 0.5) / kQuantiles)));
    sum += values.back();
  }
  for (double& value : values) value *= mean * kQuantiles / sum;
  return values;
}

/// Costs of the configured model on the assumed device.
class Costs {
 public:
  Costs(const ExperimentConfig& config, const ThroughputModel& model)
      : sizes_(config.model), memory_(config.memory), model_(model), parameters_(model.parameters) {
    if (parameters_ == 0) parameters_ = parameters_of(sizes_);
    const bool needs_sizes = !model.seconds_per_1k_tokens || !model.decode_steps_per_second;
    if (parameters_ == 0 && needs_sizes) {
      throw ConfigError(
          "the model's archive is not there and the configuration does not say its sizes (model.layers, "
          "heads, "
          "kv_heads, head_dim, hidden, vocabulary), so that item times cannot be predicted: give --times "
          "FILE, "
          "or --seconds-per-1k-tokens with --decode-steps-per-second");
    }
  }

  double parameters() const { return parameters_; }
  double element_bytes() const { return sizes_.dtype == "float32" ? 4 : 2; }

  /// Seconds to read the tokens [first, last) of one sequence.
  double read(int64_t first, int64_t last, bool with_memory) const {
    const auto tokens = static_cast<double>(last - first);
    if (model_.seconds_per_1k_tokens) return tokens / 1000 * *model_.seconds_per_1k_tokens;
    const double flops = flops_to(last, with_memory) - flops_to(first, with_memory);
    return flops / (model_.peak_flops * model_.utilisation);
  }

  /// Seconds to decode `steps` tokens for `rows` sequences of `tokens` at once.
  double decode(int64_t steps, int64_t rows, int64_t tokens) const {
    if (model_.decode_steps_per_second) return static_cast<double>(steps) / *model_.decode_steps_per_second;
    const double cache = 2.0 * static_cast<double>(sizes_.layers * sizes_.kv_heads * sizes_.head_dim) *
                         element_bytes() * static_cast<double>(tokens * rows);
    return static_cast<double>(steps) * (parameters_ * element_bytes() + cache) / model_.bytes_per_second;
  }

 private:
  double flops_to(int64_t tokens, bool with_memory) const {
    const auto n = static_cast<double>(tokens);
    const auto layers = static_cast<double>(sizes_.layers);
    const double attention = 2.0 * static_cast<double>(sizes_.head_dim * sizes_.heads) * layers * n * n;
    double flops = 2 * parameters_ * n + attention;
    if (!with_memory) return flops;
    flops += attention / 2;
    if (memory_.scorer == "bam") {
      const auto period = static_cast<double>(memory_.period_tokens);
      const double updates = std::floor(n / period);
      const double squares = updates * (updates + 1) * (2 * updates + 1) / 6;
      flops += 64 * static_cast<double>(sizes_.kv_heads) * layers * period * period * squares;
    }
    return flops;
  }

  const ModelConfig& sizes_;
  const memory::MemoryConfig& memory_;
  const ThroughputModel& model_;
  double parameters_;
};

/// What an item's contexts are like.
struct Contexts {
  int64_t tokens = 0;
  int64_t questions = 1;
  int64_t answer_tokens = 0;
};

Contexts contexts_of(const ExperimentConfig& config, const StageConfig& stage, const tasks::Task& task,
                     const ThroughputModel& model) {
  const auto settings = config.task_config(stage);
  const std::string& name = task.info().name;
  Contexts contexts;
  contexts.tokens = model.prompt_tokens ? *model.prompt_tokens
                                        : expected_length(name, settings, config.model.max_positions).tokens;
  if (name.starts_with("needle/")) contexts.questions = settings.questions_per_context;
  contexts.answer_tokens = task.info().generation_tokens;
  if (contexts.answer_tokens == 0) contexts.answer_tokens = kShortAnswerTokens;
  return contexts;
}

/// Whether the answers of an item of an evolve stage are decoded.
bool decodes(const EvolveConfig& stage, const evolution::ItemId& id, const tasks::Task& task) {
  const bool validation =
      id.purpose == Purpose::validation || (id.purpose == Purpose::reference && id.variant == 1);
  return (validation ? stage.validation.score : stage.fitness.score) == "exact" &&
         task.info().metric != "exact";
}

double seconds_of_answers(const Costs& costs, const Contexts& contexts, int64_t rows, bool decoded) {
  const int64_t asked = rows * contexts.questions;
  if (decoded) return costs.decode(contexts.answer_tokens, asked, contexts.tokens);
  return static_cast<double>(asked) *
         costs.read(contexts.tokens, contexts.tokens + kShortAnswerTokens, false);
}

double seconds_of_item(const ExperimentConfig& config, const StageConfig& stage,
                       const evolution::WorkItem& item, const tasks::Task& task, const Contexts& contexts,
                       const Costs& costs) {
  const int64_t samples = std::ssize(item.samples);
  if (stage.evaluate) {
    double seconds = 0;
    for (const auto& policy : stage.evaluate->policies) {
      seconds += costs.read(0, contexts.tokens, memory::needs_memory(policy)) +
                 seconds_of_answers(costs, contexts, 1, true);
    }
    return static_cast<double>(samples) * seconds;
  }
  const bool with_memory = item.id.purpose != Purpose::reference;
  const int64_t rows = item.rows();
  const int64_t shared = std::min(contexts.tokens, config.memory.period_tokens);
  const double reading = costs.read(0, shared, with_memory) +
                         static_cast<double>(rows) * costs.read(shared, contexts.tokens, with_memory);
  if (item.id.purpose == Purpose::calibrate) return static_cast<double>(samples) * reading;
  return static_cast<double>(samples) * reading +
         seconds_of_answers(costs, contexts, rows * samples, decodes(*stage.evolve, item.id, task));
}

int64_t result_bytes(const ExperimentConfig& config, const StageConfig& stage,
                     const evolution::WorkItem& item, const Contexts& contexts) {
  evolution::WorkResult result;
  result.content_hash.assign(32, ' ');
  result.rows = item.rows();
  result.samples = std::ssize(item.samples);
  const auto count = static_cast<size_t>(result.rows * result.samples);
  if (stage.evolve) {
    result.records.assign(count, {std::vector<double>(4), ""});
  } else {
    // Cached tokens of every head and the predicted text, of every policy.
    const int64_t heads = config.model.layers * config.model.kv_heads;
    const int64_t bytes = 5 * heads + 4 * contexts.questions * contexts.answer_tokens + 200;
    const auto policies = std::ssize(stage.evaluate->policies);
    result.records.assign(count, {{}, std::string(static_cast<size_t>(policies * bytes), ' ')});
  }
  return std::ssize(evolution::encode(result));
}

bool is_default_device(const ThroughputModel& model) {
  const ThroughputModel usual;
  return !model.seconds_per_1k_tokens && !model.decode_steps_per_second &&
         model.peak_flops == usual.peak_flops && model.utilisation == usual.utilisation &&
         model.bytes_per_second == usual.bytes_per_second;
}

std::string in_words(double value, double unit, const char* name) {
  return format_text("{} {}", std::round(value / unit * 100) / 100, name);
}

void describe_assumptions(const Costs& costs, const ThroughputModel& model,
                          std::vector<std::string>& assumptions) {
  assumptions.emplace_back(
      "Nothing was measured: item times are predicted from the figures below, which are assumptions.");
  if (model.seconds_per_1k_tokens) {
    assumptions.push_back(format_text("Prompts: {} s per 1,000 tokens (--seconds-per-1k-tokens).",
                                      *model.seconds_per_1k_tokens));
  } else {
    assumptions.push_back(format_text(
        "Prompts: {} parameters x 2 operations a token, plus attention and the memory's update with nothing "
        "forgotten, at {} x {} % (--peak-tflops, --utilisation; the defaults are one H100 SXM, dense "
        "bfloat16, "
        "and the 38 to 43 % that arXiv 2407.21783 reports for training).",
        in_words(costs.parameters(), 1e9, "billion"), in_words(model.peak_flops, 1e12, "TFLOP/s"),
        model.utilisation * 100));
  }
  if (model.decode_steps_per_second) {
    assumptions.push_back(
        format_text("Answers: {} tokens a second and row of the batch (--decode-steps-per-second).",
                    *model.decode_steps_per_second));
  } else {
    assumptions.push_back(format_text(
        "Answers: per token the {} of weights and the rows' cached keys and values are read once at {} "
        "(--bandwidth-gb; the default is one H100 SXM), and every answer is as long as its task allows.",
        in_words(costs.parameters() * costs.element_bytes(), 1e9, "GB"),
        in_words(model.bytes_per_second, 1e12, "TB/s")));
  }
  if (model.parameters == 0 && costs.parameters() > 0) {
    assumptions.push_back(
        format_text("The model's {} parameters follow from the configuration's sizes with a feed-forward "
                    "layer {} times as "
                    "wide as the residual stream (--parameters).",
                    in_words(costs.parameters(), 1e9, "billion"), kFeedForwardRatio));
  }
  if (model.spread > 0) {
    assumptions.push_back(format_text(
        "Times of one kind of item are lognormal with a coefficient of variation of {} (--spread).",
        model.spread));
  }
}

}  // namespace

double parameters_of(const ModelConfig& model) {
  const auto hidden = static_cast<double>(model.hidden);
  const auto width = static_cast<double>((2 * model.heads + 2 * model.kv_heads) * model.head_dim);
  const double layer = hidden * width + 3 * hidden * kFeedForwardRatio * hidden;
  if (width == 0 || hidden == 0 || model.kv_heads == 0 || model.vocabulary == 0) return 0;
  return static_cast<double>(model.layers) * layer + 2 * hidden * static_cast<double>(model.vocabulary);
}

ItemTimes predict_item_times(const ExperimentConfig& config, const std::vector<StageWork>& works,
                             const std::vector<std::vector<const tasks::Task*>>& tasks,
                             const ThroughputModel& model) {
  const Costs costs(config, model);
  ItemTimes times;
  times.device =
      is_default_device(model) ? "one H100, predicted" : "one device of the given rates, predicted";
  describe_assumptions(costs, model, times.assumptions);
  std::set<std::string> told;
  for (const StageWork& work : works) {
    const StageConfig& stage = config.stages[static_cast<size_t>(work.index)];
    const auto& of_stage = tasks[static_cast<size_t>(work.index)];
    for (const auto* items : work.all_items()) {
      for (const auto& item : *items) {
        ItemKind kind = kind_of(work, item);
        if (times.kinds.contains(kind)) continue;
        const tasks::Task& task = *of_stage.at(static_cast<size_t>(item.samples.front().task));
        const Contexts contexts = contexts_of(config, stage, task, model);
        const double mean = seconds_of_item(config, stage, item, task, contexts, costs);
        times.kinds[std::move(kind)] = {lognormal_quantiles(mean, model.spread),
                                        result_bytes(config, stage, item, contexts)};
      }
    }
    for (const auto* task : of_stage) {
      const auto settings = config.task_config(stage);
      const std::string& name = task->info().name;
      const std::string text =
          model.prompt_tokens
              ? format_text("{}: {} tokens a context (--prompt-tokens).", name, *model.prompt_tokens)
              : [&] {
                  const auto length = expected_length(name, settings, config.model.max_positions);
                  return format_text("{}: {} tokens a context ({}).", name, length.tokens, length.source);
                }();
      if (told.insert(text).second) times.assumptions.push_back(text);
    }
  }
  return times;
}

}  // namespace namm::experiments
