#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "experiments/commands/command.h"
#include "experiments/places.h"
#include "tasks/data_check.h"

namespace namm::experiments {

namespace {

using nlohmann::ordered_json;

struct Options {
  CommonOptions common;
  std::string path;
  bool json = false;
};

std::string text_of(const ordered_json& value) {
  return value.get<std::string>();
}

void print_file(const ordered_json& file) {
  const int64_t records = file["records"].get<int64_t>(), bad = file["bad_records"].get<int64_t>(),
                official = file["official_records"].get<int64_t>();
  std::string line = format_text("  {}: {} records", text_of(file["file"]), records);
  if (records + bad != official) line += format_text(" (the official file: {})", official);
  if (bad > 0) line += format_text(", {} bad", bad);
  std::cout << line << "\n";
  if (!file["error"].is_null()) std::cout << "    " << text_of(file["error"]) << "\n";
  for (const auto& reason : file["bad"]) std::cout << "    " << text_of(reason) << "\n";
  if (const auto more = bad - static_cast<int64_t>(file["bad"].size()); more > 0)
    std::cout << "    and " << more << " more\n";
}

void check(const Options& options) {
  options.common.apply();
  const ordered_json document = tasks::check_data(options.path, dictionaries_folder());
  int64_t bad = 0, unusable = 0;
  for (const auto& benchmark : document["benchmarks"]) {
    for (const auto& file : benchmark["files"]) {
      bad += file["bad_records"].get<int64_t>();
      unusable += file["error"].is_null() ? 0 : 1;
    }
  }
  if (options.json) {
    std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    for (const auto& benchmark : document["benchmarks"]) {
      const size_t there = benchmark["files"].size(), missing = benchmark["missing"].size();
      std::cout << format_text("{}: {} of {} files\n", text_of(benchmark["benchmark"]), there,
                               there + missing);
      for (const auto& file : benchmark["files"]) print_file(file);
      if (missing == 0) continue;
      std::vector<std::string> names;
      for (const auto& name : benchmark["missing"]) names.push_back(text_of(name));
      std::cout << format_text("  missing: {}\n    {}\n", join(names, ", "), text_of(benchmark["origin"]));
    }
  }
  if (bad + unusable > 0) {
    throw DataError(format_text(
        "{}: {} bad records, {} files that cannot be used; `run --skip-bad-records` leaves bad records out",
        options.path, bad, unusable));
  }
}

}  // namespace

void add_data(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* data = app.add_subcommand("data", "Looks at benchmark files");
  data->require_subcommand(1);
  auto* command = data->add_subcommand("check", "Which benchmark files are there, and which records are bad");
  auto options = std::make_shared<Options>();
  command->add_option("DIR", options->path, "Folder or zip archive with the files of a benchmark")
      ->required();
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { check(*options); }; });
}

}  // namespace namm::experiments
