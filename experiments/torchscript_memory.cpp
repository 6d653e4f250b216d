#include "experiments/torchscript_memory.h"

#include <cmath>
#include <filesystem>
#include <sstream>

#include <ATen/ATen.h>
#include <torch/script.h>

#include "core/config.h"
#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/text.h"

namespace namm::experiments {

namespace {

// The numbers of namm-semantics 2 to 6 in TorchScript, head by head: heads may hold different numbers of
// tokens.
const char* const kSource = R"(
def features(self, ema: Tensor, positions: Tensor) -> Tensor:
    ages = (positions[-1] - positions).to(self.float64_type)
    angles = ages.unsqueeze(1) * self.frequencies.unsqueeze(0)
    recency = torch.cat([torch.sin(angles), torch.cos(angles)], 1).to(self.float32_type)
    if self.takes_log:
        ema = torch.log(ema + 1e-4)
    ema = torch.narrow(ema, 1, 0, self.spectral)
    if self.normalised:
        ema = (ema - self.mean) / self.spread
    return torch.cat([recency, ema], 1)

def score_tokens(self, z: Tensor) -> Tensor:
    n = z.size(0)
    inputs = z.size(1)
    width = self.hidden // self.heads
    qkv = torch.matmul(z, self.qkv_weight) + self.qkv_bias
    older = torch.tril(torch.ones([n, n], dtype=self.bool_type, device=z.device), -1)
    outputs: List[Tensor] = []
    for head in range(self.heads):
        q = torch.narrow(qkv, 1, head * width, width)
        k = torch.narrow(qkv, 1, self.hidden + head * width, width)
        v = torch.narrow(qkv, 1, 2 * self.hidden + head * width, width)
        logits = torch.matmul(q, k.t()) / self.scale
        logits = torch.masked_fill(logits, older, self.minus_infinity)
        outputs.append(torch.matmul(torch.softmax(logits, 1), v))
    update = torch.matmul(torch.cat(outputs, 1), self.out_weight) + self.out_bias
    y = z + torch.narrow(update, 1, 0, inputs)
    if self.mult:
        y = y + z * torch.narrow(update, 1, inputs, inputs)
    return torch.matmul(y, self.score_weight).squeeze(1) + self.score_bias

def forward(self, attention: Tensor, positions: Tensor, state: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
    kv_heads = attention.size(0)
    queries = attention.size(1)
    tokens = attention.size(2)
    assert queries > 0 and queries % self.hop_length == 0, "attention: new queries must be a multiple of hop_length"
    assert positions.size(0) == kv_heads and positions.size(1) == tokens, "positions must be [KV heads, tokens]"
    context = self.n_fft - self.hop_length
    frames = queries // self.hop_length
    first = "lengths" not in state
    weights = torch.pow(self.beta, torch.arange(frames - 1, -1, -1, dtype=self.float64_type, device=attention.device))
    weights = (weights * (1.0 - self.beta)).to(self.float32_type).unsqueeze(0).unsqueeze(2)
    decay = self.beta ** float(frames)
    scores = torch.full([kv_heads, tokens], self.minus_infinity, dtype=self.float32_type, device=attention.device)
    ema_all = torch.zeros([kv_heads, tokens, self.numbers], dtype=self.float32_type, device=attention.device)
    tail = torch.zeros([kv_heads, context, tokens], dtype=self.float32_type, device=attention.device)
    lengths = torch.zeros([kv_heads], dtype=self.int64_type, device=attention.device)
    for head in range(kv_heads):
        n = int((positions[head] >= 0).sum().item())
        assert n > 0, "every head must hold its newest token"
        known = 0
        if not first:
            known = int(state["lengths"][head].item())
        assert known <= n, "a head holds fewer tokens than were kept: pass the state that keep returned"
        signal = torch.zeros([n, context + queries], dtype=self.float32_type, device=attention.device)
        fresh = torch.narrow(attention[head], 1, 0, n).to(self.float32_type)
        if self.rounds:
            fresh = fresh.to(self.bfloat16_type).to(self.float32_type)
        torch.narrow(signal, 1, context, queries).copy_(fresh.t())
        previous = torch.zeros([n, self.numbers], dtype=self.float32_type, device=attention.device)
        if known > 0:
            old = torch.narrow(state["attention"][head], 1, 0, known)
            torch.narrow(torch.narrow(signal, 0, 0, known), 1, 0, context).copy_(old.t())
            torch.narrow(previous, 0, 0, known).copy_(torch.narrow(state["ema"][head], 0, 0, known))
        frequencies = torch.fft_rfft(signal.unfold(1, self.n_fft, self.hop_length) * self.window)
        if self.complex:
            parts = torch.view_as_real(frequencies)
            imaginary = torch.narrow(torch.select(parts, 3, 1), 2, 1, self.numbers - parts.size(2))
            seen = torch.cat([torch.select(parts, 3, 0), imaginary], 2)
        else:
            seen = torch.abs(frequencies)
        ema = (seen * weights).sum(1) + decay * previous
        place = torch.narrow(positions[head], 0, 0, n)
        torch.narrow(scores[head], 0, 0, n).copy_(self.score_tokens(self.features(ema, place)))
        torch.narrow(ema_all[head], 0, 0, n).copy_(ema)
        recent = torch.narrow(signal, 1, queries, context)
        torch.narrow(tail[head], 1, 0, n).copy_(recent.t())
        lengths[head] = n
    return scores, {"ema": ema_all, "attention": tail, "lengths": lengths}

def keep(self, scores: Tensor, state: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
    kv_heads = scores.size(0)
    tokens = scores.size(1)
    lengths = state["lengths"]
    forced = torch.where(torch.isnan(scores), torch.full_like(scores, self.minus_infinity), scores)
    counts: List[int] = []
    most = 0
    for head in range(kv_heads):
        n = int(lengths[head].item())
        forced[head, n - 1] = -self.minus_infinity
        count = int((torch.narrow(forced[head], 0, 0, n) >= 0).sum().item())
        if self.cache_cap > 0:
            count = min(count, self.cache_cap)
        counts.append(count)
        most = max(most, count)
    decision = torch.zeros([kv_heads, tokens], dtype=self.bool_type, device=scores.device)
    kept: List[int] = []
    longest = 0
    for head in range(kv_heads):
        n = int(lengths[head].item())
        count = counts[head]
        if self.parity:
            count = min(most, n)
        # Of equal scores the newer token is kept.
        order = torch.argsort(torch.narrow(forced[head], 0, 0, n).flip([0]), stable=True, dim=0, descending=True)
        chosen = n - 1 - torch.narrow(order, 0, 0, count)
        decision[head].index_fill_(0, chosen, True)
        kept.append(count)
        longest = max(longest, count)
    ema = torch.zeros([kv_heads, longest, state["ema"].size(2)], dtype=self.float32_type, device=scores.device)
    attention = torch.zeros([kv_heads, state["attention"].size(1), longest], dtype=self.float32_type, device=scores.device)
    remaining = torch.zeros([kv_heads], dtype=self.int64_type, device=scores.device)
    for head in range(kv_heads):
        index = torch.nonzero(decision[head]).squeeze(1)
        torch.narrow(ema[head], 0, 0, kept[head]).copy_(state["ema"][head].index_select(0, index))
        torch.narrow(attention[head], 1, 0, kept[head]).copy_(state["attention"][head].index_select(1, index))
        remaining[head] = kept[head]
    return decision, {"ema": ema, "attention": attention, "lengths": remaining}
)";

/// A block of theta as a matrix; zeros where the configuration has no such block.
at::Tensor block_of(const memory::MemoryFile& memory, const std::string& name, at::IntArrayRef shape) {
  for (const auto& block : memory.config.layout()) {
    if (block.name == name) {
      const at::Tensor theta = memory.theta().flatten();
      return theta.narrow(0, block.offset, block.rows * block.cols).reshape(shape).clone();
    }
  }
  return at::zeros(shape);
}

torch::jit::Module make_module(const memory::MemoryFile& memory) {
  const memory::NammConfig& config = memory.config;
  const int64_t inputs = config.features();
  const int64_t hidden = config.bam.hidden_dim;
  const int64_t outputs = config.bam.mult ? 2 * inputs : inputs;
  torch::jit::Module module("NammMemory");
  const auto number = [&](const char* name, double value) {
    module.register_attribute(name, c10::FloatType::get(), value);
  };
  const auto integer = [&](const char* name, int64_t value) {
    module.register_attribute(name, c10::IntType::get(), value);
  };
  const auto flag = [&](const char* name, bool value) {
    module.register_attribute(name, c10::BoolType::get(), value);
  };
  // TorchScript knows types by number; without Python's resolver they have no names.
  integer("bool_type", static_cast<int64_t>(at::kBool));
  integer("int64_type", static_cast<int64_t>(at::kLong));
  integer("float32_type", static_cast<int64_t>(at::kFloat));
  integer("float64_type", static_cast<int64_t>(at::kDouble));
  integer("bfloat16_type", static_cast<int64_t>(at::kBFloat16));
  integer("period_tokens", config.period_tokens);
  integer("n_fft", config.spectrogram.n_fft);
  integer("hop_length", config.spectrogram.hop_length);
  integer("hidden", hidden);
  integer("heads", config.bam.heads);
  integer("cache_cap", config.cache_cap);
  integer("spectral", config.spectral_count());
  integer("numbers", config.needed_spectrogram().numbers());
  flag("complex", config.needed_spectrogram().is_complex);
  flag("takes_log", config.spectral == "log_magnitude");
  flag("parity", config.heads == "parity");
  flag("mult", config.bam.mult);
  flag("normalised", memory.statistics.count > 0);
  flag("rounds", config.spectrogram.attention_dtype == "bfloat16");
  number("beta",
         std::pow(config.spectrogram.ema_coefficient, static_cast<double>(config.spectrogram.hop_length)));
  number("scale", std::sqrt(static_cast<double>(hidden / config.bam.heads)));
  number("minus_infinity", -std::numeric_limits<double>::infinity());

  const int64_t half = config.recency.dimension / 2;
  at::Tensor frequencies = at::empty({half}, at::kDouble);
  for (int64_t k = 0; k < half; ++k) {
    frequencies.data_ptr<double>()[k] =
        std::pow(config.recency.max_frequency, -static_cast<double>(k) / static_cast<double>(half));
  }
  module.register_buffer("frequencies", frequencies);
  module.register_buffer("window",
                         at::hann_window(config.spectrogram.n_fft, true, at::TensorOptions(at::kFloat)));
  const int64_t spectral = config.spectral_count();
  at::Tensor mean = at::zeros({spectral});
  at::Tensor spread = at::ones({spectral});
  if (memory.statistics.count > 0) {
    mean = at::tensor(memory.statistics.mean, at::kFloat);
    spread = at::tensor(memory.statistics.variance(), at::kFloat).sqrt().clamp_min(1e-7);
  }
  module.register_buffer("mean", mean);
  module.register_buffer("spread", spread);
  module.register_buffer("qkv_weight", block_of(memory, "qkv.weight", {inputs, 3 * hidden}));
  module.register_buffer("qkv_bias", block_of(memory, "qkv.bias", {3 * hidden}));
  module.register_buffer("out_weight", block_of(memory, "out.weight", {hidden, outputs}));
  module.register_buffer("out_bias", block_of(memory, "out.bias", {outputs}));
  module.register_buffer("score_weight", block_of(memory, "score.weight", {inputs, 1}));
  module.register_buffer("score_bias", block_of(memory, "score.bias", {1}));
  module.define(kSource);
  module.eval();
  return module;
}

}  // namespace

void save_torchscript(const memory::MemoryFile& memory, const std::filesystem::path& path) {
  if (memory.config.scorer != "bam" || memory.config.has_own_transformer()) {
    throw DataError(
        format_text("a memory with scorer {} and parameters {} has no TorchScript form, which is one layer's "
                    "and the same "
                    "for all: export it with --format namm",
                    memory.config.scorer, memory.config.sharing));
  }
  const torch::jit::Module module = make_module(memory);
  const torch::jit::ExtraFilesMap extra{
      {"namm_memory.yaml", to_yaml(memory.config)},
      {"provenance.json", to_json_text(nlohmann::json(memory.provenance), 1)}};
  std::ostringstream bytes;
  module.save(bytes, extra);
  write_atomically(path, bytes.str());
}

}  // namespace namm::experiments
