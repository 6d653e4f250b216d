#include "core/config_value.h"

#include <algorithm>
#include <array>

#include "core/config_scalar.h"

namespace namm {
namespace {

// Can stand without quotes as far as the syntax goes.
bool is_plain_syntax(std::string_view text) {
  const auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (text.empty() || text.back() == ' ' || !(letter_or_digit(text[0]) || text[0] == '_' || text[0] == '/')) {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return letter_or_digit(c) || std::string_view("_/.+- ").find(c) != std::string_view::npos;
  });
}

// Truth values to readers of YAML 1.1.
bool is_old_truth_value(std::string_view text) {
  constexpr std::array<std::string_view, 4> old_words = {"yes", "no", "on", "off"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::find(old_words.begin(), old_words.end(), lower) != old_words.end();
}

std::string quote(std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (c == '\r') {
      quoted += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += "\\x";
      quoted += hex[byte >> 4U];
      quoted += hex[byte & 15U];
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string scalar_text(const ConfigValue& value) {
  const bool special = is_special_scalar(value.text);
  if (value.quoted && (special || is_old_truth_value(value.text))) {
    return quote(value.text);
  }
  return is_plain_syntax(value.text) || special ? value.text : quote(value.text);
}

std::string key_text(const std::string& key) {
  return is_plain_syntax(key) ? key : quote(key);
}

bool is_scalar(const ConfigValue& value) {
  return value.kind == ConfigValue::Kind::scalar || value.kind == ConfigValue::Kind::null;
}

std::string flow_text(const ConfigValue& value, std::size_t limit) {
  std::string text;
  switch (value.kind) {
    case ConfigValue::Kind::null:
      return "null";
    case ConfigValue::Kind::scalar:
      return scalar_text(value);
    case ConfigValue::Kind::sequence:
      for (const ConfigValue& item : value.items) {
        text += text.empty() ? "" : ", ";
        text += flow_text(item, limit);
        if (text.size() > limit) {
          break;
        }
      }
      return "[" + text + "]";
    case ConfigValue::Kind::mapping:
      for (const ConfigValue::Entry& entry : value.entries) {
        text += text.empty() ? "" : ", ";
        text += key_text(entry.key) + ": " + flow_text(entry.value, limit);
        if (text.size() > limit) {
          break;
        }
      }
      return "{" + text + "}";
  }
  return text;
}

void emit(const ConfigValue& value, std::size_t indent, std::string& out);

// What follows "key:" or "-": on the same line where it is short, else as a block.
void emit_after(const ConfigValue& value, std::size_t indent, bool in_sequence, std::string& out) {
  const bool short_list = value.kind == ConfigValue::Kind::sequence &&
                          std::all_of(value.items.begin(), value.items.end(), is_scalar) &&
                          flow_text(value, 90).size() <= 90;
  const bool empty = value.kind == ConfigValue::Kind::mapping && value.entries.empty();
  if (is_scalar(value) || short_list || empty) {
    out += ' ' + to_flow_yaml(value) + '\n';
  } else if (in_sequence && value.kind == ConfigValue::Kind::mapping) {
    // "- key: value": the mapping begins on the line of the dash.
    std::string block;
    emit(value, indent + 2, block);
    out += ' ' + block.substr(indent + 2);
  } else {
    out += '\n';
    emit(value, indent + 2, out);
  }
}

void emit(const ConfigValue& value, std::size_t indent, std::string& out) {
  const std::string margin(indent, ' ');
  if (value.kind == ConfigValue::Kind::mapping && !value.entries.empty()) {
    for (const ConfigValue::Entry& entry : value.entries) {
      out += margin + key_text(entry.key) + ':';
      emit_after(entry.value, indent, false, out);
    }
  } else if (value.kind == ConfigValue::Kind::sequence && !value.items.empty()) {
    for (const ConfigValue& item : value.items) {
      out += margin + '-';
      emit_after(item, indent, true, out);
    }
  } else {
    out += margin + to_flow_yaml(value) + '\n';
  }
}

}  // namespace

std::string ConfigOrigin::text() const {
  if (!source) {
    return "default";
  }
  if (source->command_line) {
    return source->name;
  }
  return source->name + ':' + std::to_string(line) + ':' + std::to_string(column);
}

ConfigValue ConfigValue::scalar(std::string text) {
  ConfigValue value;
  value.kind = Kind::scalar;
  value.text = std::move(text);
  return value;
}

ConfigValue ConfigValue::string(std::string text) {
  ConfigValue value = scalar(std::move(text));
  value.quoted = true;
  return value;
}

ConfigValue ConfigValue::integer(long long value) {
  return scalar(std::to_string(value));
}

ConfigValue ConfigValue::sequence() {
  ConfigValue value;
  value.kind = Kind::sequence;
  return value;
}

ConfigValue ConfigValue::mapping() {
  ConfigValue value;
  value.kind = Kind::mapping;
  return value;
}

ConfigValue& ConfigValue::set(std::string key, ConfigValue value, std::string help) {
  if (ConfigValue* found = find(key)) {
    *found = std::move(value);
  } else {
    entries.push_back({std::move(key), value.origin, std::move(value), std::move(help)});
  }
  return *this;
}

const ConfigValue* ConfigValue::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) {
      return &entry.value;
    }
  }
  return nullptr;
}

ConfigValue* ConfigValue::find(std::string_view key) {
  return const_cast<ConfigValue*>(static_cast<const ConfigValue*>(this)->find(key));
}

std::string to_yaml(const ConfigValue& value) {
  std::string text;
  emit(value, 0, text);
  return text;
}

std::string to_flow_yaml(const ConfigValue& value) {
  return flow_text(value, std::string::npos);
}

std::string to_short_text(const ConfigValue& value) {
  constexpr std::size_t limit = 80;
  std::string text = flow_text(value, limit);
  if (text.size() <= limit) {
    return text;
  }
  // Cut between characters, not inside one.
  const auto continues = [&](std::size_t i) {
    return (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U;
  };
  std::size_t head = limit * 3 / 4, tail = text.size() - limit / 5;
  while (head > 0 && continues(head)) {
    --head;
  }
  while (tail < text.size() && continues(tail)) {
    ++tail;
  }
  return text.substr(0, head) + "..." + text.substr(tail);
}

bool is_special_scalar(std::string_view text) {
  constexpr std::array<std::string_view, 10> words = {"true",  "True", "TRUE", "false", "False",
                                                      "FALSE", "null", "Null", "NULL",  "~"};
  return std::find(words.begin(), words.end(), text) != words.end() || parse_core_integer(text).has_value() ||
         parse_core_float(text).has_value();
}

}  // namespace namm
