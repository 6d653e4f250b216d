#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

namespace namm::models {

/// Changes a text before it is cut into pieces, e.g. to a normal form; empty: texts stay as they are.
using Normalizer = std::function<std::string(std::string_view)>;

/// Tokens that are found in a text before anything else looks at it, with the rules and the order of the
/// library `tokenizers`: from left to right the longest; first those that stand in the text as it is, then,
/// in what is left, those that are `normalized`, after the normalizer.
class AddedTokens {
 public:
  struct Token {
    std::string text;
    int64_t id = 0;
    bool special = false;      ///< never found in what a user typed
    bool normalized = false;   ///< looked for after the normalizer, its own text normalized as well
    bool single_word = false;  ///< only where no letter or digit stands beside it
    bool lstrip = false;       ///< takes the white space before it
    bool rstrip = false;       ///< takes the white space behind it
  };

  /// The part of a text that a user typed, bytes `begin` to `end`.
  struct UserText {
    std::size_t begin = 0, end = 0;
  };

  /// Text between tokens, normalized; `at_start`: the whole text begins with it.
  using Plain = std::function<void(std::string_view text, bool at_start)>;

  AddedTokens() = default;
  AddedTokens(AddedTokens&&) = default;  // no copies: the rounds point into `tokens_`
  AddedTokens& operator=(AddedTokens&&) = default;
  /// list: [{"id", "text", "special"} and, where true, "normalized", "single_word", "lstrip", "rstrip"].
  /// Throws std::invalid_argument on an empty text or an id that is not from 0 to `count` - 1, or a JSON
  /// exception.
  AddedTokens(const nlohmann::json& list, int64_t count, Normalizer normalizer);

  /// Calls `token` and `plain` for all parts of `text`, in order.
  void split(std::string_view text, UserText user, const std::function<void(int64_t id)>& token,
             const Plain& plain) const;

  /// The same of `before` + `text` + `after`, of which the user typed `text`.
  void split_wrapped(std::string_view before, std::string_view text, std::string_view after,
                     const std::function<void(int64_t id)>& token, const Plain& plain) const;

  /// In the order of the list.
  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  // All tokens of one of the two rounds, as a tree of bytes.
  class Round {
   public:
    void add(std::string_view text, const Token* token);
    // As `AddedTokens::split`; `plain` is given the place of the text.
    void split(std::string_view text, UserText user, const std::function<void(int64_t id)>& token,
               const std::function<void(std::size_t begin, std::size_t end)>& plain) const;
    bool empty() const { return nodes_.empty(); }

   private:
    struct Match {
      const Token* token = nullptr;
      std::size_t end = 0;
    };
    Match longest_at(std::string_view text, std::size_t place, UserText user) const;

    std::array<int32_t, 256> first_{};                // node of each first byte, 0: none
    std::unordered_map<uint64_t, int32_t> children_;  // key: node << 8 | byte
    std::vector<const Token*> nodes_;                 // the token that ends at each node; number 0 is unused
  };

  std::vector<Token> tokens_;
  Round raw_, normalized_;
  Normalizer normalizer_;
};

}  // namespace namm::models
