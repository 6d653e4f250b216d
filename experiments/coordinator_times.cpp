#include "experiments/coordinator_times.h"

#include <cerrno>
#include <chrono>
#include <system_error>

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include "core/errors.h"
#include "core/files.h"
#include "core/journal.h"
#include "core/random.h"
#include "core/text.h"
#include "evolution/checkpoint.h"
#include "evolution/optimizer_list.h"

namespace namm::experiments {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& place) {
    std::string name = (place / ".namm-plan-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw InfrastructureError(
          format_text("{}: no folder can be made to measure the coordinator's disk in ({}): plan where runs "
                      "can be written",
                      place.string(), std::generic_category().message(errno)));
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Seconds to hash an item, check its result and append it to a journal that is on the disk.
double seconds_of_result(const StageWork& work, const std::filesystem::path& folder) {
  constexpr int kResults = 20;
  evolution::WorkItem item = work.population.front();
  const auto numbers = static_cast<size_t>(item.candidates->rows * item.candidates->dimension);
  item.candidates = evolution::make_candidates(item.candidates->rows, item.candidates->dimension,
                                               std::vector<double>(numbers, 0.5));
  evolution::WorkResult result;
  result.id = item.id;
  result.rows = item.rows();
  result.samples = std::ssize(item.samples);
  result.records.assign(static_cast<size_t>(result.rows * result.samples), {std::vector<double>(4), ""});
  auto journal = Journal::open(folder / "journal", "plan");
  const auto start = Clock::now();
  for (int i = 0; i < kResults; ++i) {
    result.content_hash = item.content_hash();
    journal.append(evolution::encode(result));
  }
  return seconds_since(start) / kResults;
}

}  // namespace

CoordinatorTimes measure_coordinator(const ExperimentConfig& config, const StageWork& work,
                                     const std::filesystem::path& place,
                                     const std::optional<double>& update_seconds) {
  const TemporaryFolder folder(place);
  const std::vector<double> zero(static_cast<size_t>(work.parameters), 0.0);
  const auto optimizer = evolution::make_optimizer(config.evolution.optimizer, zero, config.seed);
  RandomStream random({.seed = config.seed, .purpose = "plan/fitness"});
  const auto next_generation = [&] {
    optimizer->ask();
    std::vector<double> fitness(static_cast<size_t>(optimizer->population()));
    for (double& value : fitness) value = random.uniform();
    optimizer->tell(fitness);
  };
  evolution::Checkpoint checkpoint;
  for (const auto& item : work.population) {
    if (item.members.front() == 0)
      checkpoint.samples.insert(checkpoint.samples.end(), item.samples.begin(), item.samples.end());
  }

  CoordinatorTimes times;
  std::string state;
  auto start = Clock::now();
  if (update_seconds) {
    checkpoint.optimizer = optimizer->state();
    state = checkpoint.state_sha256();
    times.update_seconds = *update_seconds;
  } else {
    // The first generation has none of the state that later ones carry.
    next_generation();
    start = Clock::now();
    next_generation();
    checkpoint.optimizer = optimizer->state();
    state = checkpoint.state_sha256();
    times.update_seconds = seconds_since(start);
  }

  // With the row of the log and the journal of the next generation. The disk's time varies: several, unless
  // they are large.
  constexpr int kMost = 5;
  constexpr double kLong = 1;
  double seconds = 0;
  int written = 0;
  while (written < kMost && seconds < kLong) {
    const auto file = folder.path() / format_text("generation_{}.h5", written);
    start = Clock::now();
    evolution::write_checkpoint(file, checkpoint, state);
    append_durably(folder.path() / "log.jsonl", std::string(400, ' '));
    const auto journal = folder.path() / format_text("generation_{}.journal", written);
    Journal::open(journal, "plan");
    std::filesystem::remove(journal);
    seconds += seconds_since(start);
    ++written;
    times.checkpoint_bytes = static_cast<int64_t>(std::filesystem::file_size(file));
    std::filesystem::remove(file);
  }
  times.checkpoint_seconds = seconds / written;
  times.result_seconds = seconds_of_result(work, folder.path());
  return times;
}

}  // namespace namm::experiments
