#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "models/tokenizer.h"

namespace namm::models {

/// One of each kind, with a small vocabulary.
struct SmallTokenizer {
  nlohmann::json settings, data;
  int64_t vocabulary = 0;
};

inline nlohmann::json sentence_piece_data() {
  nlohmann::json data = {{"blank", "each"}, {"strips_blank", true}, {"added", nlohmann::json::array()}};
  int64_t id = 0;
  const auto add = [&](const std::string& piece, int type) {
    data["pieces"].push_back(piece);
    data["types"].push_back(type);
    data["scores"].push_back(type == 1 ? static_cast<double>(-id) : 0.0);
    return id++;
  };
  data["added"].push_back({{"id", add("<unk>", 2)}, {"text", "<unk>"}, {"special", true}});
  data["added"].push_back({{"id", add("<s>", 3)}, {"text", "<s>"}, {"special", true}});
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    add(std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">", 6);
  }
  for (const char* piece :
       {"aa",      "aaaa",     "\u2581t", "he",     "\u2581the", "ab", "abab", "\u2581\u2581",
        "re",      "\u2581re", "x\u00e9", "\u2581", "a",         "b",  "e",    "h",
        "r",       "s",        "t",       "x",      "'",         ".",  ",",    "\u3042",
        "\u2581.", "\u2581'"})
    add(piece, 1);
  return data;
}

/// name: words | gpt2 | smollm | llama3 | qwen2 (with NFC) | sentencepiece | ranks (tiktoken's merges).
inline SmallTokenizer small_tokenizer_data(const std::string& name) {
  const auto recorded = [](const std::string& file) {
    return nlohmann::json::parse(
               read_file(std::filesystem::path(NAMM_TEST_DATA) / "tokenizers" / (file + ".json")))
        .at("data");
  };
  SmallTokenizer small{{{"kind", "byte-level-bpe"}}, {}, 0};
  if (name == "words") {
    small.settings["kind"] = "words";
    small.data = {
        {"words", {"<pad>", "<bos>", ".", "code", "'s", ",", "n't"}}, {"special", {0, 1}}, {"byte_base", 7}};
    small.vocabulary = 263;
  } else if (name == "sentencepiece") {
    small.settings["kind"] = "sentencepiece-bpe";
    small.data = sentence_piece_data();
  } else if (name == "ranks") {
    small.data = recorded("llama3");
    small.data["merges"] = "by_rank";
    small.data["long_text_cut"] = true;
  } else {
    small.data = recorded(name);
  }
  return small;
}

inline std::unique_ptr<Tokenizer> small_tokenizer(const std::string& name) {
  const SmallTokenizer small = small_tokenizer_data(name);
  return make_tokenizer(small.settings, small.data.dump(), small.vocabulary, name);
}

}  // namespace namm::models
