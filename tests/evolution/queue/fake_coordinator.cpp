#include <cstdio>

#include "core/errors.h"
#include "core/interrupt.h"
#include "evolution/queues/nats_queue.h"
#include "tests/evolution/queue/fake_arguments.h"
#include "tests/evolution/support/fake_run.h"

/// The coordinator of a run whose items are computed without a model: for fault tests with real processes.
///   fake_coordinator out=DIR [queue=nats://...] [run=ID] [generations=5] [population=8] [dimension=6]
///                    [lease=1] [item_limit=0] [max_deliveries=20] [build=B] [threads=2] [step=0]
///                    [validate_every=2] [members_per_item=3] [samples_per_item=2] [kind=cma-es]
/// Without queue= the items are computed by threads of this process. Prints the final state's hash. With
/// step=1 it prints a line after every generation and waits for one.
namespace {

using namespace namm;
using namespace namm::evolution;

int run(const testing::FakeArguments& arguments) {
  install_interrupt_handlers();
  testing::FakeRun run{arguments.text("out", "")};
  run.generations = arguments.integer("generations", 5);
  run.population = arguments.integer("population", 8);
  run.kind = arguments.text("kind", run.kind);
  run.dimension = arguments.integer("dimension", 6);
  run.validate_every = arguments.integer("validate_every", 2);
  run.threads = static_cast<int>(arguments.integer("threads", 2));
  run.schedule.members_per_item = arguments.integer("members_per_item", 3);
  run.schedule.samples_per_item = arguments.integer("samples_per_item", 2);
  run.stop_requested = interrupt_requested;
  int64_t reissued = 0;
  run.on_generation = [&](const GenerationRow& row) {
    reissued += row.reissued;
    if (arguments.integer("step", 0) == 0) return;
    std::printf("generation %lld\n", static_cast<long long>(row.generation));
    std::fflush(stdout);
    while (std::getchar() != '\n') {
    }
  };
  StageOutcome outcome;
  const std::string url = arguments.text("queue", "");
  if (url.empty()) {
    outcome = run.continue_run(testing::fake_result);
  } else {
    RunAnnouncement announcement;
    announcement.run = arguments.text("run", "fake");
    announcement.name = "fake";
    announcement.config_sha256 = run.config_sha256;
    announcement.requirements = {{"build", arguments.text("build", "one")}};
    announcement.lease_seconds = arguments.number("lease", 1);
    announcement.item_limit_seconds = arguments.number("item_limit", 0);
    announcement.max_deliveries = arguments.integer("max_deliveries", 20);
    run.make_directory();
    NatsAddress address;
    address.url = url;
    address.ca = arguments.text("ca", "");
    address.nkey = arguments.text("nkey", "");
    NatsQueue queue(address, announcement, interrupt_requested);
    outcome = run.continue_on(queue);
    queue.finish();
  }
  std::printf("%s reissued %lld\n", outcome.state_sha256.c_str(), static_cast<long long>(reissued));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return namm::testing::run_main(argc, argv, run);
}
