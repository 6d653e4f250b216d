#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "memory/shape.h"

namespace namm::models {

/// What an archive says of itself in its extra file `namm_contract.json` (design 3.1). Read and checked
/// before any weight is touched.
struct Contract {
  static constexpr int64_t kVersion = 1;

  int64_t version = 0;
  std::string family;  ///< llama
  std::string source;  ///< what it was exported from, for people
  memory::TransformerShape shape;
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int64_t max_positions = 0;      ///< longest sequence that the model claims to support
  std::string dtype;              ///< float32 | bfloat16
  nlohmann::json rope;            ///< rule and constants, as exported
  std::vector<int64_t> stop_ids;  ///< generation ends at any of these; empty: never
  nlohmann::json tokenizer;       ///< {"kind": "none" or a kind of make_tokenizer, "prefix_ids": [...]} and
                             ///< switches; its data is in the archive
  std::string chat_prefix,
      chat_suffix;            ///< text around one user message, rendered by the exporter; empty: no chat form
  std::string torch_version;  ///< that wrote the archive

  bool has_chat() const { return !chat_prefix.empty() || !chat_suffix.empty(); }
  bool has_tokenizer() const { return tokenizer.at("kind") != "none"; }

  /// Throws DataError naming `where` and the field that is missing or wrong, or the version that is not ours.
  static Contract parse(const std::string& json, const std::string& where);
};

}  // namespace namm::models
