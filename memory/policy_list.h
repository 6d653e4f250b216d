#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "core/config.h"
#include "memory/budget.h"
#include "memory/eviction_policy.h"
#include "memory/namm_config.h"
#include "memory/normalisation.h"
#include "memory/protection.h"

namespace namm::memory {

/// The `memory` section of an experiment: the evolved memory's constants and the baselines' settings. The
/// baselines share the period.
struct MemoryConfig : NammConfig {
  int64_t sinks = 4;                  ///< recency, expected-attention
  double recent_fraction = 0.5;       ///< h2o
  int64_t snapkv_window_tokens = 32;  ///< snapkv and those built on it: pyramidkv, adakv
  int64_t snapkv_pool_tokens = 5;
  double pyramidkv_beta = 20;
  double adakv_own_fraction = 0.2;
  uint64_t seed = 1;  ///< random, namm-counts-random
  Protection protect;
  std::string backend = "auto";
  ConfigPath file;  ///< evolved memory where no stage evolves one; empty: the shipped one

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    NammConfig::fields(self, visit);
    visit("sinks", self.sinks, at_least(0),
          "policies recency and expected-attention: first tokens of a sequence that stay");
    visit("recent_fraction", self.recent_fraction, between(0, 1),
          "policy h2o: share of the budget for the newest tokens");
    visit("snapkv_window_tokens", self.snapkv_window_tokens, between(1, 1 << 20),
          "policies snapkv, pyramidkv, adakv: newest tokens that stay and whose queries judge the others");
    visit("snapkv_pool_tokens", self.snapkv_pool_tokens, between(1, 1 << 20),
          "the same policies: neighbours that attention is averaged over, an odd number; 1: none");
    visit("pyramidkv_beta", self.pyramidkv_beta, at_least(1),
          "policy pyramidkv: the mean layer's share over the last layer's");
    visit("adakv_own_fraction", self.adakv_own_fraction, between(0, 1),
          "policy adakv: share of a head's budget that other heads cannot take");
    visit("seed", self.seed, "policies random and namm-counts-random: key of the draws");
    visit("protect", self.protect, "tokens that stay under every policy, whatever the budget");
    visit("backend", self.backend, one_of({"auto", "reference", "cpu", "check"}),
          "how attention and the update are computed; check runs two and compares them");
    visit("file", self.file, "evolved memory where no stage evolves one");
  }
  void check(const ConfigNode& node) const;  ///< as NammConfig; an odd pool

  bool operator==(const MemoryConfig&) const = default;
};

/// What policies are made from; each takes what it needs.
struct PolicyArguments {
  MemoryConfig config;
  at::Tensor parameters;         ///< policies that need a memory: float32 [members, n]
  FeatureStatistics statistics;  ///< the same
  Budget budget;                 ///< baselines
  std::shared_ptr<const RecordedCounts>
      recorded;  ///< baselines whose budget needs what NAMM kept; filled before they run
};

/// full, recency, random, h2o, l2, l2-high, tova, snapkv, pyramidkv, adakv, keydiff, expected-attention,
/// namm, namm-mix, namm-counts-random, namm-topk.
std::vector<std::string> policy_names();

/// Whether the policy takes a budget (all but full, namm and namm-mix); namm-counts-random brings its own,
/// match_namm_heads.
bool takes_budget(const std::string& name);
/// Whether the policy draws by MemoryConfig::seed.
bool draws(const std::string& name);
/// Whether the policy is made from an evolved memory.
bool needs_memory(const std::string& name);
/// Whether what the policy kept is what others match: namm and namm-mix, of which a memory fits one.
bool gives_counts(const std::string& name);
/// The policy that applies a memory of these constants: namm-mix for scorer mix, else namm.
std::string memory_policy(const NammConfig& config);
/// Whether a memory of these constants fits the policy, which needs one.
bool fits_memory(const std::string& name, const NammConfig& config);
/// Whether the policy cannot run before NAMM's counts were recorded.
bool needs_counts(const std::string& name, const Budget& budget);

/// Throws ConfigError for an unknown name, with the list; TORCH_CHECK for arguments that do not fit.
std::shared_ptr<const EvictionPolicy> make_policy(const std::string& name, const PolicyArguments& arguments);

}  // namespace namm::memory
