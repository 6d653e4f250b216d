#include "models/tokenizer.h"

#include <stdexcept>

#include "core/errors.h"
#include "core/json_lines.h"
#include "models/text_decoder.h"
#include "models/tokenizers/byte_level_bpe.h"
#include "models/tokenizers/sentence_piece_bpe.h"
#include "models/tokenizers/words.h"

namespace namm::models {

void Tokenizer::require_id(int64_t id) const {
  if (id >= 0 && id < vocabulary_size()) return;
  throw DataError("token id " + std::to_string(id) + " is outside the vocabulary of " +
                  std::to_string(vocabulary_size()));
}

std::string Tokenizer::decode(const std::vector<int64_t>& ids, bool skip_special) const {
  TextDecoder decoder(*this, skip_special);
  std::string text;
  for (const int64_t id : ids) text += decoder.add(id);
  return text + decoder.finish();
}

namespace {

// nlohmann::json turns 1.5 and 1e100 into whole numbers without a word.
void require_whole_numbers(const nlohmann::json& value, const std::string& name) {
  if (value.is_number_float())
    throw std::invalid_argument(name + ": " + value.dump() + " is no whole number");
  if (!value.is_structured()) return;
  for (const nlohmann::json& part : value) require_whole_numbers(part, name);
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const nlohmann::json& settings, const std::string& data,
                                          int64_t vocabulary, const std::string& where) {
  try {
    require_whole_numbers(settings, "tokenizer");
    const std::string kind = settings.at("kind").get<std::string>();
    auto prefix = settings.value("prefix_ids", std::vector<int64_t>{});
    for (const int64_t id : prefix) {
      if (id < 0 || id >= vocabulary) {
        throw DataError(where + ": namm_contract.json: tokenizer.prefix_ids: id " + std::to_string(id) +
                        " is outside the vocabulary of " + std::to_string(vocabulary));
      }
    }
    const nlohmann::json content = parse_json(data, where + ": namm_tokenizer.json");
    if (!content.is_object()) throw std::invalid_argument("an object is expected");
    for (const auto& [name, value] : content.items()) {
      if (name != "scores") require_whole_numbers(value, name);
    }
    std::unique_ptr<Tokenizer> tokenizer;
    if (kind == "words") {
      tokenizer = std::make_unique<WordTokenizer>(content, std::move(prefix), vocabulary);
    } else if (kind == "byte-level-bpe") {
      tokenizer = std::make_unique<ByteLevelBpe>(content, std::move(prefix), vocabulary);
    } else if (kind == "sentencepiece-bpe") {
      tokenizer = std::make_unique<SentencePieceBpe>(content, std::move(prefix), vocabulary,
                                                     settings.value("chat_after_prefix", false));
    } else {
      throw DataError(where + ": the tokenizer kind '" + kind +
                      "' is not known to this program (known: words, byte-level-bpe, sentencepiece-bpe); "
                      "export the model again");
    }
    tokenizer->clean_up_spaces(settings.value("clean_up_tokenization_spaces", false));
    return tokenizer;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(where + ": namm_tokenizer.json: " + error.what() + "; export the model again");
  } catch (const std::invalid_argument& error) {
    throw DataError(where + ": namm_tokenizer.json: " + error.what() + "; export the model again");
  }
}

}  // namespace namm::models
