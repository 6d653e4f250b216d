#include "tests/bench/transformers_baseline.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"
#include "tests/bench/case.h"

namespace namm::bench {

namespace {

// Both ends are closed in other children.
std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw InfrastructureError(std::string("a pipe to Python cannot be made: ") + std::strerror(errno));
  return ends;
}

}  // namespace

TransformersBaseline::TransformersBaseline(const std::filesystem::path& project, const std::string& model,
                                           int threads)
    : TransformersBaseline() {  // from here on the destructor ends what was started
  const std::string python = project / ".venv/bin/python";
  if (!std::filesystem::exists(python))
    throw Skipped(python + " is missing: ./setup.sh --tests makes it, with transformers");
  previous_handler_ = std::signal(SIGPIPE, SIG_IGN);  // a process that ended is told by read_reply
  const std::array<int, 2> to_child = make_pipe(), from_child = make_pipe();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to_child[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from_child[1], STDOUT_FILENO);
  posix_spawn_file_actions_addchdir_np(&actions, project.c_str());
  const std::string count = std::to_string(threads);
  std::array<const char*, 8> arguments = {python.c_str(), "-m",          "tests.models.transformers_server",
                                          "--model",      model.c_str(), "--threads",
                                          count.c_str(),  nullptr};
  const int failed = posix_spawn(&child_, python.c_str(), &actions, nullptr,
                                 const_cast<char* const*>(arguments.data()), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to_child[0]);
  close(from_child[1]);
  requests_ = fdopen(to_child[1], "w");
  replies_ = fdopen(from_child[0], "r");
  if (failed != 0) {
    child_ = -1;
    throw InfrastructureError(python + " cannot be started: " + std::strerror(failed));
  }
  const nlohmann::json greeting = read_reply();
  if (greeting.contains("unavailable"))
    throw Skipped("transformers: " + greeting["unavailable"].get<std::string>());
}

TransformersBaseline::~TransformersBaseline() {
  if (requests_ != nullptr) std::fclose(requests_);  // its loop ends
  if (replies_ != nullptr) std::fclose(replies_);
  if (child_ > 0) waitpid(child_, nullptr, 0);
  if (previous_handler_ != SIG_ERR) std::signal(SIGPIPE, previous_handler_);
}

nlohmann::json TransformersBaseline::read_reply() {
  char* line = nullptr;
  size_t capacity = 0;
  const ssize_t length = getline(&line, &capacity, replies_);
  std::string text(line == nullptr || length < 0 ? "" : std::string(line, static_cast<size_t>(length)));
  std::free(line);
  if (text.empty()) throw InfrastructureError("transformers ended; what it said stands above");
  nlohmann::json reply = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!reply.is_object()) throw InfrastructureError("transformers answered: " + text);
  return reply;
}

TransformersBaseline::Answer TransformersBaseline::answer(const std::vector<int64_t>& ids,
                                                          int64_t new_tokens) {
  const std::string request = nlohmann::json{{"ids", ids}, {"new_tokens", new_tokens}}.dump() + "\n";
  std::fwrite(request.data(), 1, request.size(), requests_);
  std::fflush(requests_);
  const nlohmann::json reply = read_reply();
  return {reply.at("ids").get<std::vector<int64_t>>(), reply.at("prefill_seconds").get<double>(),
          reply.at("decode_seconds").get<double>()};
}

}  // namespace namm::bench
