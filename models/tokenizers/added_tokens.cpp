#include "models/tokenizers/added_tokens.h"

#include <algorithm>
#include <stdexcept>

#include <unicode/uchar.h>
#include <unicode/utf8.h>

namespace namm::models {
namespace {

// The letter that begins at `place` or, going backward, ends there; negative where that is no valid UTF-8.
// `place` goes behind it.
UChar32 next_letter(std::string_view text, std::size_t& place) {
  UChar32 letter = 0;
  U8_NEXT(reinterpret_cast<const uint8_t*>(text.data()), place, text.size(), letter);
  return letter;
}

UChar32 previous_letter(std::string_view text, std::size_t& place) {
  const std::size_t begin = place - std::min<std::size_t>(place, U8_MAX_LENGTH);
  auto offset = static_cast<int32_t>(place - begin);
  UChar32 letter = 0;
  U8_PREV(reinterpret_cast<const uint8_t*>(text.data()) + begin, 0, offset, letter);
  place = begin + static_cast<std::size_t>(offset);
  return letter;
}

// A letter of words, as regular expressions' \w (Unicode Technical Standard 18, annex C).
bool is_word_letter(UChar32 letter) {
  return letter >= 0 && (u_isUAlphabetic(letter) || u_hasBinaryProperty(letter, UCHAR_JOIN_CONTROL) ||
                         (U_GET_GC_MASK(letter) &
                          (U_GC_MN_MASK | U_GC_ME_MASK | U_GC_MC_MASK | U_GC_ND_MASK | U_GC_PC_MASK)));
}

bool is_white_space(UChar32 letter) {
  return letter >= 0 && u_isUWhiteSpace(letter);
}

// Bytes that both texts begin with; from the end where `backward`.
std::size_t common(std::string_view a, std::string_view b, bool backward) {
  const std::size_t most = std::min(a.size(), b.size());
  std::size_t same = 0;
  while (same < most && (backward ? a[a.size() - 1 - same] == b[b.size() - 1 - same] : a[same] == b[same]))
    ++same;
  return same;
}

}  // namespace

AddedTokens::AddedTokens(const nlohmann::json& list, int64_t count, Normalizer normalizer)
    : normalizer_(std::move(normalizer)) {
  if (!list.is_array()) throw std::invalid_argument("added: a list is expected");
  for (const nlohmann::json& item : list) {
    Token token;
    token.id = item.at("id").get<int64_t>();
    if (token.id < 0 || token.id >= count)
      throw std::invalid_argument("added: id " + std::to_string(token.id) + " is no token");
    token.text = item.at("text").get<std::string>();
    if (token.text.empty()) throw std::invalid_argument("added: an empty text");
    token.special = item.at("special").get<bool>();
    token.normalized = item.value("normalized", false);
    token.single_word = item.value("single_word", false);
    token.lstrip = item.value("lstrip", false);
    token.rstrip = item.value("rstrip", false);
    tokens_.push_back(std::move(token));
  }
  for (const Token& token : tokens_) {
    if (!token.normalized) {
      raw_.add(token.text, &token);
    } else {
      normalized_.add(normalizer_ ? normalizer_(token.text) : token.text, &token);
    }
  }
}

void AddedTokens::Round::add(std::string_view text, const Token* token) {
  if (nodes_.empty()) nodes_.push_back(nullptr);
  int32_t node = 0;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    const auto fresh = static_cast<int32_t>(nodes_.size());
    int32_t& next = node == 0 ? first_[byte] : children_[static_cast<uint64_t>(node) << 8 | byte];
    if (next == 0) {
      next = fresh;
      nodes_.push_back(nullptr);
    }
    node = next;
  }
  if (nodes_[static_cast<std::size_t>(node)] == nullptr) nodes_[static_cast<std::size_t>(node)] = token;
}

AddedTokens::Round::Match AddedTokens::Round::longest_at(std::string_view text, std::size_t place,
                                                         UserText user) const {
  Match best;
  int32_t node = 0;
  for (std::size_t end = place; end < text.size();) {
    const auto byte = static_cast<unsigned char>(text[end]);
    if (node == 0) {
      node = first_[byte];
      if (node == 0) break;
    } else {
      const auto next = children_.find(static_cast<uint64_t>(node) << 8 | byte);
      if (next == children_.end()) break;
      node = next->second;
    }
    ++end;
    const Token* token = nodes_[static_cast<std::size_t>(node)];
    // A template's special token lies wholly before or wholly behind the user's text.
    if (token != nullptr && (!token->special || end <= user.begin || place >= user.end)) best = {token, end};
  }
  return best;
}

void AddedTokens::Round::split(std::string_view text, UserText user,
                               const std::function<void(int64_t id)>& token,
                               const std::function<void(std::size_t begin, std::size_t end)>& plain) const {
  std::size_t done = 0;       // all before it was given out
  std::size_t space_end = 0;  // end of the white space that was looked at last
  for (std::size_t place = 0; place < text.size();) {
    const Match match = longest_at(text, place, user);
    if (match.token == nullptr) {
      ++place;
      continue;
    }
    std::size_t begin = place, end = match.end;
    place = match.end;
    if (match.token->single_word) {
      std::size_t left = begin, right = end;
      if ((left > 0 && is_word_letter(previous_letter(text, left))) ||
          (right < text.size() && is_word_letter(next_letter(text, right))))
        continue;
    }
    if (match.token->lstrip) {
      for (std::size_t left = begin; left > done && is_white_space(previous_letter(text, left));)
        begin = left;
      begin = std::max(begin, done);
    }
    if (match.token->rstrip) {
      space_end = std::max(space_end, end);
      for (std::size_t right = space_end; right < text.size() && is_white_space(next_letter(text, right));)
        space_end = right;
      end = space_end;
    }
    if (begin >= end) continue;  // white space that the token before it took
    if (done < begin) plain(done, begin);
    token(match.token->id);
    done = end;
  }
  if (done < text.size()) plain(done, text.size());
}

void AddedTokens::split(std::string_view text, UserText user, const std::function<void(int64_t id)>& token,
                        const Plain& plain) const {
  const auto second_round = [&](std::size_t begin, std::size_t end) {
    std::string_view part = text.substr(begin, end - begin);
    const std::string normal = normalizer_ ? normalizer_(part) : std::string();
    const std::string_view whole = normalizer_ ? std::string_view(normal) : part;
    UserText inside{std::clamp(user.begin, begin, end) - begin, std::clamp(user.end, begin, end) - begin};
    if (normalizer_ && !normalized_.empty()) {
      // What the template's own letters alone do not decide counts as the user's.
      const std::string before = normalizer_(part.substr(0, inside.begin));
      const std::string after = normalizer_(part.substr(inside.end));
      inside.begin = common(before, whole, false);
      inside.end = std::max(inside.begin, whole.size() - common(after, whole, true));
    }
    normalized_.split(whole, inside, token, [&](std::size_t first, std::size_t last) {
      plain(whole.substr(first, last - first), begin == 0 && first == 0);
    });
  };
  raw_.split(text, user, token, second_round);
}

void AddedTokens::split_wrapped(std::string_view before, std::string_view text, std::string_view after,
                                const std::function<void(int64_t id)>& token, const Plain& plain) const {
  std::string joined;
  std::string_view whole = text;
  if (!before.empty() || !after.empty()) {
    joined.append(before).append(text).append(after);
    whole = joined;
  }
  split(whole, {before.size(), before.size() + text.size()}, token, plain);
}

}  // namespace namm::models
