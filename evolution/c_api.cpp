#include "evolution/c_api.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/errors.h"
#include "core/text.h"
#include "evolution/optimizer_list.h"

struct namm_optimizer {
  std::unique_ptr<namm::evolution::Optimizer> optimizer;
  bool minimize = true;
  std::string stop_reason;
};

namespace namm::evolution {
namespace {

/// What `yaml` may hold.
struct AbiConfig {
  OptimizerConfig optimizer;
  std::string sense = "minimize";

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    OptimizerConfig::fields(self.optimizer, visit);
    visit("sense", self.sense, one_of({"minimize", "maximize"}), "whether low or high values are good");
  }
  void check(const ConfigNode& node) const {
    if (node.has("sigma")) {
      node.at("sigma").fail("not here: the step size is an argument of namm_optimizer_new");
    }
    optimizer.check(node);
  }
};

/// The text of namm_last_error. Building it may itself run out of memory: then a fixed text stands in.
struct LastError {
  std::string text;
  const char* fixed = nullptr;

  void clear() {
    text.clear();
    fixed = nullptr;
  }
  void set(const char* what) noexcept {
    try {
      text = what;
      fixed = nullptr;
    } catch (...) {
      fixed = "out of memory";
    }
  }
};

LastError& last_error() {
  thread_local LastError error;
  return error;
}

/// Runs `call` with the error text cleared; whatever it throws becomes the text and `failed` the result.
template <class Result, class Call>
Result guarded(Result failed, const Call& call) noexcept {
  LastError& error = last_error();
  error.clear();
  try {
    return call();
  } catch (const std::bad_alloc&) {
    error.set("out of memory");
  } catch (const std::length_error&) {
    error.set("out of memory: the optimizer is too large for this machine");
  } catch (const std::exception& exception) {
    error.set(exception.what());
  } catch (...) {
    error.set("unknown error");
  }
  return failed;
}

template <class T>
T& need(T* pointer, const char* name) {
  if (pointer == nullptr) {
    throw ConfigError(format_text("{} is NULL", name));
  }
  return *pointer;
}

std::unique_ptr<namm_optimizer> make(const char* yaml, int64_t n, const double* mean, double sigma,
                                     uint64_t seed) {
  need(yaml, "yaml");
  need(mean, "mean");
  if (n < 1 || n > std::numeric_limits<int32_t>::max()) {
    throw ConfigError(format_text("n = {}: at least 1, at most {}", n, std::numeric_limits<int32_t>::max()));
  }
  if (!(sigma > 0) || !std::isfinite(sigma)) {
    throw ConfigError(format_text("sigma = {}: a finite number above 0", sigma));
  }
  const std::span<const double> start(mean, static_cast<std::size_t>(n));
  const auto wrong = std::find_if(start.begin(), start.end(), [](double x) { return !std::isfinite(x); });
  if (wrong != start.end()) {
    throw ConfigError(format_text("mean[{}] = {}: a finite number", wrong - start.begin(), *wrong));
  }
  AbiConfig config;
  const std::string_view text(yaml);
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    config = read_config<AbiConfig>(ConfigDocument::from_text(text, "yaml"));
  }
  config.optimizer.sigma = sigma;
  auto handle = std::make_unique<namm_optimizer>();
  handle->optimizer = make_optimizer(config.optimizer, start, seed);
  handle->minimize = config.sense == "minimize";
  return handle;
}

int tell(namm_optimizer& handle, const double* value) {
  const auto population = handle.optimizer->population();
  std::vector<double> fitness(value, value + population);
  if (handle.minimize) {
    std::transform(fitness.begin(), fitness.end(), fitness.begin(), [](double v) { return -v; });
  }
  const TellReport report = handle.optimizer->tell(fitness);
  handle.stop_reason = handle.optimizer->stop().value_or("");
  if (report.non_finite > 0) {
    last_error().set(
        format_text("{} of {} values are NaN or infinite: {}", report.non_finite, population,
                    report.non_finite < population ? "they rank last" : "the generation changes nothing")
            .c_str());
  }
  return handle.stop_reason.empty() ? 0 : 1;
}

}  // namespace
}  // namespace namm::evolution

using namespace namm::evolution;

extern "C" {

namm_optimizer* namm_optimizer_new(const char* yaml, int64_t n, const double* mean, double sigma,
                                   uint64_t seed) {
  return guarded(static_cast<namm_optimizer*>(nullptr),
                 [&] { return make(yaml, n, mean, sigma, seed).release(); });
}

int64_t namm_optimizer_population(const namm_optimizer* optimizer) {
  return guarded(int64_t{0}, [&] { return need(optimizer, "optimizer").optimizer->population(); });
}

void namm_optimizer_ask(namm_optimizer* optimizer, double* x) {
  guarded(0, [&] {
    namm_optimizer& handle = need(optimizer, "optimizer");
    need(x, "x");
    const std::vector<double> members = handle.optimizer->ask();
    std::copy(members.begin(), members.end(), x);
    return 0;
  });
}

int namm_optimizer_tell(namm_optimizer* optimizer, const double* value) {
  return guarded(-1, [&] {
    namm_optimizer& handle = need(optimizer, "optimizer");
    need(value, "value");
    return tell(handle, value);
  });
}

const char* namm_optimizer_stop_reason(const namm_optimizer* optimizer) {
  return guarded(static_cast<const char*>(""),
                 [&] { return need(optimizer, "optimizer").stop_reason.c_str(); });
}

int namm_optimizer_mean(const namm_optimizer* optimizer, double* mean) {
  return guarded(-1, [&] {
    const namm_optimizer& handle = need(optimizer, "optimizer");
    need(mean, "mean");
    const std::span<const double> answer = handle.optimizer->mean();
    std::copy(answer.begin(), answer.end(), mean);
    return 0;
  });
}

double namm_optimizer_sigma(const namm_optimizer* optimizer) {
  return guarded(0.0, [&] { return need(optimizer, "optimizer").optimizer->sigma(); });
}

void namm_optimizer_free(namm_optimizer* optimizer) {
  guarded(0, [&] {
    delete optimizer;
    return 0;
  });
}

const char* namm_last_error(void) {
  const LastError& error = last_error();
  return error.fixed != nullptr ? error.fixed : error.text.c_str();
}

}  // extern "C"
