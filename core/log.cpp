#include "core/log.h"

#include <memory>
#include <mutex>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "core/errors.h"
#include "core/terminal.h"
#include "core/text.h"

namespace namm {
namespace {

class TerminalSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    terminal_print_line({line.data(), line.size()});
  }
  void flush_() override {}
};

spdlog::logger& logger() {
  // Never destroyed: threads may log while the program ends.
  static auto* const instance = [] {
    auto sink = std::make_shared<TerminalSink>();
    sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        terminal_rewrites() ? "%v" : "%H:%M:%S %v", spdlog::pattern_time_type::local, ""));
    auto* const made = new spdlog::logger("namm", std::move(sink));
    made->set_level(spdlog::level::info);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

}  // namespace

LogLevel parse_log_level(std::string_view name) {
  const std::vector<std::string> names = {"trace", "debug", "info", "warning", "error", "off"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) {
      return static_cast<LogLevel>(i);
    }
  }
  const auto meant = nearest(name, names);
  throw ConfigError("command line: log-level = " + std::string(name) + ": must be one of " +
                    join(names, ", ") + (meant ? "; did you mean '" + *meant + "'?" : ""));
}

void set_log_level(LogLevel level) {
  logger().set_level(to_spdlog(level));
}

LogLevel log_level() {
  switch (logger().level()) {
    case spdlog::level::trace:
      return LogLevel::trace;
    case spdlog::level::debug:
      return LogLevel::debug;
    case spdlog::level::warn:
      return LogLevel::warning;
    case spdlog::level::err:
    case spdlog::level::critical:
      return LogLevel::error;
    case spdlog::level::off:
      return LogLevel::off;
    default:
      return LogLevel::info;
  }
}

// The texts go through "{}": they may hold braces themselves.
void log_debug(const std::string& text) {
  logger().debug("{}", text);
}
void log_info(const std::string& text) {
  logger().info("{}", text);
}
void log_warning(const std::string& text) {
  logger().warn("warning: {}", text);
}
void log_error(const std::string& text) {
  logger().error("error: {}", text);
}

}  // namespace namm
