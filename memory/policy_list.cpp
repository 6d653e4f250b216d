#include "memory/policy_list.h"

#include <optional>

#include "core/errors.h"
#include "core/text.h"
#include "memory/policies/adakv.h"
#include "memory/policies/expected_attention.h"
#include "memory/policies/full.h"
#include "memory/policies/h2o.h"
#include "memory/policies/keydiff.h"
#include "memory/policies/l2.h"
#include "memory/policies/namm.h"
#include "memory/policies/namm_mix.h"
#include "memory/policies/namm_topk.h"
#include "memory/policies/pyramidkv.h"
#include "memory/policies/random.h"
#include "memory/policies/recency.h"
#include "memory/policies/snapkv.h"
#include "memory/policies/tova.h"

namespace namm::memory {
namespace {

using Make = std::shared_ptr<const EvictionPolicy> (*)(const PolicyArguments&);

struct Entry {
  const char* name;
  bool takes_budget;
  bool needs_memory;
  bool draws;
  Make make;
};

BaselineArguments baseline(const PolicyArguments& arguments) {
  return {arguments.config.period_tokens, arguments.budget, arguments.recorded};
}

// One line a policy: a new one is added here and nowhere else.
const Entry kPolicies[] = {
    {"full", false, false, false,
     [](const PolicyArguments&) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<FullPolicy>();
     }},
    {"recency", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<RecencyPolicy>(baseline(a), a.config.sinks);
     }},
    {"random", true, false, true,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<RandomPolicy>("random", baseline(a), a.config.seed);
     }},
    {"h2o", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<H2oPolicy>(baseline(a), a.config.recent_fraction);
     }},
    {"l2", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<L2Policy>(baseline(a), L2Policy::Keep::low_norms);
     }},
    {"l2-high", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<L2Policy>(baseline(a), L2Policy::Keep::high_norms);
     }},
    {"tova", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<TovaPolicy>(baseline(a));
     }},
    {"snapkv", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<SnapKvPolicy>(baseline(a), a.config.snapkv_window_tokens,
                                             a.config.snapkv_pool_tokens);
     }},
    {"pyramidkv", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<PyramidKvPolicy>(baseline(a), a.config.snapkv_window_tokens,
                                                a.config.snapkv_pool_tokens, a.config.pyramidkv_beta);
     }},
    {"adakv", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<AdaKvPolicy>(baseline(a), a.config.snapkv_window_tokens,
                                            a.config.snapkv_pool_tokens, a.config.adakv_own_fraction);
     }},
    {"expected-attention", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<ExpectedAttentionPolicy>(baseline(a), a.config.sinks);
     }},
    {"keydiff", true, false, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<KeyDiffPolicy>(baseline(a));
     }},
    {"namm", false, true, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<NammPolicy>(a.config, a.parameters, a.statistics);
     }},
    {"namm-mix", false, true, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<NammMixPolicy>(a.config, a.parameters, a.statistics);
     }},
    {"namm-counts-random", true, false, true,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       BaselineArguments own = baseline(a);
       own.budget = Budget{Budget::Kind::match_namm_heads, 0, 0};
       return std::make_shared<RandomPolicy>("namm-counts-random", own, a.config.seed);
     }},
    {"namm-topk", true, true, false,
     [](const PolicyArguments& a) -> std::shared_ptr<const EvictionPolicy> {
       return std::make_shared<NammTopkPolicy>(baseline(a), a.config, a.parameters, a.statistics);
     }},
};

const Entry& entry(const std::string& name) {
  for (const Entry& policy : kPolicies) {
    if (name == policy.name) return policy;
  }
  const std::vector<std::string> names = policy_names();
  const std::optional<std::string> meant = nearest(name, names);
  throw ConfigError("policy " + name + " is unknown" + (meant ? ", did you mean " + *meant + "?" : "") +
                    " There are: " + join(names, ", "));
}

}  // namespace

void MemoryConfig::check(const ConfigNode& node) const {
  NammConfig::check(node);
  if (snapkv_pool_tokens % 2 == 0) {
    node.fail_entry("snapkv_pool_tokens", std::to_string(snapkv_pool_tokens),
                    "an odd number, so that a token is in the middle");
  }
}

std::vector<std::string> policy_names() {
  std::vector<std::string> names;
  for (const Entry& policy : kPolicies) names.emplace_back(policy.name);
  return names;
}

bool takes_budget(const std::string& name) {
  return entry(name).takes_budget;
}

bool draws(const std::string& name) {
  return entry(name).draws;
}

bool needs_memory(const std::string& name) {
  return entry(name).needs_memory;
}

bool gives_counts(const std::string& name) {
  return entry(name).needs_memory && !entry(name).takes_budget;
}

std::string memory_policy(const NammConfig& config) {
  return config.mixes_heads() ? "namm-mix" : "namm";
}

bool fits_memory(const std::string& name, const NammConfig& config) {
  return config.mixes_heads() == (name == "namm-mix");
}

bool needs_counts(const std::string& name, const Budget& budget) {
  return entry(name).takes_budget && (name == "namm-counts-random" || budget.needs_counts());
}

std::shared_ptr<const EvictionPolicy> make_policy(const std::string& name, const PolicyArguments& arguments) {
  return entry(name).make(arguments);
}

}  // namespace namm::memory
