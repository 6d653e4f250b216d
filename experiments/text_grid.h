#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "experiments/statistics.h"

namespace namm::experiments {

/// A number with so many digits after the point; "?" where it is not finite.
std::string number_text(double value, int64_t decimals);

/// A mean, with the half width of its interval where it has one.
std::string score_text(const Estimate& estimate, int64_t decimals, bool sign = false);

/// Columns of text padded to one width; the width counts code points.
class TextGrid {
 public:
  void add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }

  /// A Markdown table; the first line is its head.
  std::string markdown() const;

 private:
  std::vector<std::vector<std::string>> lines_;
};

}  // namespace namm::experiments
