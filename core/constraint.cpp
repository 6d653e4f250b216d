#include "core/constraint.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/text.h"

namespace namm {
namespace {

std::string number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

}  // namespace

std::string Constraint::text() const {
  std::vector<std::string> parts;
  if (is_non_empty) {
    parts.emplace_back("not empty");
  }
  if (low && high && !low_open && !high_open) {
    parts.push_back("between " + number(*low) + " and " + number(*high));
  } else {
    if (low) {
      parts.push_back((low_open ? "above " : "at least ") + number(*low));
    }
    if (high) {
      parts.push_back((high_open ? "below " : "at most ") + number(*high));
    }
  }
  if (!choices.empty()) {
    parts.push_back("one of " + join(choices, ", "));
  }
  return join(parts, " and ");
}

bool Constraint::allows(double value) const {
  if ((low || high) && !std::isfinite(value)) {
    return false;
  }
  return !(low && (low_open ? value <= *low : value < *low)) &&
         !(high && (high_open ? value >= *high : value > *high));
}

bool Constraint::allows(const std::string& value) const {
  return !(is_non_empty && value.empty()) &&
         (choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end());
}

Constraint at_least(double low) {
  Constraint constraint;
  constraint.low = low;
  return constraint;
}

Constraint at_most(double high) {
  Constraint constraint;
  constraint.high = high;
  return constraint;
}

Constraint above(double low) {
  Constraint constraint = at_least(low);
  constraint.low_open = true;
  return constraint;
}

Constraint below(double high) {
  Constraint constraint = at_most(high);
  constraint.high_open = true;
  return constraint;
}

Constraint between(double low, double high) {
  return at_least(low) && at_most(high);
}

Constraint one_of(std::vector<std::string> choices) {
  Constraint constraint;
  constraint.choices = std::move(choices);
  return constraint;
}

Constraint non_empty() {
  Constraint constraint;
  constraint.is_non_empty = true;
  return constraint;
}

Constraint needed() {
  Constraint constraint;
  constraint.is_needed = true;
  return constraint;
}

Constraint operator&&(const Constraint& a, const Constraint& b) {
  Constraint both = a;
  if (b.low && (!both.low || *b.low > *both.low || (*b.low == *both.low && b.low_open))) {
    both.low = b.low;
    both.low_open = b.low_open;
  }
  if (b.high && (!both.high || *b.high < *both.high || (*b.high == *both.high && b.high_open))) {
    both.high = b.high;
    both.high_open = b.high_open;
  }
  if (both.choices.empty()) {
    both.choices = b.choices;
  } else if (!b.choices.empty()) {
    std::erase_if(both.choices, [&](const std::string& choice) {
      return std::find(b.choices.begin(), b.choices.end(), choice) == b.choices.end();
    });
  }
  both.is_needed = a.is_needed || b.is_needed;
  both.is_non_empty = a.is_non_empty || b.is_non_empty;
  return both;
}

}  // namespace namm
