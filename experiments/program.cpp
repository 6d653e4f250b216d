#include "experiments/program.h"

#include <exception>
#include <filesystem>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

#include "core/build_info.h"
#include "core/errors.h"
#include "experiments/commands/command.h"
#include "experiments/out_of_memory.h"
#include "models/torch_error.h"

namespace namm::experiments {

namespace {

constexpr int kInternalError = 1;

int report(std::string text, int code) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::cerr << "namm: error: " << text << std::endl;
  return code;
}

std::string version() {
  const BuildInfo& build = build_info();
  return "namm " + build.version + " (" + build.git_revision.substr(0, 12) +
         (build.git_dirty ? ", modified" : "") + ", " + build.build_type + ", " + build.compiler + ")";
}

/// `action` with every error turned into a line and an exit code.
template <class Action>
int guarded(Action action) {
  try {
    action();
    std::cout.flush();
    if (!std::cout)
      return report("standard output cannot be written", static_cast<int>(ExitCode::infrastructure));
    return 0;
  } catch (const Error& error) {
    return report(error.what(), static_cast<int>(error.code()));
  } catch (const std::filesystem::filesystem_error& error) {
    return report(error.what(), static_cast<int>(ExitCode::infrastructure));
  } catch (const std::exception& error) {
    if (models::is_out_of_memory(error))
      return report(out_of_memory_advice(error), static_cast<int>(ExitCode::infrastructure));
    return report("internal error, please report it: " + models::torch_reason(error), kInternalError);
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  CLI::App app("Neural Attention Memory Models: evolve, measure and use the memory of a Transformer.",
               "namm");
  app.set_version_flag("--version", version());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.option_defaults()->always_capture_default();
  app.footer(
      "Exit codes: 0 done, 2 configuration or arguments, 3 data or model file, 4 disk, worker or server, 130 "
      "interrupted with state saved.\n`namm COMMAND --help` tells more.");
  std::vector<std::string> command_line(argv, argv + argc);
  Action action;
  for (const auto add : {add_run, add_worker, add_warm_start, add_generate, add_score, add_table, add_export,
                         add_describe, add_plan, add_status, add_data, add_bench, add_doctor}) {
    add(app, command_line, action);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return report(std::string(error.what()) + " (see namm --help)", static_cast<int>(ExitCode::config));
  }
  return guarded(action);
}

}  // namespace namm::experiments
