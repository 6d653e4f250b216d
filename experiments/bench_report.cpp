#include "experiments/bench_report.h"

#include <cmath>
#include <fstream>
#include <iomanip>
#include <optional>
#include <sstream>

#include <torch/version.h>

#include "core/build_info.h"
#include "core/text.h"

namespace namm::experiments {

namespace {

// Widths of the columns but the last.
constexpr int kWidths[] = {16, 8, 10, 10, 7, 7, 5, 6};

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("model name")) continue;
    return std::string(trim(line.substr(line.find(':') + 1)));
  }
  return "unknown processor";
}

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

std::string seconds(const std::optional<double>& value) {
  if (!value) return "-";
  return fixed(*value, *value < 0.1 ? 4 : *value < 10 ? 3 : 1);
}

nlohmann::ordered_json number(const std::optional<double>& value) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return *value;
}

}  // namespace

BenchMachine BenchMachine::here(int threads) {
  const BuildInfo& build = build_info();
  return {processor_name(), threads, TORCH_VERSION,
          build.git_revision.substr(0, 12) + (build.git_dirty ? " (modified)" : "")};
}

nlohmann::ordered_json to_json(const bench::Outcome& outcome) {
  const auto& measured = outcome.measured;
  nlohmann::ordered_json entry;
  entry["name"] = outcome.goal.name;
  entry["ratio"] = measured ? number(measured->ratio) : nlohmann::ordered_json(nullptr);
  entry["target"] = outcome.goal.target;
  entry["floor"] = number(outcome.goal.floor);
  entry["unit"] = outcome.goal.unit;
  entry["passed"] = outcome.passed();
  entry["skipped"] = !outcome.skipped.empty();
  entry["baseline_seconds"] = measured ? number(measured->baseline_seconds) : nlohmann::ordered_json(nullptr);
  entry["seconds"] = measured ? number(measured->seconds) : nlohmann::ordered_json(nullptr);
  entry["note"] = measured ? measured->note : outcome.skipped + outcome.mismatch + outcome.error;
  return entry;
}

BenchTable::BenchTable(std::ostream& out, const BenchMachine& machine) : out_(out) {
  out_ << format_text("{}, {} thread(s), LibTorch {}, revision {}\n\n", machine.processor, machine.threads,
                      machine.torch_version, machine.revision);
  row({"name", "of", "baseline s", "ours s", "ratio", "target", "floor", "passed", "note"});
  out_ << "|";
  for (const int width : kWidths) out_ << std::string(static_cast<size_t>(width) + 2, '-') << "|";
  out_ << "---|" << std::endl;
}

void BenchTable::add(const bench::Outcome& outcome) {
  const auto& goal = outcome.goal;
  const auto& measured = outcome.measured;
  const std::string note = measured                    ? measured->note
                           : !outcome.mismatch.empty() ? "RESULTS DIFFER: " + outcome.mismatch
                           : !outcome.error.empty()    ? "FAILED: " + outcome.error
                                                       : outcome.skipped;
  row({goal.name, goal.unit, measured ? seconds(measured->baseline_seconds) : "-",
       measured ? seconds(measured->seconds) : "-", measured ? fixed(measured->ratio, 2) : "-",
       (goal.lower_is_better ? "<= " : "") + fixed(goal.target, goal.target < 10 ? 1 : 0),
       goal.floor ? fixed(*goal.floor, 0) : "-",
       !outcome.skipped.empty() ? "skipped"
       : outcome.passed()       ? "yes"
                                : "no",
       note});
}

void BenchTable::row(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) {
    out_ << "| " << std::left;
    if (i + 1 < cells.size()) out_ << std::setw(kWidths[i]);
    out_ << cells[i] << " ";
  }
  out_ << "|" << std::endl;
}

}  // namespace namm::experiments
