#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace namm::models {

/// Cuts a text into the pieces inside which byte pairs may merge, by one of the published patterns.
class Splitter {
 public:
  /// rule: gpt2 | smollm (every digit alone, then gpt2) | llama3 | qwen2 (llama3, every digit
  /// alone). Throws std::invalid_argument with the list.
  explicit Splitter(const std::string& rule);
  ~Splitter();
  Splitter(Splitter&&) noexcept;

  /// Calls `piece` for every part of `text`, in order and without gaps. Bytes that are not valid UTF-8 form
  /// pieces of their own. Safe to call from several threads.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

 private:
  void split_valid(std::string_view text, const std::function<void(std::string_view)>& piece) const;

  struct Pattern;
  std::unique_ptr<Pattern> pattern_;
};

}  // namespace namm::models
