#include "models/token_texts.h"

namespace namm::models {

std::vector<std::string> token_texts(const Tokenizer& tokenizer, const std::vector<int64_t>& ids) {
  std::vector<std::string> texts(ids.size());
  bool begun = false;
  for (size_t i = 0; i < ids.size(); ++i)
    tokenizer.decode_next(ids[i], /*skip_special=*/false, begun, texts[i]);
  return texts;
}

}  // namespace namm::models
