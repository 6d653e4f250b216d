#pragma once

#include <array>
#include <string>
#include <string_view>

namespace namm::models {

/// What `clean_up_tokenization_spaces` does in the library `transformers`: the space before . ? ! , goes, and
/// that before English endings (n't 'm 's 've 're); a quote between spaces loses both. Fed piece by piece.
class SpaceCleanUp {
 public:
  /// The text goes on with `piece`: returns what is certain.
  std::string add(std::string_view piece);
  /// The text ends: returns what was held back.
  std::string finish();

 private:
  static constexpr std::size_t kSteps = 10;
  // `text` through all steps; `last`: each gives out what it holds.
  std::string run(std::string text, bool last);

  std::array<std::string, kSteps> held_;  // of each step, the beginning of what it replaces
};

}  // namespace namm::models
