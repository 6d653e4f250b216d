#include "experiments/torchscript_memory.h"

#include <filesystem>

#include <gtest/gtest.h>

#include <ATen/Functions.h>
#include <torch/script.h>

#include "core/errors.h"
#include "core/text.h"
#include "memory/policies/namm.h"
#include "memory/spectrogram.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tolerances.h"

namespace namm::experiments {
namespace {

constexpr int64_t kHeads = 2;
constexpr int64_t kQueries = 64;
constexpr int64_t kUpdates = 4;

memory::MemoryFile random_memory(const std::string& heads, int64_t cap, int64_t bam_heads, bool mult,
                                 const std::string& spectral = "magnitude") {
  memory::MemoryFile file;
  file.config.spectral = spectral;
  file.config.period_tokens = kQueries;
  file.config.heads = heads;
  file.config.cache_cap = cap;
  file.config.bam.heads = bam_heads;
  file.config.bam.mult = mult;
  file.config.bam.bias = mult;
  const at::Tensor theta = at::randn({file.config.parameters()}) * 0.3;
  file.parameters.assign(theta.data_ptr<float>(), theta.data_ptr<float>() + theta.numel());
  file.parameters.back() = -2;  // the score's bias: every head forgets something
  file.statistics.accumulate(
      memory::spectral_features(at::rand({200, file.config.needed_spectrogram().numbers()}), spectral));
  file.provenance = {{"tasks", "needle/hop"}};
  return file;
}

/// One head of one layer as the C++ side keeps it: no padding.
struct Head {
  at::Tensor positions = at::empty({0}, at::kLong);
  at::Tensor ema;      // [n, D]
  at::Tensor context;  // [n, n_fft - hop]
};

at::Tensor padded(const at::Tensor& values, int64_t n, int64_t dimension, double fill) {
  auto shape = values.sizes().vec();
  shape[static_cast<size_t>(dimension)] = n;
  at::Tensor result = at::full(shape, fill, values.options());
  result.narrow(dimension, 0, values.size(dimension)).copy_(values);
  return result;
}

/// Runs policy and module side by side; leaves the module and the numbers of the policy in `folder`.
void compare(const memory::MemoryFile& file, const std::filesystem::path& folder, const std::string& name) {
  const memory::NammPolicy policy(file.config, file.theta(), file.statistics);
  save_torchscript(file, folder / name);
  torch::jit::Module module = torch::jit::load((folder / name).string());
  torch::jit::Module numbers("Numbers");
  numbers.register_buffer("updates", at::tensor(kUpdates, at::kLong));
  const memory::SpectrogramConfig spectrum = file.config.needed_spectrogram();
  const int64_t context = spectrum.context_queries();
  std::vector<Head> heads(kHeads);
  for (auto& head : heads) {
    head.ema = at::zeros({0, spectrum.numbers()});
    head.context = at::zeros({0, context});
  }
  c10::Dict<std::string, at::Tensor> state;
  bool evicted = false;
  for (int64_t update = 0; update < kUpdates; ++update) {
    int64_t longest = 0;
    for (const auto& head : heads) longest = std::max(longest, head.positions.size(0) + kQueries);
    memory::UpdateView view;
    view.shape = {1, kHeads, kHeads, 8};
    view.rows = {{0, 0, (update + 1) * kQueries, update}};
    memory::LayerView layer;
    layer.offsets = {0};
    std::vector<at::Tensor> attention;
    std::vector<at::Tensor> positions;
    std::vector<at::Tensor> emas;
    for (auto& head : heads) {
      const at::Tensor fresh = at::arange(update * kQueries, (update + 1) * kQueries, at::kLong);
      head.positions = at::cat({head.positions, fresh});
      const int64_t n = head.positions.size(0);
      const at::Tensor received = at::softmax(at::randn({kQueries, n}) * 2, 1);
      const at::Tensor signal = at::cat({padded(head.context, n, 0, 0), received.t()}, 1);
      head.ema = memory::ema_update(memory::spectrogram(signal.contiguous(), spectrum),
                                    padded(head.ema, n, 0, 0), spectrum);
      head.context = signal.narrow(1, kQueries, context).contiguous();
      layer.offsets.push_back(layer.offsets.back() + n);
      emas.push_back(head.ema);
      attention.push_back(padded(received, longest, 1, 0));
      positions.push_back(padded(head.positions, longest, 0, -1));
    }
    std::vector<at::Tensor> packed;
    for (const auto& head : heads) packed.push_back(head.positions);
    layer.positions = at::cat(packed);
    layer.ema = at::cat(emas);
    view.layers = {layer};
    const at::Tensor scores = policy.scores(view, layer);
    const at::Tensor keep = policy.decide(view).front().keep;

    const at::Tensor all_attention = at::stack(attention);
    const at::Tensor all_positions = at::stack(positions);
    auto forward = module.get_method("forward")({all_attention, all_positions, state}).toTuple();
    const at::Tensor module_scores = forward->elements()[0].toTensor();
    auto decision = module.get_method("keep")({module_scores, forward->elements()[1]}).toTuple();
    const at::Tensor module_keep = decision->elements()[0].toTensor();
    state = c10::impl::toTypedDict<std::string, at::Tensor>(decision->elements()[1].toGenericDict());

    at::Tensor padded_scores = at::zeros_like(module_scores);
    at::Tensor padded_keep = at::zeros_like(module_keep);
    for (int64_t h = 0; h < kHeads; ++h) {
      Head& head = heads[static_cast<size_t>(h)];
      const int64_t n = head.positions.size(0);
      const at::Tensor own = scores.narrow(0, layer.offsets[h], n);
      const at::Tensor own_keep = keep.narrow(0, layer.offsets[h], n);
      EXPECT_LE((module_scores[h].narrow(0, 0, n) - own).abs().max().item<double>(),
                tolerances::other_program::torchscript_scores * (1 + own.abs().max().item<double>()));
      EXPECT_TRUE(at::equal(module_keep[h].narrow(0, 0, n), own_keep)) << name << ", update " << update;
      padded_scores[h].narrow(0, 0, n).copy_(own);
      padded_keep[h].narrow(0, 0, n).copy_(own_keep);
      const at::Tensor index = own_keep.nonzero().squeeze(1);
      evicted = evicted || index.size(0) < n;
      head.positions = head.positions.index_select(0, index);
      head.ema = head.ema.index_select(0, index);
      head.context = head.context.index_select(0, index);
    }
    const std::string suffix = format_text("_{}", update);
    numbers.register_buffer("attention" + suffix, all_attention);
    numbers.register_buffer("positions" + suffix, all_positions);
    numbers.register_buffer("scores" + suffix, padded_scores);
    numbers.register_buffer("keep" + suffix, padded_keep);
  }
  EXPECT_TRUE(evicted) << "the comparison means nothing when everything is kept";
  numbers.save((folder / format_text("numbers-{}", name)).string());
}

TEST(TorchscriptMemory, SameScoresAndDecisionsAsThePolicy) {
  // The numbers stay for the Python side of this test (tests/system/exported_memory.py).
  const std::filesystem::path folder = NAMM_EXPORTED_MEMORIES;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  at::manual_seed(5);
  compare(random_memory("ragged", 0, 1, true), folder, "ragged.pt");
  compare(random_memory("parity", 0, 1, true), folder, "parity.pt");
  compare(random_memory("ragged", 24, 2, false), folder, "capped.pt");
  compare(random_memory("parity", 40, 4, true), folder, "parity-capped.pt");
  compare(random_memory("ragged", 0, 1, true, "log_magnitude"), folder, "log.pt");
  compare(random_memory("ragged", 0, 1, true, "complex"), folder, "complex.pt");
  compare(random_memory("ragged", 0, 1, true, "dc_only"), folder, "constant.pt");
}

TEST(TorchscriptMemory, RefusesWhatDoesNotFit) {
  const namm::testing::TemporaryDirectory folder;
  save_torchscript(random_memory("ragged", 0, 1, true), folder / "memory.pt");
  torch::jit::Module module = torch::jit::load((folder / "memory.pt").string());
  const c10::Dict<std::string, at::Tensor> empty;
  EXPECT_ANY_THROW(
      module.get_method("forward")({at::rand({2, 20, 20}), at::zeros({2, 20}, at::kLong), empty}));
  EXPECT_ANY_THROW(
      module.get_method("forward")({at::rand({2, 16, 20}), at::full({2, 20}, -1, at::kLong), empty}));
  for (const char* scorer : {"linear", "mlp", "mix"}) {
    memory::MemoryFile other;
    other.config.scorer = scorer;
    other.config.transformer.layers = other.config.transformer.kv_heads = 2;
    other.parameters.assign(static_cast<size_t>(other.config.parameters()), 0.F);
    EXPECT_THROW(save_torchscript(other, folder / "other.pt"), DataError) << scorer;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "other.pt"));
}

}  // namespace
}  // namespace namm::experiments
