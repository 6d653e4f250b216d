#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace namm {

/// Where a config value was written.
struct ConfigOrigin {
  struct Source {
    std::string name;                 ///< file as errors show it, or "command line"
    std::filesystem::path directory;  ///< what relative paths written here are relative to; absolute
    bool command_line = false;
  };

  std::shared_ptr<const Source> source;  ///< null: made by the program
  int line = 0;                          ///< from 1
  int column = 0;                        ///< from 1, in bytes

  /// "file:line:column", "command line", or "default" for a value made by the program.
  std::string text() const;
};

/// A tree of YAML values: what a document holds after `base` and overrides, and what typed structs are
/// written as.
struct ConfigValue {
  enum class Kind { null, scalar, sequence, mapping };
  struct Entry;

  Kind kind = Kind::null;
  std::string text;     ///< of a scalar, unquoted
  bool quoted = false;  ///< a scalar in quotes is a text, whatever it looks like
  std::vector<ConfigValue> items;
  std::vector<Entry> entries;
  ConfigOrigin origin;

  static ConfigValue scalar(std::string text);
  /// A scalar that is text whatever it looks like.
  static ConfigValue string(std::string text);
  static ConfigValue integer(long long value);
  static ConfigValue sequence();
  static ConfigValue mapping();

  /// Sets or replaces an entry of a mapping; returns *this.
  ConfigValue& set(std::string key, ConfigValue value, std::string help = "");

  /// Entry of a mapping, or null.
  const ConfigValue* find(std::string_view key) const;
  ConfigValue* find(std::string_view key);
};

struct ConfigValue::Entry {
  std::string key;
  ConfigOrigin key_origin;
  ConfigValue value;
  std::string help;
};

/// YAML 1.2 text that reads back as the same tree; ends with a newline.
std::string to_yaml(const ConfigValue& value);

/// The same on one line, without a newline.
std::string to_flow_yaml(const ConfigValue& value);

/// One line for messages, shortened in the middle of long values.
std::string to_short_text(const ConfigValue& value);

/// True when `text` as a plain (unquoted) scalar is something else than text in the YAML 1.2 core schema: a
/// number, true, false or null.
bool is_special_scalar(std::string_view text);

}  // namespace namm
