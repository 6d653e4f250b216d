#include "core/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>

namespace namm {
namespace {

struct Sequence {
  std::size_t bytes;
  bool valid;
  bool open = false;  ///< the text ends before it is complete
};

// The UTF-8 sequence at the start of `text`, or else the longest beginning of one, at least a byte (Unicode
// 15, table 3-7 and "U+FFFD Substitution of Maximal Subparts").
Sequence first_sequence(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) {
    return {1, true};
  }
  std::size_t length = 0;
  unsigned char low = 0x80, high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {1, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) {
      return {i, false, true};
    }
    if (byte(i) < low || byte(i) > high) {
      return {i, false};
    }
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view white = " \t\r\n\f\v";
  const std::size_t begin = text.find_first_not_of(white);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> pieces;
  std::size_t begin = 0;
  for (std::size_t end = text.find(separator); end != std::string_view::npos;
       end = text.find(separator, begin)) {
    pieces.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  pieces.emplace_back(text.substr(begin));
  return pieces;
}

std::string join(const std::vector<std::string>& pieces, std::string_view separator) {
  std::string joined;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) {
      joined += separator;
    }
    joined += pieces[i];
  }
  return joined;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    previous[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({replace, previous[j] + 1, current[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

std::optional<std::string> nearest(std::string_view text, const std::vector<std::string>& candidates) {
  if (text.size() > 200) {
    return std::nullopt;
  }
  std::optional<std::string> best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(text, candidate);
    const std::size_t allowed = std::max<std::size_t>(1, std::max(text.size(), candidate.size()) / 3);
    if (distance <= allowed && distance < candidate.size() && (!best || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const Sequence sequence = first_sequence(text.substr(i));
    if (!sequence.valid) {
      return i;
    }
    i += sequence.bytes;
  }
  return std::nullopt;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Sequence sequence = first_sequence(text.substr(i));
    valid += sequence.valid ? text.substr(i, sequence.bytes) : "\xEF\xBF\xBD";
    i += sequence.bytes;
  }
  return valid;
}

std::size_t open_utf8_tail(std::string_view text) {
  for (std::size_t bytes = std::min<std::size_t>(3, text.size()); bytes > 0; --bytes) {
    const Sequence sequence = first_sequence(text.substr(text.size() - bytes));
    if (sequence.open && sequence.bytes == bytes) {
      return bytes;
    }
  }
  return 0;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> units = {"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) {
    return std::to_string(bytes) + " bytes";
  }
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << value << ' ' << units[unit];
  return out.str();
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) {
    return "unknown";
  }
  std::ostringstream out;
  if (seconds < 9.95) {
    out << std::fixed << std::setprecision(1) << seconds << " s";
    return out.str();
  }
  const auto whole = static_cast<uint64_t>(std::min(seconds, 1e15) + 0.5);
  if (whole < 60) {
    out << whole << " s";
  } else if (whole < 3600) {
    out << whole / 60 << " min " << std::setw(2) << std::setfill('0') << whole % 60 << " s";
  } else {
    out << whole / 3600 << " h " << std::setw(2) << std::setfill('0') << whole / 60 % 60 << " min";
  }
  return out.str();
}

}  // namespace namm
