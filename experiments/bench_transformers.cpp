#include "experiments/bench_transformers.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <ATen/Parallel.h>

#include "core/random.h"
#include "core/text.h"
#include "experiments/chunk_tokens.h"
#include "experiments/places.h"
#include "memory/policy_list.h"
#include "memory/session.h"
#include "models/generator.h"
#include "tests/bench/transformers_baseline.h"

namespace namm::experiments {

namespace {

using bench::TransformersBaseline;

constexpr int64_t kPromptTokens = 2048, kNewTokens = 129;  // 128 steps of decoding

struct Model {
  const char* name;     // of the baseline
  const char* archive;  // below the project
  const char* missing;  // how to get it
};
constexpr Model kSmollm2 = {"smollm2", "models/downloads/smollm2-135m-instruct.pt",
                            "./experiments/get-smollm2 brings it"};
constexpr Model kSmall = {"small", "models/tiny/tiny-llama.pt", "git checkout models/tiny brings it back"};

/// Both programs of one model, started when first needed.
class Pair {
 public:
  explicit Pair(Model model) : model_(model) {}

  /// Medians of prefill and decoding, theirs and ours in turn.
  struct Seconds {
    double prefill, decode;
  };
  struct Result {
    Seconds theirs, ours;
    int rounds = 0;
  };
  const Result& measured(const bench::Settings& settings) {
    if (result_) return *result_;
    start();
    RandomStream stream({settings.seed, "bench/transformers", 0});
    std::vector<int64_t> ids;
    const int64_t most = std::min<int64_t>(archive_->contract().vocabulary, 10'000);
    for (int64_t i = 0; i < kPromptTokens; ++i)
      ids.push_back(100 + static_cast<int64_t>(stream.uniform_int(most - 100)));

    const TransformersBaseline::Answer expected = baseline_->answer(ids, kNewTokens);
    const TransformersBaseline::Answer first = ours(ids);
    if (first.ids != expected.ids) {
      const auto differ = std::mismatch(first.ids.begin(), first.ids.end(), expected.ids.begin());
      throw bench::Mismatch(format_text("greedy id {} of {} is {}, transformers has {}",
                                        differ.first - first.ids.begin() + 1, kNewTokens, *differ.first,
                                        *differ.second));
    }
    const int rounds = settings.repeats.rounds(expected.prefill_seconds + expected.decode_seconds +
                                               first.prefill_seconds + first.decode_seconds);
    std::vector<double> prefills[2], decodes[2];
    for (int round = 0; round < rounds; ++round) {
      const TransformersBaseline::Answer both[2] = {baseline_->answer(ids, kNewTokens), ours(ids)};
      for (size_t i = 0; i < 2; ++i) {
        prefills[i].push_back(both[i].prefill_seconds);
        decodes[i].push_back(both[i].decode_seconds);
      }
    }
    result_ = Result{{bench::median(prefills[0]), bench::median(decodes[0])},
                     {bench::median(prefills[1]), bench::median(decodes[1])},
                     rounds};
    return *result_;
  }

 private:
  void start() {
    const auto project = shipped_file("tests/models/transformers_server.py");
    if (!project) throw bench::Skipped("tests/models/transformers_server.py did not come with the program");
    const std::filesystem::path root = project->parent_path().parent_path().parent_path();
    if (!std::filesystem::exists(root / model_.archive))
      throw bench::Skipped(std::string(model_.archive) + " is missing: " + model_.missing);
    baseline_ = std::make_unique<TransformersBaseline>(root, model_.name, at::get_num_threads());
    archive_ = models::Archive::load(root / model_.archive);
  }

  TransformersBaseline::Answer ours(const std::vector<int64_t>& ids) const {
    memory::SessionOptions options;
    options.shape = archive_->contract().shape;
    options.dtype = archive_->dtype();
    options.policy = memory::make_policy("full", {});
    memory::Session session(options);
    const memory::RowId row = session.add_row();
    models::Generator generator(archive_, session, {kChunkTokens});
    TransformersBaseline::Answer answer;
    at::Tensor logits;
    answer.prefill_seconds =
        bench::seconds_of([&] { logits = generator.prefill(std::span(&row, 1), std::span(&ids, 1)); });
    answer.decode_seconds = bench::seconds_of(
        [&] { answer.ids = generator.greedy(std::span(&row, 1), logits, std::span(&kNewTokens, 1), {})[0]; });
    return answer;
  }

  Model model_;
  std::unique_ptr<TransformersBaseline> baseline_;
  std::shared_ptr<const models::Archive> archive_;
  std::optional<Result> result_;
};

bench::Measurement rate(int64_t tokens, double theirs, double ours, int rounds) {
  const auto per_second = [&](double seconds) {
    return std::round(10 * static_cast<double>(tokens) / seconds) / 10;
  };
  return {theirs / ours, theirs, ours,
          format_text("{} tokens/s against {}, {} rounds, greedy ids equal", per_second(ours),
                      per_second(theirs), rounds)};
}

bench::Measurement prefill(Pair& pair, const bench::Settings& settings) {
  const Pair::Result& result = pair.measured(settings);
  return rate(kPromptTokens, result.theirs.prefill, result.ours.prefill, result.rounds);
}

bench::Measurement decode(Pair& pair, const bench::Settings& settings) {
  const Pair::Result& result = pair.measured(settings);
  return rate(kNewTokens - 1, result.theirs.decode, result.ours.decode, result.rounds);
}

}  // namespace

std::vector<bench::Case> transformers_cases() {
  const auto smollm2 = std::make_shared<Pair>(kSmollm2), small = std::make_shared<Pair>(kSmall);
  const auto of = [](const std::shared_ptr<Pair>& pair,
                     bench::Measurement (*run)(Pair&, const bench::Settings&)) {
    return [pair, run](const bench::Settings& settings) { return run(*pair, settings); };
  };
  return {
      {{"smollm2-prefill", "time", 1.0, {}}, false, of(smollm2, prefill)},
      {{"smollm2-decode", "time", 1.2, {}}, false, of(smollm2, decode)},
      {{"small-prefill", "time", 1.0, {}}, false, of(small, prefill)},
      {{"small-decode", "time", 3.0, {}}, false, of(small, decode)},
  };
}

}  // namespace namm::experiments
