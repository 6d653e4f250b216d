#include "core/terminal.h"

#include <cerrno>
#include <mutex>
#include <string>

#include <sys/ioctl.h>
#include <unistd.h>

namespace namm {
namespace {

std::mutex mutex;

std::string& shown() {
  static std::string line;
  return line;
}

void write_stderr(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return;  // nobody reads; messages are not worth an error
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string fit(std::string_view line) {
  winsize size{};
  const std::size_t width =
      ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? std::size_t{size.ws_col} - 1 : 79;
  std::string cut;
  std::size_t columns = 0;
  for (const char c : line) {
    const bool starts_character = (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    if (starts_character && columns++ == width) {
      break;
    }
    cut += c;
  }
  return cut;
}

constexpr std::string_view clear_line = "\r\x1b[K";

}  // namespace

bool terminal_rewrites() {
  static const bool rewrites = ::isatty(STDERR_FILENO) == 1;
  return rewrites;
}

void terminal_print_line(std::string_view line) {
  const std::scoped_lock lock(mutex);
  std::string bytes;
  if (!shown().empty()) {
    bytes += clear_line;
  }
  bytes += line;
  bytes += '\n';
  bytes += shown();
  write_stderr(bytes);
}

void terminal_show_progress(std::string_view line) {
  const std::scoped_lock lock(mutex);
  if (line.empty() && shown().empty()) {
    return;
  }
  shown() = fit(line);
  write_stderr(std::string(clear_line) + shown());
}

}  // namespace namm
