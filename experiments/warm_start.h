#pragma once

#include <cstdint>
#include <vector>

#include <c10/core/Device.h>

#include "experiments/experiment.h"
#include "experiments/warm_start_fit.h"
#include "memory/memory_file.h"
#include "memory/session.h"
#include "models/archive.h"
#include "tasks/task.h"

namespace namm::experiments {

/// What of the samples is read while attention is traced. `none`: contexts alone, whose own later tokens say
/// what is attended to; no label has a part in it. `questions`: the questions, too, and the answers as far as
/// scoring reads them (all but the last token).
enum class LabelUse : uint8_t { none, questions };

/// "none" or "questions"; throws ConfigError for anything else.
LabelUse label_use(const std::string& name);
std::string to_string(LabelUse labels);

struct WarmStartOptions {
  int64_t contexts = 8;  ///< a task, to fit to; a quarter more, at least one, to judge the fit by
  LabelUse labels = LabelUse::none;
  RankWithin rank = RankWithin::update;
  double keep_fraction = 0.8;  ///< share of the tokens whose score shall be at least 0, at each update
  FitOptions fit;              ///< `seed` and `threads` included
  c10::Device device = c10::kCPU;
};

/// Memories and rules on the contexts that the fit has not seen.
struct WarmStart {
  memory::MemoryFile file;
  int64_t training_heads = 0;  ///< (context, update, layer, KV head) fitted to
  int64_t held_out_heads = 0;
  int64_t tokens_read = 0;  ///< of all contexts, questions and answers
  FitQuality training;      ///< of the warm start, on what it was fitted to
  FitQuality held_out;
  FitQuality zero;      ///< the vector of zeros, where evolution begins otherwise
  FitQuality received;  ///< a token's attention so far, h2o's evidence, as normal scores of its rank
  FitQuality recent;    ///< its attention since the update before, the same
};

/// One context under the full cache: the heads that `choice` names at every update, and the attention their
/// tokens receive afterwards. `options`: shape, type, device and backend.
std::vector<memory::TracedHead> trace_context(const std::shared_ptr<const models::Archive>& archive,
                                              const memory::SessionOptions& options, int64_t chunk_tokens,
                                              const memory::NammConfig& config,
                                              const memory::FeatureStatistics& statistics,
                                              const std::vector<int64_t>& context_ids,
                                              const std::vector<tasks::Question>& questions, LabelUse labels,
                                              const memory::AttentionTrace::Choice& choice);

/// A memory for the first evolve stage of `config` to start from (stages.N.evolve.start): statistics as that
/// stage would calibrate them, parameters fitted so that a token scores by the attention that it receives
/// later. Training samples only. Updates that fewer queries than a period come after say nothing, unless
/// questions do. The same configuration and options give the same bits. Throws ConfigError: no evolve stage,
/// scorer mix, more contexts than there are; DataError: model or data, or no context with an update that
/// later queries say something about.
WarmStart warm_start(const ExperimentConfig& config, const WarmStartOptions& options);

}  // namespace namm::experiments
