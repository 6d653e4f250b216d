#include "evolution/queues/nats_address.h"

#include <algorithm>
#include <array>
#include <cstdlib>

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

bool is_control(unsigned char c) {
  return c < 0x20 || c == 0x7f;
}

/// One server of an address: what stands behind scheme and secret, and before the port.
std::string_view host_of(std::string_view server) {
  for (const std::string_view scheme : kSchemes) {
    if (server.starts_with(scheme)) server.remove_prefix(scheme.size());
  }
  if (const std::size_t at = server.rfind('@'); at != std::string_view::npos) server.remove_prefix(at + 1);
  if (server.starts_with('[')) return server.substr(1, server.find(']') - 1);
  return server.substr(0, server.find(':'));
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
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
  if (std::any_of(url.begin(), url.end(), [](unsigned char c) { return c == ' ' || is_control(c); })) {
    throw ConfigError(
        "--queue: white space or a control character in it; it takes an address of a NATS server, "
        "nats://TOKEN@host:port or tls://...");
  }
  environment_token();
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

bool NatsAddress::uses_tls() const {
  return url.starts_with("tls://") || !ca.empty() || !certificate.empty();
}

std::string NatsAddress::environment_token() const {
  const char* value = std::getenv(kTokenVariable);
  if (value == nullptr || url.find('@') != std::string::npos || !nkey.empty()) return "";
  const std::string_view token = trim(value);
  if (std::any_of(token.begin(), token.end(),
                  [](unsigned char c) { return is_control(c) || c == '"' || c == '\\'; })) {
    throw ConfigError(
        format_text("{}: the token holds a control character (a line break, say), '\"' or '\\', which no "
                    "token may; one that is good: openssl rand -hex 32",
                    kTokenVariable));
  }
  return std::string(token);
}

bool NatsAddress::exposes_secret() const {
  if (uses_tls() || !nkey.empty()) return false;
  if (url.find('@') == std::string::npos && environment_token().empty()) return false;
  const auto servers = split(url, ',');
  return std::any_of(servers.begin(), servers.end(),
                     [](const std::string& server) { return !is_loopback(host_of(server)); });
}

}  // namespace namm::evolution
