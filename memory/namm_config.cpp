#include "memory/namm_config.h"

#include <algorithm>
#include <array>

#include "core/errors.h"
#include "memory/mix_scorer.h"

namespace namm::memory {
namespace {

constexpr int64_t kMostParameters = int64_t{1} << 26;

}  // namespace

NammConfig::NammConfig() = default;

void NammConfig::check(const ConfigNode& node) const {
  if (period_tokens % spectrogram.hop_length != 0) {
    node.fail_entry("period_tokens", std::to_string(period_tokens),
                    "a multiple of spectrogram.hop_length = " + std::to_string(spectrogram.hop_length));
  }
  if (mixes_heads() && sharing != "shared")
    node.fail_entry("parameters", sharing, "shared where scorer is mix, which has weights of every head");
  const bool lacks_layers = transformer.layers == 0, lacks_heads = transformer.kv_heads == 0;
  if (has_own_transformer() && (lacks_layers || (lacks_heads && sharing != "per_layer"))) {
    node.fail_entry(mixes_heads() ? "scorer" : "parameters", mixes_heads() ? scorer : sharing,
                    "given with the model that the parameters belong to: transformer: {layers: L, kv_heads: "
                    "H}; `namm describe MODEL.pt` tells its sizes");
  }
  if (scorer != "mlp" && mlp != MlpConfig{})
    node.fail_entry("mlp", "{...}", "left out where scorer is " + scorer);
  if (!mixes_heads() && mix != MixConfig{})
    node.fail_entry("mix", "{...}", "left out where scorer is " + scorer);
  if (scorers() > kMostParameters / scorer_parameters()) {
    node.fail_entry("parameters", sharing,
                    "another: " + std::to_string(scorers()) + " scorers of " +
                        std::to_string(scorer_parameters()) + " parameters are more than can be evolved");
  }
}

SpectrogramConfig NammConfig::needed_spectrogram() const {
  SpectrogramConfig needed = spectrogram;
  needed.is_complex = spectral == "complex";
  return needed;
}

int64_t NammConfig::scorers() const {
  if (sharing == "per_layer") return transformer.layers;
  if (sharing == "per_head") return transformer.layers * transformer.kv_heads;
  return 1;
}

int64_t NammConfig::scorer_of(int64_t layer, int64_t kv_head) const {
  if (sharing == "per_layer") return layer;
  if (sharing == "per_head") return layer * transformer.kv_heads + kv_head;
  return 0;
}

std::vector<ParameterBlock> NammConfig::scorer_layout() const {
  if (scorer == "bam") return bam_layout(bam, features());
  if (scorer == "mix") return mix_layout(*this);
  return mlp_layout(scorer == "mlp" ? mlp : MlpConfig{.hidden_layers = 0, .hidden_dim = 0}, features());
}

int64_t NammConfig::scorer_parameters() const {
  const ParameterBlock last = scorer_layout().back();
  return last.offset + last.rows * last.cols;
}

std::vector<ParameterBlock> NammConfig::layout() const {
  if (sharing == "shared") return scorer_layout();
  const std::vector<ParameterBlock> one = scorer_layout();
  const int64_t n = scorer_parameters(), kv_heads = transformer.kv_heads;
  std::vector<ParameterBlock> layout;
  for (int64_t s = 0; s < scorers(); ++s) {
    const std::string name = sharing == "per_layer" ? "layer_" + std::to_string(s) + "."
                                                    : "layer_" + std::to_string(s / kv_heads) + ".head_" +
                                                          std::to_string(s % kv_heads) + ".";
    for (const ParameterBlock& block : one)
      layout.push_back({name + block.name, s * n + block.offset, block.rows, block.cols});
  }
  return layout;
}

std::vector<int64_t> NammConfig::score_biases() const {
  std::vector<int64_t> places;
  const int64_t n = scorer_parameters(), bias = scorer_layout().back().offset;
  for (int64_t s = 0; s < scorers(); ++s) places.push_back(s * n + bias);
  return places;
}

void NammConfig::require_transformer(const TransformerShape& shape, const std::string& where) const {
  if (!has_own_transformer()) return;
  const bool counts_heads = sharing != "per_layer";
  if (transformer.layers == shape.layers && (!counts_heads || transformer.kv_heads == shape.kv_heads)) return;
  const auto sizes = [&](int64_t layers, int64_t kv_heads) {
    return std::to_string(layers) + " layers" +
           (counts_heads ? " of " + std::to_string(kv_heads) + " KV heads" : "");
  };
  throw DataError(where + ": the memory's parameters belong to a model of " +
                  sizes(transformer.layers, transformer.kv_heads) + ", this one has " +
                  sizes(shape.layers, shape.kv_heads) + ": a memory with scorer " + scorer +
                  " and parameters " + sharing + " works on its own model only; evolve one for this model");
}

ConfigValue stored_form(ConfigValue resolved) {
  constexpr std::array later = {"positions", "features", "scorer", "parameters", "transformer", "mlp", "mix"};
  static const ConfigValue defaults = write_config(NammConfig{});
  std::erase_if(resolved.entries, [&](const ConfigValue::Entry& entry) {
    return std::find(later.begin(), later.end(), entry.key) != later.end() &&
           to_yaml(entry.value) == to_yaml(*defaults.find(entry.key));
  });
  return resolved;
}

}  // namespace namm::memory
