#include "models/tokenizers/words.h"

#include <algorithm>
#include <stdexcept>

#include "core/errors.h"

namespace namm::models {
namespace {

bool is_white_space(char letter) {
  return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

}  // namespace

WordTokenizer::WordTokenizer(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary)
    : words_(data.at("words").get<std::vector<std::string>>()),
      is_special_(words_.size(), false),
      byte_base_(data.at("byte_base").get<int64_t>()),
      vocabulary_(vocabulary),
      prefix_(std::move(prefix)) {
  const auto count = static_cast<int64_t>(words_.size());
  if (byte_base_ < count || byte_base_ > vocabulary - 256) {
    throw std::invalid_argument("byte_base = " + std::to_string(byte_base_) + " does not fit " +
                                std::to_string(count) + " words in a vocabulary of " +
                                std::to_string(vocabulary));
  }
  for (const int64_t id : data.at("special").get<std::vector<int64_t>>()) {
    if (id < 0 || id >= count)
      throw std::invalid_argument("special: id " + std::to_string(id) + " is no word");
    is_special_[static_cast<std::size_t>(id)] = true;
  }
  for (std::size_t id = 0; id < words_.size(); ++id) {
    const std::string& word = words_[id];
    if (word.empty() || std::any_of(word.begin(), word.end(), is_white_space)) {
      throw std::invalid_argument("words: number " + std::to_string(id) + " is empty or holds white space");
    }
    if (!ids_.emplace(word, static_cast<int64_t>(id)).second) {
      throw std::invalid_argument("words: '" + word + "' stands twice");
    }
    longest_ = std::max(longest_, word.size());
  }
}

std::vector<int64_t> WordTokenizer::encode_wrapped(std::string_view before, std::string_view text,
                                                   std::string_view after) const {
  std::string whole;
  whole.reserve(before.size() + text.size() + after.size());
  whole.append(before).append(text).append(after);

  std::vector<int64_t> ids;
  const auto add_bytes = [&](std::size_t begin, std::size_t end) {
    for (; begin < end; ++begin) ids.push_back(byte_base_ + static_cast<unsigned char>(whole[begin]));
  };
  // The word of a run, -1 where it is none.
  const auto word_at = [&](std::size_t begin, std::size_t end) -> int64_t {
    if (end - begin > longest_) return -1;
    const auto found = ids_.find(whole.substr(begin, end - begin));
    if (found == ids_.end()) return -1;
    const bool in_template = end <= before.size() || begin >= before.size() + text.size();
    return is_special_[static_cast<std::size_t>(found->second)] && !in_template ? -1 : found->second;
  };

  bool free_space = false;  // the byte before `begin` is a space that may become part of a word token
  for (std::size_t begin = 0; begin < whole.size();) {
    if (is_white_space(whole[begin])) {
      if (free_space) add_bytes(begin - 1, begin);
      // A space that opens the text cannot be a word's own: the first word is written without one.
      free_space = whole[begin] == ' ' && begin > 0;
      if (!free_space) add_bytes(begin, begin + 1);
      ++begin;
      continue;
    }
    const auto end = static_cast<std::size_t>(
        std::find_if(whole.begin() + static_cast<std::ptrdiff_t>(begin), whole.end(), is_white_space) -
        whole.begin());
    const int64_t word = begin == 0 || free_space ? word_at(begin, end) : -1;
    if (word >= 0) {
      ids.push_back(word);
    } else {
      add_bytes(free_space ? begin - 1 : begin, end);
    }
    free_space = false;
    begin = end;
  }
  if (free_space) add_bytes(whole.size() - 1, whole.size());
  return ids;
}

void WordTokenizer::decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const {
  require_id(id);
  if (id >= byte_base_ && id < byte_base_ + 256) {
    text.push_back(static_cast<char>(id - byte_base_));
  } else if (id < static_cast<int64_t>(words_.size())) {
    const auto index = static_cast<std::size_t>(id);
    if (skip_special && is_special_[index]) return;
    if (begun) text.push_back(' ');
    text += words_[index];
  } else {
    return;
  }
  begun = true;
}

}  // namespace namm::models
