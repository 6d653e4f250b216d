#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evolution/queues/nats_address.h"

extern char** environ;

namespace namm::testing {

/// nats-server with JetStream on loopback and a token, its store in `folder`; may be killed and started
/// again. One that ends by itself is started again, as a supervisor would, and that is told: nats-server
/// 2.9.10 crashes when a stream is read at the moment of its deletion.
class NatsServer {
 public:
  explicit NatsServer(const std::filesystem::path& folder) : config_(folder / "server.conf") {
    port_ = free_port();
    std::ofstream(config_) << "listen: 127.0.0.1:" << port_ << "\njetstream { store_dir: \""
                           << (folder / "store").string() << "\" }\nauthorization { token: a-token }\n"
                           << "log_file: \"" << (folder / "server.log").string() << "\"\n";
    start();
    supervisor_ = std::thread([this] { supervise(); });
  }
  ~NatsServer() {
    ending_ = true;
    supervisor_.join();
    kill();
  }
  NatsServer(const NatsServer&) = delete;
  NatsServer& operator=(const NatsServer&) = delete;

  static bool installed() { return !program().empty(); }

  /// Throws std::runtime_error when it does not answer within two minutes.
  void start() {
    spawn();
    for (int i = 0; i < 2400 && !answers(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (!answers()) throw std::runtime_error("nats-server does not answer");
  }

  /// kill -9
  void kill() {
    const std::lock_guard lock(mutex_);
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

  /// It does nothing until it is woken, and its connections stay.
  void freeze() { signal(SIGSTOP); }
  void wake() { signal(SIGCONT); }

  evolution::NatsAddress address() const {
    evolution::NatsAddress address;
    address.url = "nats://a-token@127.0.0.1:" + std::to_string(port_);
    return address;
  }

 private:
  void signal(int number) {
    const std::lock_guard lock(mutex_);
    if (process_ > 0) ::kill(process_, number);
  }

  void spawn() {
    const std::lock_guard lock(mutex_);
    const std::string path = program(), config = config_.string();
    const char* words[] = {path.c_str(), "-c", config.c_str(), nullptr};
    if (::posix_spawn(&process_, path.c_str(), nullptr, nullptr, const_cast<char**>(words), environ) != 0) {
      process_ = 0;
      throw std::runtime_error("nats-server cannot be started");
    }
  }

  bool has_ended() {
    const std::lock_guard lock(mutex_);
    if (process_ <= 0 || ::waitpid(process_, nullptr, WNOHANG) != process_) return false;
    process_ = 0;
    return true;
  }

  void supervise() {
    for (; !ending_; std::this_thread::sleep_for(std::chrono::milliseconds(20))) {
      if (!has_ended()) continue;
      std::fputs("nats-server ended by itself and is started again\n", stderr);
      spawn();
    }
  }

  static std::string program() {
    for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/usr/local/bin/"}) {
      const std::string path = std::string(folder) + "nats-server";
      if (::access(path.c_str(), X_OK) == 0) return path;
    }
    return "";
  }

  static sockaddr_in loopback(uint16_t port) {
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    place.sin_port = ::htons(port);
    return place;
  }

  /// Below those that the system gives to connections, which would take it while the server is away.
  static uint16_t free_port() {
    constexpr int kLeast = 10000;
    int lowest_given = 0;
    std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> lowest_given;
    std::random_device draw;
    for (int tries = 0; tries < 100; ++tries) {
      const bool room = lowest_given > kLeast + 2000;
      sockaddr_in place = loopback(
          static_cast<uint16_t>(room ? std::uniform_int_distribution(kLeast, lowest_given - 1)(draw) : 0));
      socklen_t size = sizeof place;
      const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const bool free = ::bind(probe, reinterpret_cast<const sockaddr*>(&place), size) == 0;
      ::getsockname(probe, reinterpret_cast<sockaddr*>(&place), &size);
      ::close(probe);
      if (free) return ::ntohs(place.sin_port);
    }
    throw std::runtime_error("no port is free");
  }

  bool answers() const {
    const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in place = loopback(port_);
    const bool connected = ::connect(probe, reinterpret_cast<const sockaddr*>(&place), sizeof place) == 0;
    ::close(probe);
    return connected;
  }

  std::filesystem::path config_;
  uint16_t port_ = 0;
  std::mutex mutex_;  ///< of the next
  pid_t process_ = 0;
  std::atomic<bool> ending_{false};
  std::thread supervisor_;
};

}  // namespace namm::testing
