#pragma once

#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/token_codec.h"

/// Tokenizers for tests of tasks, which know none of `models`.
namespace namm::testing {

/// The words of models/tiny/vocabulary.json, one token each, blanks between words implied; other bytes are a
/// token each.
class WordCodec : public TokenCodec {
 public:
  WordCodec() {
    std::ifstream file(NAMM_SOURCE_DIR "/models/tiny/vocabulary.json");
    const nlohmann::json vocabulary = nlohmann::json::parse(file);
    words_ = vocabulary.at("words").get<std::vector<std::string>>();
    for (size_t i = 0; i < words_.size(); ++i) ids_[words_[i]] = static_cast<int64_t>(i);
  }

  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    bool after_word = false;
    for (size_t i = 0; i < text.size();) {
      // A blank between two words belongs to neither.
      const size_t start =
          after_word && text[i] == ' ' && i + 1 < text.size() && word_at(text, i + 1) > 0 ? i + 1 : i;
      if (const size_t length = word_at(text, start); length > 0) {
        ids.push_back(ids_.at(std::string(text.substr(start, length))));
        i = start + length;
        after_word = true;
      } else {
        ids.push_back(byte_base() + static_cast<unsigned char>(text[i++]));
        after_word = false;
      }
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids, bool skip_special) const override {
    std::string text;
    bool after_word = false;
    for (int64_t id : ids) {
      if (id < 3 && skip_special) continue;
      if (id >= byte_base()) {
        text += static_cast<char>(id - byte_base());
        after_word = false;
      } else {
        text += (after_word ? " " : "") + words_.at(static_cast<size_t>(id));
        after_word = true;
      }
    }
    return text;
  }

  std::vector<int64_t> prefix() const override { return {1}; }
  int64_t vocabulary_size() const override { return byte_base() + 256; }

 private:
  int64_t byte_base() const { return static_cast<int64_t>(words_.size()); }

  /// Length of the vocabulary word that ends at white space or the end; 0 if there is none.
  size_t word_at(std::string_view text, size_t start) const {
    const size_t end = std::min(text.find_first_of(" \n", start), text.size());
    const auto found = ids_.find(std::string(text.substr(start, end - start)));
    return found != ids_.end() && found->second >= 3 ? end - start : 0;
  }

  std::vector<std::string> words_;
  std::map<std::string, int64_t> ids_;
};

/// Like a byte-level BPE: a word takes its leading blank along, digits stand alone, long words fall into
/// pieces of four bytes. Ids are given out as pieces appear.
class PieceCodec : public TokenCodec {
 public:
  std::vector<int64_t> encode(std::string_view text) const override {
    std::vector<int64_t> ids;
    for (size_t i = 0; i < text.size();) {
      size_t end = i + (text[i] == ' ' ? 1 : 0);
      if (end < text.size() && is_letter(text[end])) {
        while (end < text.size() && is_letter(text[end])) ++end;
      } else if (end < text.size() && text[end] != ' ' && !is_digit(text[end])) {
        ++end;
      } else {
        end = i + 1;
      }
      for (; i < end; i = std::min(i + 5, end))
        ids.push_back(number(text.substr(i, std::min<size_t>(5, end - i))));
    }
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids, bool) const override {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (int64_t id : ids) {
      if (id > 0) text += pieces_.at(static_cast<size_t>(id) - 1);
    }
    return text;
  }

  std::vector<int64_t> prefix() const override {
    return has_prefix ? std::vector<int64_t>{0} : std::vector<int64_t>{};
  }
  int64_t vocabulary_size() const override { return 1 << 20; }

  bool has_prefix = false;

 protected:
  int64_t number(std::string_view piece) const {
    const std::lock_guard lock(mutex_);
    const auto [entry, is_new] =
        ids_.try_emplace(std::string(piece), static_cast<int64_t>(pieces_.size()) + 1);
    if (is_new) pieces_.emplace_back(piece);
    return entry->second;
  }

 private:
  static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  mutable std::mutex mutex_;
  mutable std::map<std::string, int64_t> ids_;
  mutable std::vector<std::string> pieces_;
};

/// Like SentencePiece: puts a blank before a text that begins, and has tokens of a full stop with what
/// follows.
class BlankCodec : public PieceCodec {
 public:
  std::vector<int64_t> encode(std::string_view text) const override {
    return encode_continued(" " + std::string(text));
  }
  std::vector<int64_t> encode_continued(std::string_view text) const override {
    std::vector<int64_t> ids;
    while (!text.empty()) {
      const size_t stop = text.find(".\n"), plain = std::min(stop, text.size());
      for (const int64_t id : PieceCodec::encode(text.substr(0, plain))) ids.push_back(id);
      text.remove_prefix(plain);
      if (text.empty()) break;
      ids.push_back(number(text.substr(0, 2)));
      text.remove_prefix(2);
    }
    return ids;
  }
};

}  // namespace namm::testing
