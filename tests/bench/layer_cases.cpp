#include "tests/bench/layer_cases.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "core/text.h"
#include "memory/bam_scorer.h"
#include "memory/spectrogram.h"
#include "tests/bench/agreement.h"
#include "tests/bench/layer_fixture.h"
#include "tests/bench/resident_set.h"
#include "tests/bench/torch_pipeline.h"
#include "tests/memory/counting_allocator.h"
#include "tests/support/tolerances.h"

namespace namm::bench {

namespace {

constexpr int64_t kKvHeads = 8;

// The random layer of one length; making it means reading all of it once.
class SharedLayer {
 public:
  LayerFixture& of(int64_t tokens, uint64_t seed) {
    if (!layer_ || layer_->tokens() != tokens || seed_ != seed) {
      layer_.reset();
      layer_ = std::make_unique<LayerFixture>(tokens, seed);
      seed_ = seed;
    }
    return *layer_;
  }

 private:
  std::unique_ptr<LayerFixture> layer_;
  uint64_t seed_ = 0;
};

std::string compared(int64_t close) {
  return close == 0 ? "same decisions" : format_text("same decisions but {} within rounding of 0", close);
}

// Group-mean attention given, [8 KV heads x 4096 keys] x 528 queries: a random softmax over the keys.
Measurement spectrogram(const Settings& settings) {
  constexpr int64_t kKeys = 4096, kQueries = 528;
  const memory::SpectrogramConfig config;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(settings.seed);
  const at::Tensor signal =
      at::softmax(at::randn({kKvHeads, kKeys, kQueries}, generator, at::TensorOptions(at::kFloat)), 1)
          .view({kKvHeads * kKeys, kQueries});
  const at::Tensor previous =
      at::rand({kKvHeads * kKeys, config.bins()}, generator, at::TensorOptions(at::kFloat))
          .div_(static_cast<double>(kKeys));
  require_close("moving averages", memory::spectrogram_ema(signal, previous, config),
                stft_ema(signal, previous, config), tolerances::implementations::ema);
  return compare_times(
      time_in_turn({[&] { return seconds_of([&] { stft_ema(signal, previous, config); }); },
                    [&] { return seconds_of([&] { memory::spectrogram_ema(signal, previous, config); }); }},
                   settings.repeats));
}

// Queries, log-sum-exps and keys in, compacted cache out. The pipeline makes its attention from the queries.
Measurement update(LayerFixture& layer, const Settings& settings) {
  const int64_t close = layer.compare();
  std::vector<double> materialising;
  Measurement result = compare_times(time_in_turn({[&] {
                                                     const auto seconds = layer.run_pipeline_update();
                                                     materialising.push_back(seconds.attend);
                                                     return seconds.attend + seconds.update;
                                                   },
                                                   [&] { return layer.run_session().update; }},
                                                  settings.repeats));
  const double rest = *result.baseline_seconds - median(materialising);
  result.note = format_text("{}; {}x without the baseline's materialising", compared(close),
                            std::round(100 * rest / *result.seconds) / 100);
  return result;
}

Measurement chunk(LayerFixture& layer, const Settings& settings) {
  const int64_t close = layer.compare();
  const auto both = [](const LayerFixture::Seconds& seconds) { return seconds.attend + seconds.update; };
  return compare_times(
      time_in_turn({[&] { return both(layer.run_pipeline()); }, [&] { return both(layer.run_session()); }},
                   settings.repeats),
      compared(close));
}

Measurement bam(int64_t tokens, const Settings& settings) {
  const memory::NammConfig config;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(settings.seed);
  const at::Tensor features =
      at::randn({kKvHeads, tokens, config.features()}, generator, at::TensorOptions(at::kFloat));
  const at::Tensor theta =
      at::randn({1, config.parameters()}, generator, at::TensorOptions(at::kFloat)).mul_(0.2);
  std::vector<memory::BamSegment> segments;
  for (int64_t h = 0; h < kKvHeads; ++h) segments.push_back({h * tokens, (h + 1) * tokens, 0});
  const at::Tensor packed = features.view({kKvHeads * tokens, config.features()}), one = theta.view({-1});
  const at::Tensor mask = newer_tokens(tokens);
  const auto baseline = [&] { return masked_bam(features, one, config.bam, mask); };
  const auto ours = [&] { return memory::bam_scores(packed, segments, theta, config.bam); };
  require_close("scores", ours(), baseline().view({-1}), tolerances::implementations::scores);
  return compare_times(time_in_turn(
      {[&] { return seconds_of([&] { baseline(); }); }, [&] { return seconds_of([&] { ours(); }); }},
      settings.repeats));
}

// Counts LibTorch's memory of the processor while it lives, and what is resident.
class MemoryMeter {
 public:
  MemoryMeter() : previous_(c10::GetCPUAllocator()), counter_(testing::CountingAllocator::install()) {
    c10::SetCPUAllocator(&counter_, kPriority);
  }
  ~MemoryMeter() { c10::SetCPUAllocator(previous_, kPriority); }
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;

  /// Most bytes during `work` beyond those before it.
  struct Peak {
    double allocated = 0;
    double resident = 0;
  };
  Peak peak(const std::function<void()>& work) {
    reset_resident_peak();
    counter_.reset_peak();
    const int64_t allocated = counter_.now(), resident = resident_bytes();
    work();
    return {static_cast<double>(counter_.peak() - allocated),
            static_cast<double>(resident_peak_bytes() - resident)};
  }

 private:
  static constexpr uint8_t kPriority = 100;
  c10::Allocator* previous_;
  testing::CountingAllocator& counter_;
};

// The pipeline allocates through LibTorch only; a session maps large buffers itself, so that for ours the
// larger of both measures counts.
Measurement peak_memory(int64_t tokens, const Settings& settings) {
  MemoryMeter meter;
  LayerFixture layer(tokens, settings.seed);
  const int64_t close = layer.compare();
  Measurement result;
  MemoryMeter::Peak baseline, ours;
  result.baseline_seconds = seconds_of([&] { baseline = meter.peak([&] { layer.run_pipeline(); }); });
  result.seconds = seconds_of([&] { ours = meter.peak([&] { layer.consume_session(); }); });
  result.ratio = baseline.allocated / std::max(ours.allocated, ours.resident);
  const auto text = [](double bytes) { return format_bytes(static_cast<uint64_t>(std::max(0.0, bytes))); };
  result.note = format_text("{}; allocated {} against {}, resident {} against {}", compared(close),
                            text(baseline.allocated), text(ours.allocated), text(baseline.resident),
                            text(ours.resident));
  return result;
}

}  // namespace

std::vector<Case> layer_cases() {
  constexpr double kSpectrogramFloor = 15;
  auto shared = std::make_shared<SharedLayer>();
  const auto at_length = [shared](Measurement (*run)(LayerFixture&, const Settings&), int64_t tokens) {
    return [shared, run, tokens](const Settings& settings) {
      return run(shared->of(tokens, settings.seed), settings);
    };
  };
  return {
      {{"spectrogram", "time", 12, kSpectrogramFloor}, true, spectrogram},
      {{"update-4096", "time", 3, {}}, true, at_length(update, 4096)},
      {{"update-8192", "time", 3, {}}, false, at_length(update, 8192)},
      {{"chunk-8192", "time", 2.5, {}}, false, at_length(chunk, 8192)},
      {{"bam-8192", "time", 4, {}}, false, [](const Settings& settings) { return bam(8192, settings); }},
      {{"memory-8192", "memory", 50, {}},
       false,
       [](const Settings& settings) { return peak_memory(8192, settings); }},
      {{"memory-16384", "memory", 50, {}},
       false,
       [](const Settings& settings) { return peak_memory(16384, settings); }},
  };
}

}  // namespace namm::bench
