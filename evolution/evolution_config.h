#pragma once

#include <cstdint>

#include "core/config.h"
#include "evolution/optimizer_list.h"

namespace namm::evolution {

/// How a population is cut into items and what is kept. Members and samples of an item decide batch shapes
/// and with them the last bits of every score, so they belong to a run's configuration; the number of workers
/// does not.
struct ScheduleConfig {
  int64_t members_per_item = 4;
  int64_t samples_per_item = 8;
  int64_t keep_checkpoints = 3;

  bool operator==(const ScheduleConfig&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("members_per_item", self.members_per_item, between(1, 1 << 20),
          "members that a work item evaluates as one batch");
    visit("samples_per_item", self.samples_per_item, between(1, 1 << 20),
          "samples of one task that a work item evaluates");
    visit("keep_checkpoints", self.keep_checkpoints, between(1, 1 << 20), "newest checkpoints kept on disk");
  }
};

/// The whole `evolution:` mapping: the keys of both structs side by side.
struct EvolutionConfig {
  OptimizerConfig optimizer;
  ScheduleConfig schedule;

  bool operator==(const EvolutionConfig&) const = default;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    OptimizerConfig::fields(self.optimizer, visit);
    ScheduleConfig::fields(self.schedule, visit);
  }
  void check(const ConfigNode& node) const { optimizer.check(node); }
};

}  // namespace namm::evolution
