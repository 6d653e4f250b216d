#pragma once

#include <optional>
#include <string>
#include <vector>

namespace namm {

/// What values a config field allows. On lists and maps it holds for every item; combine with &&.
struct Constraint {
  std::optional<double> low, high;
  bool low_open = false, high_open = false;
  std::vector<std::string> choices;
  bool is_needed = false;
  bool is_non_empty = false;

  /// "at least 2", "one of cma-es, cr-fm-nes", "" where everything is allowed.
  std::string text() const;
  /// An infinite value is allowed only where no bound is given.
  bool allows(double value) const;
  bool allows(const std::string& value) const;
};

Constraint at_least(double low);
Constraint at_most(double high);
Constraint above(double low);
Constraint below(double high);
/// Both ends allowed.
Constraint between(double low, double high);
Constraint one_of(std::vector<std::string> choices);
/// A text, list or map that has something in it.
Constraint non_empty();
/// The key must be given; there is no default.
Constraint needed();
Constraint operator&&(const Constraint& a, const Constraint& b);

}  // namespace namm
