#include "experiments/table.h"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/run_directory.h"
#include "experiments/cell_samples.h"
#include "experiments/commands/command.h"
#include "experiments/table_formats.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::vector<std::string> runs;
  std::string layout;
  std::string format = "md";
  std::string explain;
  bool json = false;
};

RunResults results_of(const std::filesystem::path& path) {
  const RunDirectory run = RunDirectory::open_to_read(path);
  std::error_code error;
  if (!std::filesystem::exists(run.results(), error)) {
    throw DataError(
        path.string() +
        ": no evaluate stage of this run is complete yet (results.h5 is missing); go on with: namm "
        "run --resume " +
        path.string());
  }
  return {run.name(), read_results(run.results())};
}

void show_table(const Options& options) {
  options.common.apply();
  std::vector<RunResults> runs;
  for (const auto& run : options.runs) runs.push_back(results_of(run));
  if (!options.explain.empty()) {
    std::cout << explain_cell(runs, options.explain);
    return;
  }
  TableLayout layout;
  if (!options.layout.empty()) layout = read_config<TableLayout>(ConfigDocument::load(options.layout));
  const Table table = make_table(runs, layout);
  if (options.json || options.format == "json") {
    std::cout << to_json(table).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else if (options.format == "csv") {
    std::cout << to_csv(table);
  } else if (options.format == "latex") {
    std::cout << to_latex(table);
  } else {
    std::cout << to_markdown(table);
  }
}

}  // namespace

void add_table(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command =
      app.add_subcommand("table", "Methods x tasks with intervals and cache sizes, from finished runs");
  auto options = std::make_shared<Options>();
  command->add_option("runs", options->runs, "Run directories")->required();
  command->add_option("--layout", options->layout, "Columns, rows and groups (configs/table/*.yaml)");
  command->add_option("--format", options->format, "md, csv, latex or json")
      ->check(CLI::IsMember({"md", "csv", "latex", "json"}))
      ->capture_default_str();
  command->add_option("--explain", options->explain,
                      "Samples behind one cell, POLICY:TASK, e.g. namm:needle/hop");
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { show_table(*options); }; });
}

}  // namespace namm::experiments
