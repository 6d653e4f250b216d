#include <algorithm>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/sha256.h"
#include "core/text.h"
#include "evolution/optimizer_list.h"
#include "experiments/commands/command.h"
#include "experiments/experiment.h"
#include "experiments/memory_source.h"
#include "experiments/model_check.h"
#include "experiments/stage_work.h"
#include "models/archive.h"

namespace namm::experiments {

namespace {

struct Options {
  CommonOptions common;
  std::string what;
  std::vector<std::string> overrides;
  bool json = false;
};

using Json = nlohmann::ordered_json;

Json layout_json(const memory::NammConfig& config) {
  Json layout = Json::array();
  for (const auto& block : config.layout()) {
    layout.push_back(
        {{"name", block.name}, {"offset", block.offset}, {"rows", block.rows}, {"cols", block.cols}});
  }
  return layout;
}

/// What a generation of a stage costs, as far as the configuration tells. Of later generations, where they
/// have other members than the first.
Json work_of(const ExperimentConfig& config, size_t index) {
  const StageConfig& stage = config.stages[index];
  Json json{{"stage", config.stage_name(index)}, {"kind", stage.evolve ? "evolve" : "evaluate"}};
  // Unlike a stage that is refused, an optimiser that cannot be is an error of the configuration.
  if (stage.evolve) evolution::resolve_optimizer(config.evolution.optimizer, config.memory.parameters());
  StageWork work;
  try {
    work = stage_work(config, index, expect_tasks(config, index).pointers());
  } catch (const ConfigError& error) {
    // The rest of the configuration is worth being shown.
    json["refused"] = error.what();
    return json;
  }
  if (stage.evaluate) {
    json["contexts"] = work.contexts;
    json["prefills"] = work.contexts * std::ssize(stage.evaluate->policies);
    json["items"] = work.items();
    return json;
  }
  const int64_t members = work.population_size + work.reevaluations;
  json["optimizer"] = work.optimizer;
  json["parameters"] = work.parameters;
  json["population"] = work.population_size;
  json["generations"] = work.generations;
  json["contexts_per_generation"] = work.contexts;
  json["evaluations_per_generation"] = members * work.contexts;
  json["items_per_generation"] = work.generation_items(1);
  const bool generated =
      std::ranges::all_of(work.tasks, [](const std::string& name) { return name.starts_with("needle/"); });
  if (generated) {
    // The stretch before the first update is read once an item, the rest once a member.
    const auto task = config.task_config(stage);
    const int64_t blocks = (members + config.evolution.schedule.members_per_item - 1) /
                           config.evolution.schedule.members_per_item;
    const int64_t shared = std::min(task.context_tokens, config.memory.period_tokens) - 1;
    json["context_tokens"] = task.context_tokens;
    json["updates_per_context"] = task.context_tokens / config.memory.period_tokens;
    json["tokens_per_generation"] =
        work.contexts * (blocks * shared + members * (task.context_tokens - shared));
    json["questions_per_generation"] = members * work.contexts * task.questions_per_context;
  }
  if (work.validation_contexts > 0) {
    json["validation_contexts"] = work.validation_contexts;
    json["validations"] = work.validations(work.generations);
  }
  json["items"] = work.items();
  return json;
}

Json describe_config(const Options& options) {
  const auto document = ConfigDocument::load(options.what, options.overrides);
  const auto config = read_config<ExperimentConfig>(document);
  Json result{{"kind", "experiment"}, {"name", config.name}};
  result["values"] = Json::array();
  for (const auto& value : describe<ExperimentConfig>(document)) {
    result["values"].push_back(
        {{"path", value.path}, {"value", value.value}, {"origin", value.origin}, {"help", value.help}});
  }
  std::error_code error;
  result["model"] = {{"archive", config.model.archive.value.string()},
                     {"present", std::filesystem::exists(config.model.archive.value, error)}};
  result["memory"] = {{"policy", memory::memory_policy(config.memory)},
                      {"features", config.memory.features()},
                      {"parameters", config.memory.parameters()},
                      {"layout", layout_json(config.memory)}};
  result["work"] = Json::array();
  for (size_t i = 0; i < config.stages.size(); ++i) result["work"].push_back(work_of(config, i));
  return result;
}

Json describe_model(const std::string& path) {
  const models::Contract contract = models::Archive::read_contract(path);
  const int64_t token_bytes = 2 * contract.shape.layers * contract.shape.kv_heads * contract.shape.head_dim *
                              (contract.dtype == "bfloat16" ? 2 : 4);
  Json result{{"kind", "model"},
              {"path", path},
              {"sha256", sha256_file(path)},
              {"contract_version", contract.version},
              {"family", contract.family},
              {"source", contract.source},
              {"layers", contract.shape.layers},
              {"heads", contract.shape.heads},
              {"kv_heads", contract.shape.kv_heads},
              {"head_dim", contract.shape.head_dim},
              {"hidden", contract.hidden},
              {"vocabulary", contract.vocabulary},
              {"max_positions", contract.max_positions},
              {"dtype", contract.dtype},
              {"rope", contract.rope},
              {"stop_ids", contract.stop_ids},
              {"tokenizer", contract.tokenizer},
              {"chat", contract.has_chat()},
              {"torch_version", contract.torch_version},
              {"cache_bytes_per_token", token_bytes}};
  result["cache_bytes"] = Json::object();
  for (const int64_t tokens : {1024, 8192, 32768})
    result["cache_bytes"][std::to_string(tokens)] = tokens * token_bytes;
  return result;
}

Json describe_memory(const std::string& path) {
  const auto file = read_memory_of(path);
  Json result{{"kind", "memory"}, {"path", path}, {"sha256", file.sha256()}};
  result["policy"] = memory::memory_policy(file.config);
  result["parameters"] = file.parameters.size();
  result["features"] = file.config.features();
  result["layout"] = layout_json(file.config);
  result["constants"] = Json::object();
  // The constants in the words of a configuration.
  for (const auto& value : describe(write_config(file.config), ConfigDocument::from_text("{}", "memory"))) {
    result["constants"][value.path] = value.value;
  }
  result["statistics"] = {
      {"count", file.statistics.count},
      {"mean", file.statistics.mean},
      {"variance", file.statistics.count > 0 ? file.statistics.variance() : std::vector<double>{}}};
  result["provenance"] = file.provenance;
  return result;
}

/// Of many scorers that stand one after another the first few blocks; --json has all.
void print_layout(const Json& layout) {
  constexpr size_t kMost = 36, kFirst = 12;
  const size_t shown = layout.size() <= kMost ? layout.size() : kFirst;
  for (size_t i = 0; i < shown; ++i) {
    const auto& block = layout[i];
    std::cout << format_text("  {} [{}, {}] at {}\n", block["name"].get<std::string>(), block["rows"].dump(),
                             block["cols"].dump(), block["offset"].dump());
  }
  if (shown < layout.size()) {
    std::cout << format_text("  ... {} more, the last {} at {}\n", layout.size() - shown,
                             layout.back()["name"].get<std::string>(), layout.back()["offset"].dump());
  }
}

void print_flat(const Json& object, const std::string& indent) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_object() && !value.empty()) {
      std::cout << indent << key << ":\n";
      print_flat(value, indent + "  ");
    } else {
      std::cout << indent << key << ": " << (value.is_string() ? value.get<std::string>() : value.dump())
                << "\n";
    }
  }
}

void print_text(const Json& result) {
  if (result["kind"] == "experiment") {
    std::vector<DescribedValue> values;
    for (const auto& value : result["values"])
      values.push_back({value["path"], value["value"], value["origin"], ""});
    std::cout << to_text(values) << "\n";
    std::cout << "model archive: " << result["model"]["archive"].get<std::string>()
              << (result["model"]["present"].get<bool>() ? "" : " (not there)") << "\n";
    std::cout << format_text("memory: policy {}, {} features a token, {} parameters\n",
                             result["memory"]["policy"].get<std::string>(),
                             result["memory"]["features"].dump(), result["memory"]["parameters"].dump());
    print_layout(result["memory"]["layout"]);
    for (const auto& work : result["work"]) {
      std::cout << "\n";
      print_flat(work, "");
    }
    return;
  }
  Json rest = result;
  rest.erase("layout");
  print_flat(rest, "");
  if (result.contains("layout")) {
    std::cout << "layout:\n";
    print_layout(result["layout"]);
  }
}

void describe_any(const Options& options) {
  options.common.apply();
  const std::filesystem::path path = options.what;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) throw DataError(options.what + ": no such file or folder");
  const std::string extension = path.extension().string();
  Json result;
  if (extension == ".yaml" || extension == ".yml") {
    result = describe_config(options);
  } else if (!options.overrides.empty()) {
    throw ConfigError("describe: key.path=value goes with a configuration only");
  } else if (extension == ".pt") {
    result = describe_model(options.what);
  } else if (extension == ".h5" || std::filesystem::is_directory(path, error)) {
    result = describe_memory(options.what);
  } else {
    throw ConfigError(
        options.what +
        ": a configuration (.yaml), a model archive (.pt), a memory file or checkpoint (.h5), or "
        "a run directory is expected");
  }
  if (options.json) {
    std::cout << result.dump(1, ' ', false, Json::error_handler_t::replace) << "\n";
  } else {
    print_text(result);
  }
}

}  // namespace

void add_describe(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command =
      app.add_subcommand("describe", "What a configuration, model archive, memory file or run says");
  auto options = std::make_shared<Options>();
  command
      ->add_option("what", options->what,
                   "Configuration (.yaml), archive (.pt), memory or checkpoint (.h5), run directory")
      ->required();
  command->add_option("overrides", options->overrides, "key.path=value, for a configuration");
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { describe_any(*options); }; });
}

}  // namespace namm::experiments
