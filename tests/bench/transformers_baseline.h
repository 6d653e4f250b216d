#pragma once

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/types.h>

namespace namm::bench {

/// The library `transformers` on the same weights, in a Python process of its own that waits for its turn
/// (tests/models/transformers_server.py). Not thread-safe.
class TransformersBaseline {
 public:
  /// model: "smollm2" or "small"; project: the source tree with `.venv`. Throws Skipped where Python, the
  /// packages of the tests or the weights are missing.
  TransformersBaseline(const std::filesystem::path& project, const std::string& model, int threads);
  ~TransformersBaseline();
  TransformersBaseline(const TransformersBaseline&) = delete;
  TransformersBaseline& operator=(const TransformersBaseline&) = delete;

  struct Answer {
    std::vector<int64_t> ids;  ///< greedy
    double prefill_seconds = 0;
    double decode_seconds = 0;  ///< of the steps after the first id
  };
  /// Throws InfrastructureError where the process ended.
  Answer answer(const std::vector<int64_t>& ids, int64_t new_tokens);

 private:
  TransformersBaseline() = default;
  nlohmann::json read_reply();

  pid_t child_ = -1;
  std::FILE* requests_ = nullptr;
  std::FILE* replies_ = nullptr;
  void (*previous_handler_)(int) = SIG_ERR;  // of SIGPIPE
};

}  // namespace namm::bench
