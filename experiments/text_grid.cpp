#include "experiments/text_grid.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace namm::experiments {

namespace {

size_t width(const std::string& cell) {
  return static_cast<size_t>(
      std::ranges::count_if(cell, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string number_text(double value, int64_t decimals) {
  if (!std::isfinite(value)) return "?";
  std::ostringstream out;
  out.setf(std::ios::fixed);
  out.precision(static_cast<int>(decimals));
  out << (value == 0 ? 0.0 : value);
  return out.str();
}

std::string score_text(const Estimate& estimate, int64_t decimals, bool sign) {
  std::string text = sign && estimate.mean > 0 ? "+" : "";
  text += number_text(estimate.mean, decimals);
  return estimate.has_interval() ? text + " ± " + number_text(estimate.half_width(), decimals) : text;
}

std::string TextGrid::markdown() const {
  std::vector<size_t> widths;
  for (const auto& line : lines_) {
    widths.resize(std::max(widths.size(), line.size()), 3);
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  }
  std::string text;
  for (size_t row = 0; row < lines_.size(); ++row) {
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = i < lines_[row].size() ? lines_[row][i] : "";
      text += "| " + cell + std::string(widths[i] - width(cell) + 1, ' ');
    }
    text += "|\n";
    if (row == 0) {
      for (const size_t w : widths) text += "|" + std::string(w + 2, '-');
      text += "|\n";
    }
  }
  return text;
}

}  // namespace namm::experiments
