#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace namm::models {

/// Ends an answer at that one of several texts which is complete first, and which does not belong to it. Fed with the answer piece by
/// piece; a piece that may be the beginning of such a text is held back until it is known.
class StopText {
 public:
  /// Empty texts are left out.
  explicit StopText(std::vector<std::string> texts);

  /// The answer goes on with `piece`. Returns what of it is now certain.
  std::string add(std::string_view piece);
  /// A text was met: what comes after it is not looked at.
  bool met() const { return met_; }
  /// The answer ends here: returns what was held back, nothing where a text was met.
  std::string finish();

 private:
  std::vector<std::string> texts_;
  std::string held_;
  bool met_ = false;
};

}  // namespace namm::models
