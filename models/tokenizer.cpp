#include "models/tokenizer.h"

#include "core/errors.h"
#include "core/json_lines.h"
#include "models/tokenizers/byte_level_bpe.h"
#include "models/tokenizers/words.h"

namespace namm::models {

std::unique_ptr<Tokenizer> make_tokenizer(const nlohmann::json& settings, const std::string& data,
                                          int64_t vocabulary, const std::string& where) {
  try {
    const std::string kind = settings.at("kind").get<std::string>();
    auto prefix = settings.value("prefix_ids", std::vector<int64_t>{});
    for (const int64_t id : prefix) {
      if (id < 0 || id >= vocabulary) {
        throw DataError(where + ": namm_contract.json: tokenizer.prefix_ids: id " + std::to_string(id) +
                        " is outside the vocabulary of " + std::to_string(vocabulary));
      }
    }
    const nlohmann::json content = parse_json(data, where + ": namm_tokenizer.json");
    if (kind == "words") return std::make_unique<WordTokenizer>(content, std::move(prefix), vocabulary);
    if (kind == "byte-level-bpe")
      return std::make_unique<ByteLevelBpe>(content, std::move(prefix), vocabulary);
    throw DataError(where + ": the tokenizer kind '" + kind +
                    "' is not known to this program (known: words, byte-level-bpe); export the model again");
  } catch (const nlohmann::json::exception& error) {
    throw DataError(where + ": namm_tokenizer.json: " + error.what() + "; export the model again");
  } catch (const std::invalid_argument& error) {
    throw DataError(where + ": namm_tokenizer.json: " + error.what() + "; export the model again");
  }
}

}  // namespace namm::models
