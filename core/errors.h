#pragma once

#include <stdexcept>
#include <string>

namespace namm {

/// Exit codes of the program (design 4).
enum class ExitCode : int { done = 0, config = 2, data = 3, infrastructure = 4, interrupted = 130 };

/// Base of all errors that a person can act on: printed without a stack, each with an exit code of its own.
/// The text says what, where and what to do.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& text) : std::runtime_error(text), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// A value of the user's configuration or command line is wrong; nothing was started or written.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& text) : Error(ExitCode::config, text) {}
};

/// A data, model, memory or checkpoint file is missing, truncated, malformed or of another version.
class DataError : public Error {
 public:
  explicit DataError(const std::string& text) : Error(ExitCode::data, text) {}
};

/// Disk, worker or server failed; a run stays resumable.
class InfrastructureError : public Error {
 public:
  explicit InfrastructureError(const std::string& text) : Error(ExitCode::infrastructure, text) {}
};

/// The user asked to stop (Ctrl-C); state is saved.
class Interrupted : public Error {
 public:
  explicit Interrupted(const std::string& text) : Error(ExitCode::interrupted, text) {}
};

}  // namespace namm
