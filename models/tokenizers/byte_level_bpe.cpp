#include "models/tokenizers/byte_level_bpe.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "core/errors.h"
#include "core/log.h"
#include "models/tokenizers/long_text_cut.h"
#include "models/tokenizers/unicode_form.h"

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

Normalizer normalizer_of(const nlohmann::json& data) {
  const auto name = data.value("normalizer", std::string());
  if (name.empty()) return {};
  if (name != "nfc") throw std::invalid_argument("normalizer: '" + name + "' is not known (known: nfc)");
  return normal_form_c;
}

}  // namespace

ByteLevelBpe::ByteLevelBpe(const nlohmann::json& data, std::vector<int64_t> prefix, int64_t vocabulary)
    : splitter_(data.at("pre").get<std::string>()),
      ignore_merges_(data.at("ignore_merges").get<bool>()),
      long_text_cut_(data.value("long_text_cut", false)),
      prefix_(std::move(prefix)) {
  read_vocabulary(data.at("vocabulary"));
  vocabulary_ = std::max(static_cast<int64_t>(texts_.size()), vocabulary);
  read_added(data);
  read_merges(data.at("merges"));
}

void ByteLevelBpe::read_vocabulary(const nlohmann::json& entries) {
  if (!entries.is_array() || entries.empty() || entries.size() > INT32_MAX)
    throw std::invalid_argument("vocabulary: a list is expected");
  const auto letters = byte_of_letter();
  texts_.resize(entries.size());
  is_special_.resize(texts_.size(), false);
  byte_ids_.fill(-1);
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    if (entries[id].is_null()) continue;
    const auto& entry = entries[id].get_ref<const std::string&>();
    const std::optional<std::string> bytes = bytes_of(entry, letters);
    texts_[id] = bytes.value_or(entry);  // other letters stand for themselves, as in `tokenizers`
    if (!bytes) continue;
    if (bytes->size() == 1) byte_ids_[static_cast<unsigned char>(bytes->front())] = static_cast<int32_t>(id);
    if (ignore_merges_) whole_pieces_.emplace(*bytes, static_cast<int32_t>(id));
  }
}

void ByteLevelBpe::read_merges(const nlohmann::json& merges) {
  if (merges == "by_rank") {
    if (!ignore_merges_) throw std::invalid_argument("merges: by_rank goes with ignore_merges");
    merges_.add_joined(whole_pieces_, [](int32_t id) { return id; });
    return;
  }
  if (!merges.is_array() || merges.size() % 3 != 0)
    throw std::invalid_argument("merges: a list of triples, or by_rank, is expected");
  const auto count = static_cast<int64_t>(texts_.size());
  const auto token = [&](std::size_t index) {
    const auto id = merges[index].get<int64_t>();
    if (id < 0 || id >= count)
      throw std::invalid_argument("merges: id " + std::to_string(id) + " is no token");
    return static_cast<int32_t>(id);
  };
  for (std::size_t i = 0; i < merges.size(); i += 3)
    merges_.add(token(i), token(i + 1), static_cast<int32_t>(i / 3), token(i + 2));
}

void ByteLevelBpe::read_added(const nlohmann::json& data) {
  added_ = AddedTokens(data.at("added"), static_cast<int64_t>(texts_.size()), normalizer_of(data));
  for (const AddedTokens::Token& token : added_.tokens()) {
    std::string& entry = texts_[static_cast<std::size_t>(token.id)];
    // Added tokens are found before the text is cut into pieces; a piece that reads the same is ordinary
    // text.
    if (const auto piece = whole_pieces_.find(entry);
        piece != whole_pieces_.end() && piece->second == token.id)
      whole_pieces_.erase(piece);
    entry = token.text;
    is_special_[static_cast<std::size_t>(token.id)] = token.special;
  }
}

std::vector<int64_t> ByteLevelBpe::encode_wrapped(std::string_view before, std::string_view text,
                                                  std::string_view after) const {
  std::vector<int64_t> ids;
  added_.split_wrapped(
      before, text, after, [&](int64_t id) { ids.push_back(id); },
      [&](std::string_view plain, bool) {
        const auto split = [&](std::string_view part) {
          splitter_.split(part, [&](std::string_view piece) { encode_piece(piece, ids); });
        };
        if (long_text_cut_) {
          cut_long_text(plain, split);
        } else {
          split(plain);
        }
      });
  return ids;
}

void ByteLevelBpe::encode_piece(std::string_view piece, std::vector<int64_t>& ids) const {
  if (ignore_merges_) {
    const auto found = whole_pieces_.find(std::string(piece));
    if (found != whole_pieces_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  std::vector<int32_t> symbols;
  symbols.reserve(piece.size());
  for (const char letter : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(letter)];
    if (id >= 0) symbols.push_back(id);
  }
  if (symbols.size() < piece.size())
    report_dropped(piece, static_cast<int64_t>(piece.size() - symbols.size()));
  merges_.apply(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
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

void ByteLevelBpe::decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const {
  require_id(id);
  begun = true;
  if (id >= static_cast<int64_t>(texts_.size())) return;
  const auto index = static_cast<std::size_t>(id);
  if (!(skip_special && is_special_[index])) text += texts_[index];
}

}  // namespace namm::models
