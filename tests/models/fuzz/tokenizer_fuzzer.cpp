#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "models/tokenizer.h"

// The data of a tokenizer as an archive holds it, behind one byte that chooses its kind: it is refused with a
// DataError, or encodes and decodes whatever it is given. The order of the kinds is that of make_corpus.py.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const char* const kKinds[] = {"words", "byte-level-bpe", "sentencepiece-bpe"};
  static const std::string kTexts[] = {"", " ", "the 'memory' of  it's 2024\n\n\tnaïve 東京 🙂",
                                       std::string("\0\xff\xc3 x", 5), std::string(300, 'a')};
  if (size == 0) return 0;
  const nlohmann::json settings = {{"kind", kKinds[data[0] % std::size(kKinds)]},
                                   {"prefix_ids", nlohmann::json::array()},
                                   {"clean_up_tokenization_spaces", (data[0] & 64) != 0}};
  const std::string content(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const auto tokenizer = namm::models::make_tokenizer(settings, content, 1000, "fuzz");
    for (const std::string& text : kTexts) tokenizer->decode(tokenizer->encode_wrapped("<s>", text, "</s>"));
    std::vector<int64_t> ids;
    for (int64_t id = 0; id < tokenizer->vocabulary_size() && id < 300; ++id) ids.push_back(id);
    tokenizer->decode(ids, /*skip_special=*/false);
  } catch (const namm::DataError&) {
  }
  return 0;
}
