#pragma once

#include <ostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/bench/case.h"

namespace namm::experiments {

/// What the figures were measured on.
struct BenchMachine {
  std::string processor;
  int threads = 0;
  std::string torch_version;
  std::string revision;

  /// Of this program on this machine.
  static BenchMachine here(int threads);
};

/// One object a case (design 4): `ratio` is null where nothing was measured, `note` is for people.
nlohmann::ordered_json to_json(const bench::Outcome& outcome);

/// The machine, then an aligned Markdown table, a row at a time as cases end.
class BenchTable {
 public:
  BenchTable(std::ostream& out, const BenchMachine& machine);
  void add(const bench::Outcome& outcome);

 private:
  void row(const std::vector<std::string>& cells);
  std::ostream& out_;
};

}  // namespace namm::experiments
