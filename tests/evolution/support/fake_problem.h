#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <thread>

#include "core/random.h"
#include "evolution/coordinator.h"
#include "evolution/optimizer_list.h"
#include "evolution/queues/threads.h"

namespace namm::testing {

using namespace namm::evolution;

/// A problem of two tasks whose "model" is a quadratic with noise by sample; scores come in milliseconds.
class FakeProblem : public EvolutionProblem {
 public:
  bool with_reference = false;
  bool with_calibration = true;
  bool with_validation = true;

  std::vector<SampleId> samples(int64_t generation) const override {
    std::vector<SampleId> samples;
    for (int32_t task = 0; task < 2; ++task) {
      for (int64_t sample = 0; sample < 3; ++sample) {
        samples.push_back({task, 100 * generation + sample});
      }
    }
    return samples;
  }
  std::vector<SampleId> validation_samples() const override {
    return with_validation ? std::vector<SampleId>{{0, -1}, {0, -2}, {1, -1}} : std::vector<SampleId>{};
  }
  std::vector<SampleId> calibration_samples() const override {
    return with_calibration ? std::vector<SampleId>{{0, -10}, {0, -11}, {1, -12}} : std::vector<SampleId>{};
  }
  NamedArrays merge_calibration(std::span<const WorkResult> results) const override {
    double count = 0, sum = 0;
    for (const WorkResult& result : results) {
      const NamedArrays arrays = decode_arrays(result.bytes);
      count += double_of(arrays, "count");
      sum += double_of(arrays, "sum");
    }
    return {scalar_array("count", count), scalar_array("sum", sum)};
  }
  bool needs_reference(Purpose) const override { return with_reference; }
  Reduction reduce(const RecordTable& table, const RecordTable* reference) const override {
    Reduction reduction;
    reduction.cache_fraction = 0;
    for (int64_t row = 0; row < table.rows(); ++row) {
      double sum = 0;
      for (int64_t sample = 0; sample < static_cast<int64_t>(table.samples().size()); ++sample) {
        sum += table.at(row, sample).values.at(0) - (reference ? reference->at(0, sample).values.at(0) : 0);
        reduction.cache_fraction += table.at(row, sample).values.at(1);
      }
      reduction.fitness.push_back(sum / static_cast<double>(table.samples().size()));
    }
    reduction.cache_fraction /=
        static_cast<double>(table.rows() * static_cast<int64_t>(table.samples().size()));
    return reduction;
  }
};

/// What a worker computes for FakeProblem; pure.
inline WorkResult fake_result(const WorkItem& item) {
  WorkResult result;
  if (item.id.purpose == Purpose::calibrate) {
    double sum = 0;
    for (const SampleId& sample : item.samples) {
      sum += static_cast<double>(sample.sample) / 3;
    }
    result.bytes = encode(NamedArrays{scalar_array("count", static_cast<double>(item.samples.size())),
                                      scalar_array("sum", sum)});
    return result;
  }
  const NamedArrays statistics = decode_arrays(*item.shared);
  for (int64_t row = 0; row < item.rows(); ++row) {
    for (const SampleId& sample : item.samples) {
      double score = double_of(statistics, "sum") / 1000;
      if (!item.members.empty()) {
        for (const float value : item.parameters(row)) {
          score -= std::pow(static_cast<double>(value) - 0.3, 2);
        }
      }
      RandomStream noise({.seed = 5,
                          .purpose = "fake",
                          .member = static_cast<uint64_t>(sample.task),
                          .sample = static_cast<uint64_t>(sample.sample)});
      score += 0.01 * noise.normal();
      result.records.push_back({{score, 0.5}, "prediction"});
    }
  }
  return result;
}

/// Sleeps for a time that depends on item and thread, so that results come back in another order each time.
inline Evaluator uneven_evaluator() {
  return [](const WorkItem& item) {
    static std::atomic<uint64_t> calls{0};
    RandomStream stream({.seed = calls++, .purpose = "sleep"});
    std::this_thread::sleep_for(std::chrono::microseconds(stream.uniform_int(1500)));
    return fake_result(item);
  };
}

}  // namespace namm::testing
