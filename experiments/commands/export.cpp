#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include "core/log.h"
#include "core/text.h"
#include "experiments/commands/command.h"
#include "experiments/memory_source.h"
#include "experiments/torchscript_memory.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::string what;
  std::string out;
  std::string format = "namm";
};

void export_memory(const Options& options) {
  options.common.apply();
  const auto file = read_memory_of(options.what);
  if (options.format == "torchscript") {
    save_torchscript(file, options.out);
  } else {
    file.save(options.out);
  }
  log_info(format_text("{}: {} parameters, {}", options.out, file.parameters.size(),
                       format_bytes(std::filesystem::file_size(options.out))));
}

}  // namespace

void add_export(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand("export", "The evolved memory as one small file");
  auto options = std::make_shared<Options>();
  command->add_option("what", options->what, "Run directory, checkpoint or memory file")->required();
  command->add_option("--out", options->out, "File to write")->required();
  command->add_option("--format", options->format, "namm (HDF5), or torchscript (for torch.jit.load)")
      ->check(CLI::IsMember({"namm", "torchscript"}))
      ->capture_default_str();
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { export_memory(*options); }; });
}

}  // namespace namm::experiments
