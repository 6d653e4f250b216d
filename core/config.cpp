#include "core/config.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/config_scalar.h"
#include "core/errors.h"
#include "core/sha256.h"
#include "core/text.h"

namespace namm {
namespace detail {
namespace {

std::string needs(std::string type, const Constraint& constraint) {
  const std::string text = constraint.text();
  return "must be " + type + (text.empty() ? "" : ", " + text);
}

// The scalar if it is an unquoted one.
const std::string* plain(const ConfigNode& node) {
  return node.is_scalar() && !node.value().quoted ? &node.value().text : nullptr;
}

double read_number(const ConfigNode& node, double limit, const Constraint& constraint) {
  const std::string* text = plain(node);
  const std::optional<double> value = text != nullptr ? parse_core_float(*text) : std::nullopt;
  if (!value) {
    node.fail(needs("a number", constraint));
  }
  if (std::isnan(*value)) {
    node.fail(needs("a number, .nan is not allowed", constraint));
  }
  if (std::isfinite(*value) && std::fabs(*value) > limit) {
    node.fail(needs("a number that single precision can hold", constraint));
  }
  if (!constraint.allows(*value)) {
    node.fail(needs(std::isfinite(*value) ? "a number" : "a finite number", constraint));
  }
  return *value;
}

std::string describe_origin(const ConfigOrigin& origin) {
  if (!origin.source || origin.source->command_line) {
    return origin.text();
  }
  return origin.source->name + ':' + std::to_string(origin.line);
}

// `given` is what the document holds at this place, or null; `above` is where the nearest value around it was
// written when that value is a short form (e.g. a word that stands for a mapping).
void flatten(const ConfigValue& resolved, const ConfigValue* given, const ConfigOrigin* above,
             const std::string& path, const std::string& help, std::vector<DescribedValue>& out) {
  const auto child_path = [&](const std::string& key) { return path.empty() ? key : path + '.' + key; };
  const bool same_kind = given != nullptr && given->kind == resolved.kind;
  if (given != nullptr && !same_kind && given->kind != ConfigValue::Kind::null) {
    above = &given->origin;
  }
  if (resolved.kind == ConfigValue::Kind::mapping && !resolved.entries.empty()) {
    for (const ConfigValue::Entry& entry : resolved.entries) {
      flatten(entry.value, same_kind ? given->find(entry.key) : nullptr, above, child_path(entry.key),
              entry.help.empty() ? help : entry.help, out);
    }
    return;
  }
  const auto is_mapping = [](const ConfigValue& item) { return item.kind == ConfigValue::Kind::mapping; };
  if (std::any_of(resolved.items.begin(), resolved.items.end(), is_mapping)) {
    for (std::size_t i = 0; i < resolved.items.size(); ++i) {
      const ConfigValue* item = same_kind && i < given->items.size() ? &given->items[i] : nullptr;
      flatten(resolved.items[i], item, above, child_path(std::to_string(i)), help, out);
    }
    return;
  }
  std::string origin = "default";
  if (given != nullptr) {
    origin = describe_origin(given->origin);
  } else if (above != nullptr) {
    origin = describe_origin(*above);
  }
  out.push_back({path, to_flow_yaml(resolved), std::move(origin), help});
}

}  // namespace

int64_t read_integer(const ConfigNode& node, int64_t low, int64_t high, const Constraint& constraint) {
  const std::string* text = plain(node);
  const auto integer = text != nullptr ? parse_core_integer(*text) : std::nullopt;
  if (!integer) {
    node.fail(needs("an integer", constraint));
  }
  const uint64_t limit =
      integer->negative ? uint64_t{0} - static_cast<uint64_t>(low) : static_cast<uint64_t>(high);
  if (integer->overflow || integer->magnitude > limit) {
    node.fail(
        needs("an integer between " + std::to_string(low) + " and " + std::to_string(high), constraint));
  }
  const auto value =
      static_cast<int64_t>(integer->negative ? uint64_t{0} - integer->magnitude : integer->magnitude);
  if (!constraint.allows(static_cast<double>(value))) {
    node.fail(needs("an integer", constraint));
  }
  return value;
}

uint64_t read_unsigned(const ConfigNode& node, uint64_t high, const Constraint& constraint) {
  const std::string* text = plain(node);
  const auto integer = text != nullptr ? parse_core_integer(*text) : std::nullopt;
  if (!integer || (integer->negative && integer->magnitude > 0) || integer->overflow ||
      integer->magnitude > high) {
    node.fail(needs("an integer between 0 and " + std::to_string(high), constraint));
  }
  if (!constraint.allows(static_cast<double>(integer->magnitude))) {
    node.fail(needs("an integer", constraint));
  }
  return integer->magnitude;
}

double read_double(const ConfigNode& node, const Constraint& constraint) {
  return read_number(node, std::numeric_limits<double>::max(), constraint);
}

float read_float(const ConfigNode& node, const Constraint& constraint) {
  return static_cast<float>(read_number(node, std::numeric_limits<float>::max(), constraint));
}

bool read_bool(const ConfigNode& node) {
  const std::string* text = plain(node);
  if (text == nullptr || (*text != "true" && *text != "false")) {
    node.fail("must be true or false");
  }
  return *text == "true";
}

std::string read_string(const ConfigNode& node, const Constraint& constraint) {
  if (!node.is_scalar()) {
    node.fail(needs("a text", constraint));
  }
  const std::string& text = node.value().text;
  if (!constraint.allows(text)) {
    const auto meant = nearest(text, constraint.choices);
    node.fail("must be " + (constraint.choices.empty() ? "a text, " : std::string()) + constraint.text() +
              (meant ? "; did you mean '" + *meant + "'?" : ""));
  }
  return text;
}

ConfigPath read_path(const ConfigNode& node, const Constraint& constraint) {
  if (!node.is_scalar() || (constraint.is_non_empty && node.value().text.empty())) {
    node.fail("must be the name of a file or folder");
  }
  const std::string& text = node.value().text;
  if (text.empty()) {
    return {};
  }
  const auto& source = node.value().origin.source;
  return {source ? (source->directory / text).lexically_normal() : std::filesystem::path(text)};
}

void expect_sequence(const ConfigNode& node, const Constraint& constraint) {
  if (!node.is_sequence()) {
    node.fail("must be a list, e.g. [a, b]");
  }
  if (constraint.is_non_empty && node.size() == 0) {
    node.fail("must be a list of at least one item");
  }
}

void expect_mapping(const ConfigNode& node, const Constraint& constraint) {
  if (!node.is_mapping() && !node.is_null()) {
    node.fail("must be a mapping (key: value)");
  }
  if (constraint.is_non_empty && node.size() == 0) {
    node.fail("must be a mapping of at least one key");
  }
}

void fail_missing(const ConfigNode& mapping, std::string_view key, std::string_view help) {
  throw ConfigError(mapping.where() + ": " + (mapping.path().empty() ? "" : mapping.path() + ".") +
                    std::string(key) + ": must be given" +
                    (help.empty() ? "" : " (" + std::string(help) + ")"));
}

Constraint item_constraint(Constraint constraint) {
  constraint.is_needed = false;
  constraint.is_non_empty = false;
  return constraint;
}

ConfigValue write_integer(int64_t value) {
  return ConfigValue::integer(value);
}

ConfigValue write_unsigned(uint64_t value) {
  return ConfigValue::scalar(std::to_string(value));
}

ConfigValue write_double(double value) {
  return ConfigValue::scalar(core_float_text(value));
}

ConfigValue write_float(float value) {
  return ConfigValue::scalar(core_float_text(value));
}

ConfigValue write_path(const ConfigPath& path) {
  // Absolute, because the resolved config is read again from another folder.
  return ConfigValue::string(
      path.empty() ? "" : std::filesystem::absolute(path.value).lexically_normal().string());
}

}  // namespace detail

std::string config_sha256(const ConfigValue& resolved) {
  return sha256_hex(to_yaml(resolved));
}

std::vector<DescribedValue> describe(const ConfigValue& resolved, const ConfigDocument& document) {
  std::vector<DescribedValue> values;
  detail::flatten(resolved, &document.root().value(), nullptr, "", "", values);
  return values;
}

std::string to_text(const std::vector<DescribedValue>& values) {
  std::size_t width = 0;
  for (const DescribedValue& value : values) {
    width = std::max(width, std::min<std::size_t>(60, value.path.size() + value.value.size() + 3));
  }
  std::string text;
  for (const DescribedValue& value : values) {
    std::string line = value.path + " = " + value.value;
    line.resize(std::max(line.size(), width), ' ');
    text += line + "  # " + value.origin + '\n';
  }
  return text;
}

}  // namespace namm
