#pragma once

#include <filesystem>
#include <string>

namespace namm::evolution {

/// How to reach a NATS server, and who we are.
struct NatsAddress {
  /// nats://host:port; tls:// for TLS; a token or user:password may stand before the host. Without either the
  /// token is taken from the environment variable NAMM_QUEUE_TOKEN, where other users' process lists do not
  /// show it.
  std::string url;
  std::filesystem::path ca;           ///< PEM; TLS: the server's certificate must come from one of these
  std::filesystem::path certificate;  ///< PEM, with `key`: of this client
  std::filesystem::path key;
  std::filesystem::path nkey;  ///< file with the seed of an nkey user

  bool operator==(const NatsAddress&) const = default;

  /// The address without secrets, for messages and files.
  std::string shown() const;
  /// Throws ConfigError: another scheme, no host, files that are not there, half of a pair.
  void check() const;
};

/// `text` with what stands between "nats://" or "tls://" and '@' replaced: command lines go into files.
std::string without_secrets(const std::string& text);

}  // namespace namm::evolution
