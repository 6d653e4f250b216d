#pragma once

#include <filesystem>
#include <string>

namespace namm::evolution {

/// Environment variable with the token.
inline constexpr const char* kTokenVariable = "NAMM_QUEUE_TOKEN";

/// How to reach a NATS server, and who we are.
struct NatsAddress {
  /// nats://host:port; tls:// for TLS; a token or user:password may stand before the host. Without either the
  /// token is taken from the environment variable kTokenVariable, where other users' process lists do not
  /// show it.
  std::string url;
  std::filesystem::path ca;           ///< PEM; TLS: the server's certificate must come from one of these
  std::filesystem::path certificate;  ///< PEM, with `key`: of this client
  std::filesystem::path key;
  std::filesystem::path nkey;  ///< file with the seed of an nkey user

  bool operator==(const NatsAddress&) const = default;

  /// The address without secrets, for messages and files.
  std::string shown() const;
  /// Throws ConfigError: another scheme, no host, white space, files that are not there, half of a pair, a
  /// token in the environment that cannot be sent.
  void check() const;

  bool uses_tls() const;
  /// The token of the environment without white space at its ends, which files and commands leave there.
  /// Empty: there is none, or address or nkey say who we are. Throws ConfigError: a control character, '"' or
  /// '\\' in it, which the C library would send as they are.
  std::string environment_token() const;
  /// A token or password goes to another machine so that everybody on the way can read it.
  bool exposes_secret() const;
};

/// `text` with what stands between "nats://" or "tls://" and '@' replaced: command lines go into files.
std::string without_secrets(const std::string& text);

}  // namespace namm::evolution
