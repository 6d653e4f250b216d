#include "models/tokenizers/sentence_piece_bpe.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include "core/errors.h"
#include "core/text.h"

namespace namm::models {
namespace {

// Types of pieces in SentencePiece's model files.
enum Type : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

constexpr std::string_view kBlank = "\u2581";

// Length of the letter that valid UTF-8 begins with.
std::size_t letter_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  return std::min<std::size_t>(text.size(), first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4);
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  std::size_t done = 0;
  for (std::size_t found; (found = text.find(from, done)) != std::string_view::npos;
       done = found + from.size())
    result.append(text.substr(done, found - done)).append(to);
  return result.append(text.substr(done));
}

// The byte of a piece like "<0x0A>", none of another one.
std::optional<unsigned char> byte_of(const std::string& piece) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  const auto high = kDigits.find(piece[3]), low = kDigits.find(piece[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
  return static_cast<unsigned char>(high << 4 | low);
}

}  // namespace

SentencePieceBpe::Blank SentencePieceBpe::blank_of(const std::string& name) {
  static const std::map<std::string, Blank> kRules = {{"each", Blank::each},
                                                      {"each_unless_there", Blank::each_unless_there},
                                                      {"first_unless_there", Blank::first_unless_there},
                                                      {"none", Blank::none}};
  const auto rule = kRules.find(name);
  if (rule == kRules.end())
    throw std::invalid_argument("blank: '" + name +
                                "' is not known (known: each, each_unless_there, first_unless_there, none)");
  return rule->second;
}

SentencePieceBpe::SentencePieceBpe(const nlohmann::json& data, std::vector<int64_t> prefix,
                                   int64_t vocabulary, bool chat_after_prefix)
    : blank_(blank_of(data.at("blank").get<std::string>())),
      strips_blank_(data.at("strips_blank").get<bool>()),
      chat_after_prefix_(chat_after_prefix),
      prefix_(std::move(prefix)) {
  read_pieces(data);
  vocabulary_ = std::max(static_cast<int64_t>(texts_.size()), vocabulary);
  read_merges(data);
  read_added(data);
}

void SentencePieceBpe::read_pieces(const nlohmann::json& data) {
  const nlohmann::json& pieces = data.at("pieces");
  if (!pieces.is_array() || pieces.empty() || pieces.size() > INT32_MAX / 2)
    throw std::invalid_argument("pieces: a list is expected");
  types_ = data.at("types").get<std::vector<int32_t>>();
  if (types_.size() != pieces.size()) throw std::invalid_argument("types: one a piece is expected");
  byte_ids_.fill(-1);
  nlohmann::json user_defined = nlohmann::json::array();
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    pieces_.push_back(pieces[id].is_null() ? std::string() : pieces[id].get<std::string>());
    const std::string& piece = pieces_.back();
    texts_.push_back(replace_all(piece, kBlank, " "));
    const int32_t type = types_[id];
    if (type < kNormal || type > kByte)
      throw std::invalid_argument("types: " + std::to_string(type) + " is not known (known: 1 to 6)");
    if (pieces[id].is_null()) continue;
    if (type == kByte) {
      const auto byte = byte_of(piece);
      if (!byte) throw std::invalid_argument("pieces: '" + piece + "' is no byte");
      byte_ids_[*byte] = static_cast<int32_t>(id);
      texts_.back() = std::string(1, static_cast<char>(*byte));
    }
    if (piece.empty() || (type != kNormal && type != kUserDefined)) continue;
    if (!ids_.emplace(piece, static_cast<int32_t>(id)).second)
      throw std::invalid_argument("pieces: '" + piece + "' stands twice");
    if (type == kUserDefined) user_defined.push_back({{"id", id}, {"text", piece}, {"special", false}});
  }
  for (std::size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    if (byte_ids_[byte] < 0)
      throw std::invalid_argument("pieces: byte " + std::to_string(byte) + " is missing");
  }
  user_defined_ = AddedTokens(user_defined, static_cast<int64_t>(pieces_.size()), {});
  is_special_.resize(pieces_.size(), false);
}

void SentencePieceBpe::read_merges(const nlohmann::json& data) {
  const std::size_t count = pieces_.size();
  if (data.contains("merges")) {
    const auto merges = data.at("merges").get<std::vector<int64_t>>();
    if (merges.size() % 3 != 0) throw std::invalid_argument("merges: a list of triples is expected");
    for (const int64_t id : merges) {
      if (id < 0 || id >= static_cast<int64_t>(count))
        throw std::invalid_argument("merges: id " + std::to_string(id) + " is no piece");
    }
    for (std::size_t i = 0; i < merges.size(); i += 3)
      merges_.add(static_cast<int32_t>(merges[i]), static_cast<int32_t>(merges[i + 1]),
                  static_cast<int32_t>(i / 3), static_cast<int32_t>(merges[i + 2]));
    return;
  }
  const auto scores = data.at("scores").get<std::vector<float>>();
  if (scores.size() != count) throw std::invalid_argument("scores: one a piece is expected");
  std::map<float, int32_t, std::greater<>> ranks;  // equal scores are one rank: the leftmost pair goes first
  for (const float score : scores) {
    if (!std::isfinite(score)) throw std::invalid_argument("scores: a number is expected");
    ranks[score];
  }
  int32_t next = 0;
  for (auto& [score, rank] : ranks) rank = next++;
  // A letter that is no piece may be part of one.
  for (std::size_t id = 0; id < count; ++id) {
    if (types_[id] != kNormal) continue;
    for (std::size_t place = 0; place < pieces_[id].size();) {
      const std::size_t length = letter_length(std::string_view(pieces_[id]).substr(place));
      const std::string letter = pieces_[id].substr(place, length);
      if (ids_.emplace(letter, static_cast<int32_t>(pieces_.size())).second) pieces_.push_back(letter);
      place += length;
    }
  }
  merges_.add_joined(ids_, [&](int32_t id) -> std::optional<int32_t> {
    const auto index = static_cast<std::size_t>(id);
    if (index >= count) return std::nullopt;
    return ranks.at(scores[index]);
  });
}

void SentencePieceBpe::read_added(const nlohmann::json& data) {
  added_ = AddedTokens(data.at("added"), static_cast<int64_t>(texts_.size()), {});
  for (const AddedTokens::Token& token : added_.tokens()) {
    texts_[static_cast<std::size_t>(token.id)] = token.text;
    is_special_[static_cast<std::size_t>(token.id)] = token.special;
  }
}

std::vector<int64_t> SentencePieceBpe::encode_wrapped(std::string_view before, std::string_view text,
                                                      std::string_view after) const {
  const bool in_chat = !before.empty() || !after.empty();
  return encode_parts(before, text, after, in_chat && chat_after_prefix_ ? Before::prefix : Before::nothing);
}

std::vector<int64_t> SentencePieceBpe::encode_continued(std::string_view text, std::string_view after) const {
  return encode_parts({}, text, after, Before::text);
}

std::vector<int64_t> SentencePieceBpe::encode_parts(std::string_view before, std::string_view text,
                                                    std::string_view after, Before lies) const {
  std::vector<int64_t> ids;
  added_.split_wrapped(
      before, text, after, [&](int64_t id) { ids.push_back(id); },
      [&](std::string_view plain, bool at_start) { encode_plain(plain, at_start, lies, ids); });
  return ids;
}

bool SentencePieceBpe::takes_blank(bool has_one, bool at_start, Before lies) const {
  if (at_start && lies == Before::text) return false;
  switch (blank_) {
    case Blank::each:
      return true;
    case Blank::each_unless_there:
      return !has_one;
    case Blank::first_unless_there:
      return !has_one && at_start && lies == Before::nothing;
    default:
      return false;
  }
}

void SentencePieceBpe::encode_plain(std::string_view text, bool at_start, Before lies,
                                    std::vector<int64_t>& ids) const {
  std::string escaped = replace_all(text, " ", kBlank);
  if (takes_blank(escaped.starts_with(kBlank), at_start, lies)) escaped.insert(0, kBlank);
  user_defined_.split(
      escaped, {}, [&](int64_t id) { ids.push_back(id); },
      [&](std::string_view run, bool) { encode_run(run, ids); });
}

void SentencePieceBpe::add_bytes(std::string_view bytes, std::vector<int32_t>& symbols) const {
  for (const char byte : bytes) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
}

void SentencePieceBpe::encode_run(std::string_view text, std::vector<int64_t>& ids) const {
  std::vector<int32_t> symbols;
  symbols.reserve(text.size());
  std::string letter;
  while (!text.empty()) {
    std::string_view valid = text.substr(0, first_invalid_utf8(text).value_or(text.size()));
    text.remove_prefix(valid.size());
    while (!valid.empty()) {
      letter = valid.substr(0, letter_length(valid));
      const auto found = ids_.find(letter);
      if (found != ids_.end()) {
        symbols.push_back(found->second);
      } else {
        add_bytes(letter, symbols);
      }
      valid.remove_prefix(letter.size());
    }
    if (!text.empty()) {
      add_bytes(text.substr(0, 1), symbols);
      text.remove_prefix(1);
    }
  }
  merges_.apply(symbols);
  std::vector<int32_t> bytes;
  for (const int32_t id : symbols) {
    if (id < static_cast<int32_t>(texts_.size())) {
      ids.push_back(id);
    } else {
      bytes.clear();
      add_bytes(pieces_[static_cast<std::size_t>(id)], bytes);
      ids.insert(ids.end(), bytes.begin(), bytes.end());
    }
  }
}

void SentencePieceBpe::decode_next(int64_t id, bool skip_special, bool& begun, std::string& text) const {
  require_id(id);
  if (id >= static_cast<int64_t>(texts_.size())) return;
  const auto index = static_cast<std::size_t>(id);
  if (skip_special && is_special_[index]) return;
  std::string_view own = texts_[index];
  if (own.empty()) return;
  if (strips_blank_ && !begun && own.front() == ' ') own.remove_prefix(1);
  begun = true;
  text += own;
}

}  // namespace namm::models
