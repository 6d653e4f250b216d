#include "models/text_decoder.h"

#include <utility>

#include "core/text.h"

namespace namm::models {

TextDecoder::TextDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer), skip_special_(skip_special) {
  if (tokenizer.cleans_up_spaces()) clean_up_.emplace();
}

std::string TextDecoder::add(int64_t id) {
  std::string text = std::exchange(held_, {});
  if (clean_up_) {
    std::string raw;
    tokenizer_.decode_next(id, skip_special_, begun_, raw);
    text += clean_up_->add(raw);
  } else {
    tokenizer_.decode_next(id, skip_special_, begun_, text);
  }
  held_ = text.substr(text.size() - open_utf8_tail(text));
  text.resize(text.size() - held_.size());
  return text;
}

std::string TextDecoder::finish() {
  std::string text = std::exchange(held_, {});
  if (clean_up_) text += clean_up_->finish();
  return text;
}

}  // namespace namm::models
