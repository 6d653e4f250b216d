#include "core/config_document.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "core/config_parser.h"
#include "core/errors.h"
#include "core/text.h"

namespace namm {
namespace {

namespace fs = std::filesystem;
using Kind = ConfigValue::Kind;
using Source = std::shared_ptr<const ConfigOrigin::Source>;

constexpr std::size_t max_base_depth = 64;
constexpr std::size_t max_base_files = 1000;

std::string joined(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + '.' + std::string(key);
}

std::string read_config_file(const fs::path& path, const std::string& named_at) {
  std::error_code error;
  const std::string before = (named_at.empty() ? "" : named_at + ": ") + path.string();
  if (fs::is_directory(path, error)) {
    throw ConfigError(before + ": is a folder, a YAML file is needed");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw ConfigError(before + ": the file does not exist or cannot be read");
  }
  // One byte more than is allowed, so that an endless file is noticed.
  std::string text(max_config_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// The files whose bases are being read, outermost first: for cycles and relative paths.
struct OpenFile {
  std::string name;
  fs::path canonical;
};

class Loader {
 public:
  ConfigValue load_file(const fs::path& path, const std::string& named_at) {
    std::error_code error;
    fs::path canonical = fs::weakly_canonical(path, error);
    if (error) {
      canonical = fs::absolute(path).lexically_normal();
    }
    enter({path.string(), canonical}, named_at);
    const std::string text = read_config_file(path, named_at);
    const fs::path directory = fs::absolute(path).lexically_normal().parent_path();
    return resolve_and_leave(parse(text, {path.string(), directory, false}));
  }

  ConfigValue load_text(std::string_view text, const std::string& name, const fs::path& directory) {
    return parse(text, {name, directory, false});
  }

  // Opens `path` as the outermost file, bases unresolved.
  ConfigValue load_outermost(const fs::path& path) {
    std::error_code error;
    fs::path canonical = fs::weakly_canonical(path, error);
    open_.push_back({path.string(), canonical});
    const fs::path directory = fs::absolute(path).lexically_normal().parent_path();
    return parse(read_config_file(path, ""), {path.string(), directory, false});
  }

  ConfigValue parse(std::string_view text, ConfigOrigin::Source source) {
    const auto shared = std::make_shared<const ConfigOrigin::Source>(std::move(source));
    ConfigValue value = parse_yaml(text, shared, values_);
    if (value.kind == Kind::null) {
      throw ConfigError(shared->name + ": the file is empty; a mapping (key: value) is needed");
    }
    if (value.kind != Kind::mapping) {
      throw ConfigError(value.origin.text() + ": the document = " + to_short_text(value) +
                        ": must be a mapping (key: value)");
    }
    return value;
  }

  ConfigValue parse_override(const std::string& text, const Source& source) {
    return parse_yaml(text, source, values_);
  }

  // Merges the bases of all mappings inside `value`, innermost first.
  void resolve(ConfigValue& value, const std::string& path) {
    for (std::size_t i = 0; i < value.items.size(); ++i) {
      resolve(value.items[i], joined(path, std::to_string(i)));
    }
    for (ConfigValue::Entry& entry : value.entries) {
      resolve(entry.value, joined(path, entry.key));
    }
    const ConfigValue* base = value.find("base");
    if (value.kind != Kind::mapping || base == nullptr) {
      return;
    }
    const std::string shown =
        base->origin.text() + ": " + joined(path, "base") + " = " + to_short_text(*base);
    if (value.entries.front().key != "base") {
      throw ConfigError(shown + ": must be the first key of its mapping");
    }
    if (base->kind != Kind::scalar || base->text.empty()) {
      throw ConfigError(shown + ": must be the name of a YAML file");
    }
    const fs::path file = (base->origin.source->directory / base->text).lexically_normal();
    ConfigValue merged = load_file(shorter(file), shown);
    value.entries.erase(value.entries.begin());
    merge(merged, std::move(value));
    value = std::move(merged);
  }

 private:
  void enter(OpenFile file, const std::string& named_at) {
    const auto same = [&](const OpenFile& open) { return open.canonical == file.canonical; };
    if (std::any_of(open_.begin(), open_.end(), same)) {
      std::string chain;
      for (const OpenFile& open : open_) {
        chain += open.name + " -> ";
      }
      throw ConfigError(named_at + ": bases run in a circle: " + chain + file.name);
    }
    if (open_.size() >= max_base_depth) {
      throw ConfigError(named_at + ": bases nested deeper than " + std::to_string(max_base_depth) + " files");
    }
    if (++files_ > max_base_files) {
      throw ConfigError(named_at + ": more than " + std::to_string(max_base_files) + " bases are read");
    }
    open_.push_back(std::move(file));
  }

  ConfigValue resolve_and_leave(ConfigValue value) {
    resolve(value, "");
    open_.pop_back();
    return value;
  }

  // Shown as seen from the current directory where that is shorter.
  static fs::path shorter(const fs::path& path) {
    std::error_code error;
    const fs::path current = fs::current_path(error);
    if (error) {
      return path;
    }
    const fs::path relative = path.lexically_relative(current);
    return !relative.empty() && *relative.begin() != ".." ? relative : path;
  }

  static void merge(ConfigValue& base, ConfigValue outer) {
    for (ConfigValue::Entry& entry : outer.entries) {
      ConfigValue* found = base.find(entry.key);
      if (found == nullptr) {
        base.entries.push_back(std::move(entry));
      } else if (found->kind == Kind::mapping && entry.value.kind == Kind::mapping) {
        merge(*found, std::move(entry.value));
      } else {
        *found = std::move(entry.value);
      }
    }
    base.origin = outer.origin;
  }

  std::vector<OpenFile> open_;
  std::size_t values_ = 0;
  std::size_t files_ = 0;
};

struct Override {
  std::vector<std::string> keys;
  std::string path;  // keys joined by dots
  ConfigValue value;

  bool names_base() const { return keys.back() == "base"; }
};

Override parse_override(const std::string& text, const Source& source, Loader& loader) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw ConfigError("command line: '" + text + "': must be key.path=value, e.g. evolution.population=8");
  }
  Override result;
  result.path = text.substr(0, equals);
  result.keys = split(result.path, '.');
  if (std::any_of(result.keys.begin(), result.keys.end(),
                  [](const std::string& key) { return key.empty(); })) {
    throw ConfigError("command line: '" + text + "': a key of the path is empty");
  }
  if (result.keys.size() >= max_config_depth) {
    throw ConfigError("command line: " + result.path + ": nested deeper than " +
                      std::to_string(max_config_depth) + " levels");
  }
  try {
    result.value = loader.parse_override(text.substr(equals + 1), source);
    result.value.origin = {source, 1, 1};
  } catch (const ConfigError& error) {
    throw ConfigError(std::string(error.what()) + " (in " + text + ")");
  }
  return result;
}

void apply(ConfigValue& root, const Override& override, const Source& source) {
  const ConfigOrigin origin{source, 1, 1};
  ConfigValue* place = &root;
  std::string path;
  for (const std::string& key : override.keys) {
    if (place->kind == Kind::sequence) {
      std::size_t index = 0;
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      if (error != std::errc() || end != key.data() + key.size() || index >= place->items.size()) {
        const std::size_t count = place->items.size();
        throw ConfigError("command line: " + override.path + " = " + to_short_text(override.value) + ": " +
                          path + " is a list of " + std::to_string(count) +
                          (count == 0 ? " items" : " items, numbered 0 to " + std::to_string(count - 1)) +
                          "; there is no '" + key + "'");
      }
      place = &place->items[index];
    } else {
      if (place->kind != Kind::mapping) {
        *place = ConfigValue::mapping();
        place->origin = origin;
      }
      if (place->find(key) == nullptr) {
        // Whether the key exists is the typed struct's to say; a base stands first in its mapping.
        ConfigValue added;
        added.origin = origin;
        ConfigValue::Entry entry{key, origin, std::move(added), {}};
        place->entries.insert(key == "base" ? place->entries.begin() : place->entries.end(),
                              std::move(entry));
      }
      place = place->find(key);
    }
    path = joined(path, key);
  }
  *place = override.value;
}

ConfigValue finish(ConfigValue root, Loader& loader, const std::vector<std::string>& overrides) {
  const auto source = std::make_shared<const ConfigOrigin::Source>(
      ConfigOrigin::Source{"command line", fs::current_path(), true});
  std::vector<Override> parsed;
  for (const std::string& text : overrides) {
    parsed.push_back(parse_override(text, source, loader));
  }
  for (const Override& override : parsed) {
    if (override.names_base()) {
      apply(root, override, source);
    }
  }
  loader.resolve(root, "");
  for (Override& override : parsed) {
    if (!override.names_base()) {
      loader.resolve(override.value, override.path);
      apply(root, override, source);
    }
  }
  return root;
}

}  // namespace

std::size_t ConfigNode::size() const {
  return is_sequence() ? value_->items.size() : value_->entries.size();
}

ConfigNode ConfigNode::item(std::size_t index) const {
  return {root_, &value_->items.at(index), joined(path_, std::to_string(index))};
}

ConfigNode ConfigNode::at(std::string_view key) const {
  const ConfigValue* found = value_->find(key);
  if (found == nullptr) {
    fail("the key '" + std::string(key) + "' must be given");
  }
  return {root_, found, joined(path_, key)};
}

bool ConfigNode::has(std::string_view key) const {
  return value_->find(key) != nullptr;
}

std::vector<std::string> ConfigNode::keys() const {
  std::vector<std::string> keys;
  for (const ConfigValue::Entry& entry : value_->entries) {
    keys.push_back(entry.key);
  }
  return keys;
}

void ConfigNode::fail(const std::string& allowed) const {
  throw ConfigError(where() + ": " + (path_.empty() ? "the document" : path_) + " = " +
                    to_short_text(*value_) + ": " + allowed);
}

void ConfigNode::fail_entry(std::string_view key, const std::string& value,
                            const std::string& allowed) const {
  if (has(key)) {
    at(key).fail(allowed);
  }
  throw ConfigError(where() + ": " + joined(path_, key) + " = " + value + " (default): " + allowed);
}

void ConfigNode::refuse_unknown_keys(const std::vector<std::string>& allowed) const {
  if (!is_mapping()) {
    fail("must be a mapping with the keys " + join(allowed, ", "));
  }
  for (const ConfigValue::Entry& entry : value_->entries) {
    if (std::find(allowed.begin(), allowed.end(), entry.key) != allowed.end()) {
      continue;
    }
    const auto meant = nearest(entry.key, allowed);
    throw ConfigError(entry.key_origin.text() + ": " + joined(path_, entry.key) + " = " +
                      to_short_text(entry.value) + ": unknown key" +
                      (meant ? ", did you mean '" + *meant + "'?" : ";") + " allowed are " +
                      join(allowed, ", "));
  }
}

ConfigDocument::ConfigDocument(ConfigValue root)
    : root_(std::make_shared<const ConfigValue>(std::move(root))) {}

ConfigDocument ConfigDocument::load(const fs::path& path, const std::vector<std::string>& overrides) {
  Loader loader;
  return ConfigDocument(finish(loader.load_outermost(path), loader, overrides));
}

ConfigDocument ConfigDocument::from_text(std::string_view text, const std::string& name,
                                         const std::vector<std::string>& overrides,
                                         const fs::path& directory) {
  Loader loader;
  const fs::path absolute =
      directory.empty() ? fs::current_path() : fs::absolute(directory).lexically_normal();
  return ConfigDocument(finish(loader.load_text(text, name, absolute), loader, overrides));
}

}  // namespace namm
