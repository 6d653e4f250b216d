#include "evolution/queues/nats_address.h"

#include <array>

#include "core/errors.h"
#include "core/text.h"

namespace namm::evolution {

namespace {

constexpr std::array<std::string_view, 2> kSchemes = {"nats://", "tls://"};

void expect_file(const std::filesystem::path& path, const char* option) {
  std::error_code error;
  if (!path.empty() && !std::filesystem::is_regular_file(path, error)) {
    throw ConfigError(format_text("{} {}: there is no such file", option, path.string()));
  }
}

}  // namespace

std::string without_secrets(const std::string& text) {
  for (const std::string_view scheme : kSchemes) {
    const std::size_t begin = text.find(scheme);
    if (begin == std::string::npos) continue;
    const std::size_t secret = begin + scheme.size();
    const std::size_t at = text.rfind('@');
    if (at == std::string::npos || at < secret) continue;
    return text.substr(0, secret) + "***" + text.substr(at);
  }
  return text;
}

std::string NatsAddress::shown() const {
  // A scheme may have been forgotten or mistyped.
  const std::size_t at = url.rfind('@');
  const std::size_t scheme = url.find("://");
  if (at == std::string::npos) return url;
  return (scheme < at ? url.substr(0, scheme + 3) : "") + "***" + url.substr(at);
}

void NatsAddress::check() const {
  for (const std::string_view scheme : kSchemes) {
    if (!url.starts_with(scheme)) continue;
    const std::size_t at = url.rfind('@');
    const std::string host = url.substr(at == std::string::npos ? scheme.size() : at + 1);
    if (host.empty() || host.front() == ':') {
      throw ConfigError(format_text("--queue {}: no host", shown()));
    }
    if (certificate.empty() != key.empty()) {
      throw ConfigError("--queue-cert and --queue-key belong together");
    }
    expect_file(ca, "--queue-ca");
    expect_file(certificate, "--queue-cert");
    expect_file(key, "--queue-key");
    expect_file(nkey, "--queue-nkey");
    return;
  }
  throw ConfigError(
      format_text("--queue {}: an address of a NATS server, nats://TOKEN@host:port or tls://...", shown()));
}

}  // namespace namm::evolution
