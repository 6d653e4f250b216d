#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config_value.h"

namespace namm {

/// A view of one value of a document, with the key path that leads to it. Copies are cheap and keep the
/// document alive.
class ConfigNode {
 public:
  ConfigNode(std::shared_ptr<const ConfigValue> root, const ConfigValue* value, std::string path)
      : root_(std::move(root)), value_(value), path_(std::move(path)) {}

  const ConfigValue& value() const { return *value_; }
  /// "stages.0.evolve.generations"; "" for the root.
  const std::string& path() const { return path_; }
  std::string where() const { return value_->origin.text(); }

  bool is_null() const { return value_->kind == ConfigValue::Kind::null; }
  bool is_scalar() const { return value_->kind == ConfigValue::Kind::scalar; }
  bool is_sequence() const { return value_->kind == ConfigValue::Kind::sequence; }
  bool is_mapping() const { return value_->kind == ConfigValue::Kind::mapping; }

  /// Items of a sequence or entries of a mapping.
  std::size_t size() const;
  /// Item of a sequence.
  ConfigNode item(std::size_t index) const;
  /// Entry of a mapping; `has` must be true.
  ConfigNode at(std::string_view key) const;
  bool has(std::string_view key) const;
  std::vector<std::string> keys() const;

  /// Throws ConfigError `file:line:column: key.path = value: allowed`.
  [[noreturn]] void fail(const std::string& allowed) const;
  /// The same for an entry of this mapping that may be missing: then the place is that of the mapping and
  /// `value` is what stands in for it (a default).
  [[noreturn]] void fail_entry(std::string_view key, const std::string& value,
                               const std::string& allowed) const;
  /// Throws for the first key that is not among `allowed`, naming the nearest; for a non-mapping too.
  void refuse_unknown_keys(const std::vector<std::string>& allowed) const;

 private:
  std::shared_ptr<const ConfigValue> root_;
  const ConfigValue* value_;
  std::string path_;
};

/// A YAML 1.2 document with `base` files merged in and command-line overrides applied.
///
/// `base: other.yaml` as the first key of any mapping reads that file (relative to the file that names it)
/// and merges deep: mappings entry by entry, the outer wins; lists and scalars are replaced. Cycles are
/// refused. An override is `key.path=value`, list items by number, the value in YAML; `key.base=file` names a
/// base (relative to the current directory) for a mapping of the file itself.
///
/// Numbers follow the YAML 1.2 core schema: 010 is ten, 0o10 is eight, 1e-1 is a tenth; .inf is read, .nan is
/// refused. Limits against hostile files: 4 MiB a file, 100 levels, 100,000 values with aliases expanded,
/// 1,000 bases, 64 deep.
class ConfigDocument {
 public:
  /// Throws ConfigError: unreadable file, bad syntax, duplicate key, cyclic base, bad override.
  static ConfigDocument load(const std::filesystem::path& path,
                             const std::vector<std::string>& overrides = {});
  /// `name` stands in errors; relative paths are relative to `directory` (default: the current one).
  static ConfigDocument from_text(std::string_view text, const std::string& name,
                                  const std::vector<std::string>& overrides = {},
                                  const std::filesystem::path& directory = {});

  ConfigNode root() const { return ConfigNode(root_, root_.get(), ""); }

 private:
  explicit ConfigDocument(ConfigValue root);

  std::shared_ptr<const ConfigValue> root_;
};

}  // namespace namm
