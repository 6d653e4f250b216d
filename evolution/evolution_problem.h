#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "evolution/named_array.h"
#include "evolution/record_table.h"
#include "evolution/work_item.h"

namespace namm::evolution {

/// What a problem makes of a table: fitness [rows], and numbers for the log row.
struct Reduction {
  std::vector<double> fitness;
  double cache_fraction = 1;
  std::vector<std::pair<std::string, double>> extra;  ///< further log columns, in this order
};

/// What `experiments` supplies. Everything must be a pure function of its arguments and the configuration: it
/// is called again after a crash and must give the same.
class EvolutionProblem {
 public:
  virtual ~EvolutionProblem() = default;

  /// Samples of a generation, the same for all members. A task's samples stand together.
  virtual std::vector<SampleId> samples(int64_t generation) const = 0;

  /// Samples on which the mean is validated; empty: no validation.
  virtual std::vector<SampleId> validation_samples() const { return {}; }

  /// Samples of the pass before generation 0 that collects normalisation statistics; empty: no such pass.
  virtual std::vector<SampleId> calibration_samples() const { return {}; }

  /// Merges the items' results, given in item order, into the statistics that the checkpoint keeps. Called
  /// with no result where there is no such pass: then it gives the statistics that the stage starts with
  /// (default: none).
  virtual NamedArrays merge_calibration(std::span<const WorkResult> results) const;

  /// Whether the samples of a purpose (population, validation) are also scored by a reference (the full
  /// cache).
  virtual bool needs_reference(Purpose /*purpose*/) const { return false; }

  /// Opaque bytes that every item of a batch carries; here the encoded statistics (`decode_arrays` reads
  /// them).
  virtual std::string shared_bytes(Purpose purpose, const NamedArrays& statistics) const;

  /// Fitness of each row of `table`, reduced in fixed order in float64; `reference` has one row, null without
  /// reference.
  virtual Reduction reduce(const RecordTable& table, const RecordTable* reference) const = 0;

  /// What a validation of the mean is worth (fitness [1]); by default what the population is judged by.
  virtual Reduction reduce_validation(const RecordTable& table, const RecordTable* reference) const {
    return reduce(table, reference);
  }
};

}  // namespace namm::evolution
