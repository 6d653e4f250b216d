#include "models/tokenizers/byte_level_bpe.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <stdexcept>

#include "core/errors.h"
#include "core/log.h"

namespace namm::models {
namespace {

// GPT-2 writes bytes as letters: printable ones as themselves, the others from U+0100 on, in order.
std::unordered_map<uint32_t, uint8_t> byte_of_letter() {
  std::unordered_map<uint32_t, uint8_t> bytes;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[printable ? byte : next++] = static_cast<uint8_t>(byte);
  }
  return bytes;
}

// Next code point of valid UTF-8 (nlohmann::json has checked it).
uint32_t next_letter(const std::string& text, std::size_t& place) {
  const auto byte = [&](std::size_t offset) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[place + offset]));
  };
  const uint32_t first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (place + length > text.size()) throw std::invalid_argument("vocabulary: a text is not valid UTF-8");
  uint32_t letter = length == 1 ? first : first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) letter = letter << 6 | (byte(i) & 0x3f);
  place += length;
  return letter;
}

// Bytes of a vocabulary entry, none where it holds other letters.
std::optional<std::string> bytes_of(const std::string& entry,
                                    const std::unordered_map<uint32_t, uint8_t>& letters) {
  std::string bytes;
  for (std::size_t place = 0; place < entry.size();) {
    const auto found = letters.find(next_letter(entry, place));
    if (found == letters.end()) return std::nullopt;
    bytes.push_back(static_cast<char>(found->second));
  }
  return bytes;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

ByteLevelBpe::ByteLevelBpe(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary)
    : splitter_(data.at("pre").get<std::string>()),
      ignore_merges_(data.at("ignore_merges").get<bool>()),
      prefix_(std::move(prefix)) {
  const auto letters = byte_of_letter();
  const nlohmann::json& entries = data.at("vocabulary");
  const auto count = static_cast<int64_t>(entries.size());
  if (!entries.is_array() || entries.empty() || count > INT32_MAX)
    throw std::invalid_argument("vocabulary: a list is expected");
  vocabulary_ = std::max(count, vocabulary);
  texts_.resize(static_cast<std::size_t>(count));
  is_special_.resize(texts_.size(), false);
  byte_ids_.fill(-1);
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    if (entries[id].is_null()) continue;
    const auto& entry = entries[id].get_ref<const std::string&>();
    const std::optional<std::string> bytes = bytes_of(entry, letters);
    texts_[id] = bytes.value_or(entry);  // other letters stand for themselves, as in `tokenizers`
    if (!bytes) continue;
    if (bytes->size() == 1) byte_ids_[static_cast<unsigned char>(bytes->front())] = static_cast<int32_t>(id);
    if (ignore_merges_) whole_pieces_.emplace(*bytes, static_cast<int64_t>(id));
  }

  const auto id_in_range = [count](const nlohmann::json& value, const char* what) {
    const auto id = value.get<int64_t>();
    if (id < 0 || id >= count)
      throw std::invalid_argument(std::string(what) + ": id " + std::to_string(id) + " is no token");
    return static_cast<int32_t>(id);
  };
  const nlohmann::json& merges = data.at("merges");
  if (!merges.is_array() || merges.size() % 3 != 0)
    throw std::invalid_argument("merges: a list of triples is expected");
  merges_.reserve(merges.size() / 3);
  for (std::size_t i = 0; i < merges.size(); i += 3) {
    const int32_t left = id_in_range(merges[i], "merges"), right = id_in_range(merges[i + 1], "merges");
    // A pair that stands twice has the later rank, as in `tokenizers`.
    merges_[pair_key(left, right)] = {static_cast<int32_t>(i / 3), id_in_range(merges[i + 2], "merges")};
  }

  for (const nlohmann::json& token : data.at("added")) {
    const int32_t id = id_in_range(token.at("id"), "added");
    AddedToken added{token.at("text").get<std::string>(), id, token.at("special").get<bool>()};
    if (added.text.empty()) throw std::invalid_argument("added: an empty text");
    std::string& entry = texts_[static_cast<std::size_t>(id)];
    // Added tokens are found before the text is cut into pieces; a piece that reads the same is ordinary
    // text.
    if (const auto piece = whole_pieces_.find(entry); piece != whole_pieces_.end() && piece->second == id) {
      whole_pieces_.erase(piece);
    }
    entry = added.text;
    is_special_[static_cast<std::size_t>(id)] = added.special;
    added_.push_back(std::move(added));
  }
  std::stable_sort(added_.begin(), added_.end(), [](const AddedToken& a, const AddedToken& b) {
    const auto first = [](const AddedToken& token) { return static_cast<unsigned char>(token.text[0]); };
    return first(a) != first(b) ? first(a) < first(b) : a.text.size() > b.text.size();
  });
  for (std::size_t i = 0; i < added_.size(); ++i) {
    auto& range = added_range_[static_cast<unsigned char>(added_[i].text[0])];
    if (range.first == range.second) range.first = static_cast<int32_t>(i);
    range.second = static_cast<int32_t>(i + 1);
  }
}

const ByteLevelBpe::AddedToken* ByteLevelBpe::added_token_at(std::string_view text, std::size_t place,
                                                             bool with_special) const {
  const auto [begin, end] = added_range_[static_cast<unsigned char>(text[place])];
  for (int32_t i = begin; i < end; ++i) {
    const AddedToken& token = added_[static_cast<std::size_t>(i)];
    if ((with_special || !token.special) && text.substr(place, token.text.size()) == token.text)
      return &token;
  }
  return nullptr;
}

std::vector<int64_t> ByteLevelBpe::encode_wrapped(std::string_view before, std::string_view text,
                                                  std::string_view after) const {
  std::string joined;
  std::string_view whole = text;
  if (!before.empty() || !after.empty()) {
    joined.append(before).append(text).append(after);
    whole = joined;
  }
  const std::size_t text_begin = before.size(), text_end = before.size() + text.size();

  std::vector<int64_t> ids;
  std::size_t plain = 0;  // start of the text that no added token has taken
  for (std::size_t place = 0; place < whole.size();) {
    // A template's special token lies wholly before or wholly after the user's text.
    const bool in_template = place < text_begin || place >= text_end;
    const std::string_view visible = place < text_begin ? whole.substr(0, text_begin) : whole;
    const AddedToken* token = in_template ? added_token_at(visible, place, true) : nullptr;
    if (token == nullptr) token = added_token_at(whole, place, false);
    if (token == nullptr) {
      ++place;
      continue;
    }
    encode_plain(whole.substr(plain, place - plain), ids);
    ids.push_back(token->id);
    place += token->text.size();
    plain = place;
  }
  encode_plain(whole.substr(plain), ids);
  return ids;
}

void ByteLevelBpe::encode_plain(std::string_view text, std::vector<int64_t>& ids) const {
  splitter_.split(text, [&](std::string_view piece) { encode_piece(piece, ids); });
}

void ByteLevelBpe::encode_piece(std::string_view piece, std::vector<int64_t>& ids) const {
  if (ignore_merges_) {
    const auto found = whole_pieces_.find(std::string(piece));
    if (found != whole_pieces_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (const char letter : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(letter)];
    if (id < 0) continue;
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, index - 1, index + 1});
  }
  if (symbols.size() < piece.size())
    report_dropped(piece, static_cast<int64_t>(piece.size() - symbols.size()));
  if (symbols.empty()) return;
  symbols.back().next = -1;
  merge(symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

const ByteLevelBpe::Merge* ByteLevelBpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void ByteLevelBpe::merge(std::vector<Symbol>& symbols) const {
  struct Candidate {
    int32_t rank, place, result;
    bool operator<(const Candidate& other) const {  // std::priority_queue gives the largest first
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  std::vector<Candidate> storage;
  storage.reserve(symbols.size());
  const auto candidate = [&](int32_t place) -> const Merge* {
    const Symbol& left = symbols[static_cast<std::size_t>(place)];
    return left.next < 0 ? nullptr : find_merge(left.id, symbols[static_cast<std::size_t>(left.next)].id);
  };
  for (int32_t place = 0; place + 1 < static_cast<int32_t>(symbols.size()); ++place) {
    if (const Merge* found = candidate(place)) storage.push_back({found->rank, place, found->result});
  }
  std::priority_queue<Candidate> queue({}, std::move(storage));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(best.place)];
    if (left.id < 0) continue;
    // Neighbours may have changed since; as in `tokenizers`, another pair that gives the same token still
    // counts.
    const Merge* now = candidate(best.place);
    if (now == nullptr || now->result != best.result) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) {
      symbols[static_cast<std::size_t>(left.next)].previous = best.place;
      if (const Merge* found = candidate(best.place)) queue.push({found->rank, best.place, found->result});
    }
    if (left.previous >= 0) {
      if (const Merge* found = candidate(left.previous))
        queue.push({found->rank, left.previous, found->result});
    }
  }
}

void ByteLevelBpe::report_dropped(std::string_view piece, int64_t count) const {
  if (dropped_bytes_.fetch_add(count) > 0) return;
  const auto byte = std::find_if(piece.begin(), piece.end(), [&](char letter) {
    return byte_ids_[static_cast<unsigned char>(letter)] < 0;
  });
  const auto value = static_cast<unsigned>(static_cast<unsigned char>(*byte));
  constexpr char kDigits[] = "0123456789abcdef";
  log_warning(std::string("the tokenizer has no token for byte 0x") + kDigits[value >> 4] +
              kDigits[value & 15] + "; such bytes are left out of prompts (told once)");
}

std::string ByteLevelBpe::decode(const std::vector<int64_t>& ids, bool skip_special) const {
  std::string text;
  for (const int64_t id : ids) {
    if (id < 0 || id >= vocabulary_) {
      throw DataError("token id " + std::to_string(id) + " is outside the vocabulary of " +
                      std::to_string(vocabulary_));
    }
    if (id >= static_cast<int64_t>(texts_.size())) continue;
    const auto index = static_cast<std::size_t>(id);
    if (!(skip_special && is_special_[index])) text += texts_[index];
  }
  return text;
}

}  // namespace namm::models
