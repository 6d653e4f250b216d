#include <cmath>
#include <fstream>

#include <signal.h>
#include <unistd.h>

#include "core/interrupt.h"
#include "evolution/worker_service.h"
#include "tests/evolution/queue/fake_arguments.h"
#include "tests/evolution/support/fake_problem.h"

/// A worker on the real worker loop that computes the items of fake_coordinator.
///   fake_worker queue=nats://... [run=ID] [build=one] [name=NAME] [milliseconds=0] [threads=1] [idle=S]
///               [patience=S] [cheap=0]   cheap=1: no number of a candidate is looked at but the first
///               [evaluations=FILE]   a line an evaluation
///               [die=N] [fail=N] [hang=N] [nan=N]   kills itself at, throws for, sleeps long at, answers NaN
///                                                   for population items with index N
namespace {

using namespace namm;
using namespace namm::evolution;

WorkResult cheap_result(const WorkItem& item) {
  WorkResult result;
  for (int64_t row = 0; row < item.rows(); ++row) {
    const double value = item.parameters(row)[0];
    result.records.insert(result.records.end(), item.samples.size(), {{-value * value, 0.5}, "prediction"});
  }
  return result;
}

WorkResult evaluate(const testing::FakeArguments& arguments, const WorkItem& item) {
  const auto is_at = [&](const char* key) {
    return item.id.purpose == Purpose::population && item.id.index == arguments.integer(key, -1);
  };
  if (is_at("die")) ::raise(SIGKILL);
  if (is_at("fail")) throw std::runtime_error("made to fail");
  if (is_at("hang")) ::sleep(1000);
  const std::string file = arguments.text("evaluations", "");
  if (!file.empty()) {
    std::ofstream(file, std::ios::app) << describe(item.id) + "\n" << std::flush;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(arguments.integer("milliseconds", 0)));
  WorkResult result = arguments.integer("cheap", 0) == 1 && !item.members.empty()
                          ? cheap_result(item)
                          : testing::fake_result(item);
  if (is_at("nan")) {
    for (Record& record : result.records) record.values.at(0) = std::nan("");
  }
  return result;
}

int run(const testing::FakeArguments& arguments) {
  install_interrupt_handlers();
  WorkerServiceOptions options;
  options.address.url = arguments.text("queue", "");
  options.address.ca = arguments.text("ca", "");
  options.address.nkey = arguments.text("nkey", "");
  options.run = arguments.text("run", "");
  options.name = arguments.text("name", "worker " + std::to_string(::getpid()));
  options.items_at_once = static_cast<int>(arguments.integer("threads", 1));
  if (arguments.number("idle", 0) > 0) options.idle_limit_seconds = arguments.number("idle", 0);
  options.patience_seconds = arguments.number("patience", options.patience_seconds);
  options.stop_requested = interrupt_requested;
  const auto items = serve_runs(options, [&](const RunAnnouncement& announcement) -> EvaluatorFactory {
    const std::string reason =
        difference(announcement.requirements, {{"build", arguments.text("build", "one")}});
    if (!reason.empty()) throw ConfigError(reason);
    return [&] { return [&](const WorkItem& item) { return evaluate(arguments, item); }; };
  });
  std::printf("%lld items\n", static_cast<long long>(items));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return namm::testing::run_main(argc, argv, run);
}
