#include "models/token_texts.h"

namespace namm::models {

std::vector<std::string> token_texts(const TokenCodec& codec, const std::vector<int64_t>& ids) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i == 0) {
      texts.push_back(codec.decode({ids[0]}, /*skip_special=*/false));
      continue;
    }
    const size_t before = codec.decode({ids[i - 1]}, /*skip_special=*/false).size();
    texts.push_back(codec.decode({ids[i - 1], ids[i]}, /*skip_special=*/false).substr(before));
  }
  return texts;
}

}  // namespace namm::models
