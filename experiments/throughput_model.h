#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "experiments/experiment.h"
#include "experiments/item_times.h"
#include "experiments/stage_work.h"
#include "tasks/task.h"

namespace namm::experiments {

/// What item times are predicted from where nothing can be measured. The defaults are one H100 SXM by its
/// data sheet (dense bfloat16, HBM3) and the share of the peak that arXiv 2407.21783 (table 4: 38 to 43 %)
/// reports for long runs of a Llama; assumptions, not measurements.
struct ThroughputModel {
  double parameters = 0;                        ///< of the Transformer; 0: from the configuration's sizes
  double peak_flops = 989e12;                   ///< a second
  double utilisation = 0.4;                     ///< share of the peak reached while prompts are read
  double bytes_per_second = 3.35e12;            ///< that answers are limited by, one token after another
  std::optional<double> seconds_per_1k_tokens;  ///< of prompts, instead of the arithmetic
  std::optional<double> decode_steps_per_second;
  std::optional<int64_t> prompt_tokens;  ///< of every context, instead of expected_length
  double spread = 0.25;  ///< coefficient of variation of a kind's times, which are taken as lognormal
};

/// Seconds of every kind of item. An item reads each of its samples once up to the first update, and from
/// there once a member; nothing is forgotten (an upper bound: what is forgotten makes attention and update
/// cheaper). Floating-point operations of N tokens: 2 a parameter and token, 2 d H N^2 a layer for attention,
/// and under a memory half of that again for the attention it reads, and 64 Hk (512 u)^2 a layer for the BAM
/// scorer at update u (reference: performance 3). Answers that are decoded take, per token, the time to read
/// the weights and the cached keys and values once. Throws ConfigError where the configuration says too
/// little of the model.
ItemTimes predict_item_times(const ExperimentConfig& config, const std::vector<StageWork>& works,
                             const std::vector<std::vector<const tasks::Task*>>& tasks,
                             const ThroughputModel& model);

/// Parameters of a Llama of these sizes, its feed-forward layer 3.5 times as wide as the residual stream;
/// 0 where a size is missing.
double parameters_of(const ModelConfig& model);

}  // namespace namm::experiments
