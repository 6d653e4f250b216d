#include "core/config_parser.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include "core/errors.h"
#include "core/text.h"

namespace namm {
namespace {

using Source = std::shared_ptr<const ConfigOrigin::Source>;

ConfigOrigin origin_of(const Source& source, const YAML::Mark& mark) {
  return {source, mark.line + 1, mark.column + 1};
}

constexpr const char* bad_key = "a key must be a plain text (or a bracket is left open)";

// Builds the tree from yaml-cpp's events: its own node tree forgets duplicate keys and expands aliases
// without a limit.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(Source source, std::size_t& values) : source_(std::move(source)), values_(values) {}

  ConfigValue root;

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    ConfigValue value;
    value.origin = origin_of(source_, mark);
    add(mark, std::move(value), anchor, 1, 1);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    refuse_tag(mark, tag, "tag:yaml.org,2002:str");
    ConfigValue value = tag == "?" || tag.empty() ? ConfigValue::scalar(text) : ConfigValue::string(text);
    value.origin = origin_of(source_, mark);
    add(mark, std::move(value), anchor, 1, 1);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      fail(mark, "an alias of a value that contains it is not allowed");
    }
    const Anchored& anchored = found->second;
    ConfigValue copy;
    if (values_ + anchored.count <= max_config_values) {
      copy = anchored.value;
    }
    add(mark, std::move(copy), 0, anchored.count, anchored.height);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag, "tag:yaml.org,2002:seq");
    begin(mark, ConfigValue::sequence(), anchor);
  }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag, "tag:yaml.org,2002:map");
    begin(mark, ConfigValue::mapping(), anchor);
  }

  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }

 private:
  struct Anchored {
    ConfigValue value;
    std::size_t count = 0;
    std::size_t height = 0;
  };

  struct Frame {
    ConfigValue value;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    std::size_t values_before = 0;
    std::size_t height = 1;
    bool key_read = false;
    std::string key;
    ConfigOrigin key_origin;
  };

  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& text) const {
    throw ConfigError(origin_of(source_, mark).text() + ": " + text);
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag, std::string_view allowed) const {
    if (!tag.empty() && tag != "?" && tag != "!" && tag != allowed) {
      fail(mark, "the tag " + tag + " is not used here; write the value without a tag");
    }
  }

  std::string path() const {
    std::string path;
    for (const Frame& frame : frames_) {
      const bool in_list = frame.value.kind == ConfigValue::Kind::sequence;
      path += path.empty() ? "" : ".";
      path += in_list ? std::to_string(frame.value.items.size()) : frame.key;
    }
    return path;
  }

  void begin(const YAML::Mark& mark, ConfigValue value, YAML::anchor_t anchor) {
    if (!frames_.empty() && frames_.back().value.kind == ConfigValue::Kind::mapping &&
        !frames_.back().key_read) {
      fail(mark, bad_key);
    }
    if (frames_.size() >= max_config_depth) {
      fail(mark, "nested deeper than " + std::to_string(max_config_depth) + " levels");
    }
    value.origin = origin_of(source_, mark);
    frames_.push_back({std::move(value), mark, anchor, values_, 1, false, {}, {}});
  }

  void end() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    add(frame.mark, std::move(frame.value), frame.anchor, values_ - frame.values_before + 1, frame.height, 1);
  }

  // `count` values, of which `added` are not yet in the total.
  void add(const YAML::Mark& mark, ConfigValue value, YAML::anchor_t anchor, std::size_t count,
           std::size_t height) {
    add(mark, std::move(value), anchor, count, height, count);
  }

  void add(const YAML::Mark& mark, ConfigValue value, YAML::anchor_t anchor, std::size_t count,
           std::size_t height, std::size_t added) {
    values_ += added;
    if (values_ > max_config_values) {
      fail(mark, "more than " + std::to_string(max_config_values) + " values (aliases counted in full)");
    }
    if (frames_.size() + height > max_config_depth) {
      fail(mark, "nested deeper than " + std::to_string(max_config_depth) + " levels");
    }
    if (anchor != 0) {
      // Each anchor holds a copy: of nested ones the innermost values are held once a level.
      anchored_ += count;
      if (anchored_ > max_config_values) {
        fail(mark, "more than " + std::to_string(max_config_values) +
                       " values have anchors (nested anchors counted in full)");
      }
      anchors_[anchor] = {value, count, height};
    }
    if (frames_.empty()) {
      root = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    frame.height = std::max(frame.height, height + 1);
    if (frame.value.kind == ConfigValue::Kind::sequence) {
      frame.value.items.push_back(std::move(value));
    } else if (frame.key_read) {
      frame.value.entries.push_back({std::move(frame.key), frame.key_origin, std::move(value), {}});
      frame.key_read = false;
      frame.key.clear();
    } else {
      take_key(mark, value);
    }
  }

  void take_key(const YAML::Mark& mark, const ConfigValue& value) {
    Frame& frame = frames_.back();
    if (value.kind != ConfigValue::Kind::scalar) {
      fail(mark, bad_key);
    }
    frame.key = value.text;
    frame.key_origin = origin_of(source_, mark);
    for (const ConfigValue::Entry& entry : frame.value.entries) {
      if (entry.key == frame.key) {
        fail(mark, path() + ": the key is given twice, first at " + entry.key_origin.text());
      }
    }
    frame.key_read = true;
  }

  Source source_;
  std::size_t& values_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  std::size_t anchored_ = 0;  ///< values that `anchors_` holds
};

}  // namespace

ConfigValue parse_yaml(std::string_view text, const Source& source, std::size_t& values) {
  const auto place_of = [&](std::size_t offset) {
    const std::string_view before = text.substr(0, offset);
    const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    const ConfigOrigin origin{source, static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1,
                              static_cast<int>(offset - line_start) + 1};
    return origin.text();
  };
  if (text.size() > max_config_bytes) {
    throw ConfigError(source->name + ": the file is larger than " + format_bytes(max_config_bytes) +
                      "; a configuration is a short text");
  }
  if (const auto offset = first_invalid_utf8(text)) {
    throw ConfigError(place_of(*offset) + ": not UTF-8 text; save the file as UTF-8");
  }
  if (const std::size_t offset = text.find('\0'); offset != std::string_view::npos) {
    throw ConfigError(place_of(offset) + ": a NUL byte; this is no text file");
  }
  TreeBuilder builder(source, values);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      return {};
    }
    const ConfigValue root = builder.root;
    if (parser.HandleNextDocument(builder)) {
      throw ConfigError(source->name + ": holds more than one YAML document ('---'); keep one");
    }
    return root;
  } catch (const YAML::ParserException& error) {
    throw ConfigError(origin_of(source, error.mark).text() + ": not valid YAML: " + error.msg);
  } catch (const YAML::Exception& error) {
    throw ConfigError(source->name + ": not valid YAML: " + error.msg);
  }
}

}  // namespace namm
