#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <ATen/Functions.h>
#include <torch/version.h>

#include "core/build_info.h"
#include "core/errors.h"
#include "core/text.h"
#include "experiments/commands/command.h"
#include "experiments/places.h"
#include "experiments/run.h"
#include "memory/backend.h"
#include "memory/memory_file.h"
#include "models/archive.h"
#include "models/device.h"
#include "tasks/segmentation/segmenters.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  bool json = false;
};

struct Check {
  std::string name;
  bool needed = false;  ///< without it the program cannot run its own experiments
  bool there = false;
  std::string detail;
  std::string fix;  ///< command that brings it
};

Check check_libtorch() {
  Check check{"LibTorch", true, false, "", "./setup.sh"};
  const at::Tensor sum = at::ones({8, 8}).matmul(at::ones({8, 8})).sum();
  check.there = sum.item<float>() == 512;
  check.detail = format_text("{}, CPU capability {}, {} cores", TORCH_VERSION, memory::cpu_capability(),
                             default_threads());
  return check;
}

Check check_cuda() {
  Check check{"CUDA device", false, false, "",
              "cmake --preset program -DNAMM_CUDA=ON, on a machine with an NVIDIA GPU"};
  try {
    check.detail = models::parse_device("cuda").str();
    check.there = true;
  } catch (const Error& error) {
    check.detail = error.what();
  }
  return check;
}

Check check_model(const std::string& title, const std::string& name, bool needed, const std::string& fix) {
  Check check{title, needed, false, name, fix};
  const auto path = shipped_file(name);
  if (!path) return check;
  try {
    const models::Contract contract = models::Archive::read_contract(*path);
    check.there = true;
    check.detail = format_text("{}: {}, {} layers, vocabulary {}", path->lexically_normal().string(),
                               contract.family, contract.shape.layers, contract.vocabulary);
  } catch (const Error& error) {
    check.detail = error.what();
  }
  return check;
}

Check check_memory() {
  Check check{"shipped memory", false, false, "models/tiny/namm.h5",
              "git checkout models/tiny/namm.h5 (it comes with the project)"};
  const auto path = shipped_file(check.detail);
  if (!path) return check;
  try {
    const auto file = memory::MemoryFile::load(*path);
    check.there = true;
    check.detail =
        format_text("{}: {} parameters", path->lexically_normal().string(), file.parameters.size());
  } catch (const Error& error) {
    check.detail = error.what();
  }
  return check;
}

Check check_file(const std::string& title, const std::string& name, const std::string& fix) {
  Check check{title, false, false, name, fix};
  if (const auto path = shipped_file(name)) {
    check.there = true;
    check.detail = path->lexically_normal().string();
  }
  return check;
}

Check check_dictionary(const std::string& title, std::string (tasks::Segmenters::*name)() const) {
  const std::filesystem::path folder = dictionaries_folder();
  Check check{title, false, false, folder.string(), "./setup.sh"};
  try {
    check.detail = (tasks::Segmenters(folder).*name)() + ", " + folder.lexically_normal().string();
    check.there = true;
  } catch (const Error& error) {
    check.detail = error.what();
  }
  return check;
}

Check check_queue_server() {
  Check check{"queue server for several machines", false, false, "nats-server",
              "apt-get install nats-server, on the one machine that serves the queue"};
  const char* path = std::getenv("PATH");
  for (const auto& folder : split(path != nullptr ? path : "", ':')) {
    const auto file = std::filesystem::path(folder) / "nats-server";
    if (::access(file.c_str(), X_OK) != 0) continue;
    check.there = true;
    check.detail = file.string();
    break;
  }
  return check;
}

void doctor(const Options& options) {
  options.common.apply();
  const BuildInfo& build = build_info();
  std::vector<Check> checks;
  checks.push_back({"program", true, true,
                    format_text("namm {}, {}, {}", build.version, build.build_type, build.compiler), ""});
  checks.push_back(check_libtorch());
  checks.push_back(check_cuda());
  checks.push_back(
      check_model("shipped model", "models/tiny/tiny-llama.pt", true, "git checkout -- models/tiny"));
  checks.push_back(check_memory());
  checks.push_back(check_model("SmolLM2", "models/downloads/smollm2-135m-instruct.pt", false,
                               "./experiments/get-smollm2"));
  checks.push_back(check_file("Python for the exporter", ".venv/bin/python", "./setup.sh"));
  checks.push_back(check_dictionary("Chinese words", &tasks::Segmenters::chinese_name));
  checks.push_back(check_dictionary("Japanese words", &tasks::Segmenters::japanese_name));
  checks.push_back(check_queue_server());
  bool ready = true;
  nlohmann::ordered_json document{{"checks", nlohmann::ordered_json::array()}};
  for (const auto& check : checks) {
    ready = ready && (check.there || !check.needed);
    document["checks"].push_back({{"name", check.name},
                                  {"status", check.there    ? "ok"
                                             : check.needed ? "missing"
                                                            : "optional, not there"},
                                  {"detail", check.detail},
                                  {"fix", check.there ? "" : check.fix}});
  }
  document["ready"] = ready;
  if (options.json) {
    std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    for (const auto& check : document["checks"]) {
      std::cout << format_text("{}: {}\n    {}\n", check["name"].get<std::string>(),
                               check["status"].get<std::string>(), check["detail"].get<std::string>());
      if (check["fix"] != "") std::cout << "    to get it: " << check["fix"].get<std::string>() << "\n";
    }
    std::cout << (ready ? "Everything that namm needs is there.\n"
                        : "Something that namm needs is missing.\n");
  }
  if (!ready) throw DataError("namm cannot run its own experiments yet: see `to get it` above");
}

}  // namespace

void add_doctor(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command =
      app.add_subcommand("doctor", "What is installed, what is missing, and the command that fixes it");
  auto options = std::make_shared<Options>();
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { doctor(*options); }; });
}

}  // namespace namm::experiments
