#include "experiments/model_check.h"

#include <cmath>
#include <utility>

#include "core/errors.h"
#include "core/text.h"

namespace namm::experiments {

namespace {

[[noreturn]] void fail(const std::string& where, const std::string& key, const std::string& has,
                       const std::string& wanted) {
  throw DataError(
      format_text("{}: the archive has {} = {}, the configuration says model.{} = {}: name another archive, "
                  "or correct the configuration",
                  where, key, has, key, wanted));
}

}  // namespace

void check_contract(const ModelConfig& config, const models::Contract& contract, const std::string& where) {
  const std::pair<const char*, std::pair<int64_t, int64_t>> sizes[] = {
      {"layers", {config.layers, contract.shape.layers}},
      {"heads", {config.heads, contract.shape.heads}},
      {"kv_heads", {config.kv_heads, contract.shape.kv_heads}},
      {"head_dim", {config.head_dim, contract.shape.head_dim}},
      {"hidden", {config.hidden, contract.hidden}},
      {"vocabulary", {config.vocabulary, contract.vocabulary}},
      {"max_positions", {config.max_positions, contract.max_positions}},
  };
  for (const auto& [key, values] : sizes) {
    const auto [wanted, has] = values;
    if (wanted != 0 && wanted != has) fail(where, key, std::to_string(has), std::to_string(wanted));
  }
  if (!config.dtype.empty() && config.dtype != contract.dtype)
    fail(where, "dtype", contract.dtype, config.dtype);
  const std::string rule = contract.rope.value("rule", "");
  if (!config.rope_rule.empty() && config.rope_rule != rule) fail(where, "rope_rule", rule, config.rope_rule);
  for (const auto& [name, wanted] : config.rope_numbers) {
    const auto found = contract.rope.find(name);
    const double has =
        found != contract.rope.end() && found->is_number() ? found->get<double>() : std::nan("");
    if (has != wanted) fail(where, "rope_numbers." + name, format_text("{}", has), format_text("{}", wanted));
  }
}

std::shared_ptr<const models::Archive> load_model(const ModelConfig& config, c10::Device device) {
  const auto& path = config.archive.value;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw DataError(format_text(
        "{}: no such model archive{}; make one with `python -m models.export llama --from DIR|FILE.gguf "
        "--out FILE`, or name another with model.archive=FILE",
        path.string(), config.source.empty() ? "" : " (exported from " + config.source + ")"));
  }
  auto archive = models::Archive::load(path, device);
  check_contract(config, archive->contract(), path.string());
  return archive;
}

}  // namespace namm::experiments
