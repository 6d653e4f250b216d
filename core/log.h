#pragma once

#include <string>
#include <string_view>

namespace namm {

enum class LogLevel { trace, debug, info, warning, error, off };

/// Level of a name as `--log-level` takes it: trace, debug, info, warning, error, off. Throws ConfigError
/// with the list.
LogLevel parse_log_level(std::string_view name);

/// Messages below the level are dropped; `info` unless set. Any thread.
void set_log_level(LogLevel level);
LogLevel log_level();

/// One line on standard error. Any thread; never mixed with a progress line. `format_text` of core/text.h
/// builds texts.
void log_debug(const std::string& text);
void log_info(const std::string& text);
void log_warning(const std::string& text);
void log_error(const std::string& text);

}  // namespace namm
