#include "memory/check.h"

#include <algorithm>
#include <string>

#include "core/errors.h"
#include "core/text.h"

namespace namm::memory {
namespace {

// Two float32 implementations of one formula, relative to 1 + |x| or, for features, to the token's own size.
constexpr double kAttention = 2e-5, kFeatures = 1e-4, kScores = 2e-5;
// Results and probabilities that were rounded to half the bits may fall on neighbouring numbers.
constexpr double kRounded = 1e-2;
// Attention below this is 0 to the kernels (exponential-inl.h).
constexpr double kUnseen = 1e-12;

// Flat index of the first element with |a - b| > allowed; -1: none. A number against NaN or infinity differs;
// the same NaN or infinity on both sides does not: that the model is broken is told elsewhere (check_finite).
int64_t first_beyond(const at::Tensor& a, const at::Tensor& b, const at::Tensor& allowed) {
  const at::Tensor close = ((a - b).abs() <= allowed).logical_and(b.isfinite());
  const at::Tensor same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
  const at::Tensor off = close.logical_or(same).logical_not().flatten();
  if (!off.any().item<bool>()) return -1;
  return off.to(at::kByte).argmax().item<int64_t>();
}

int64_t first_difference(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  return first_beyond(x, y, tolerance * (1 + y.abs()));
}

// The same for features [tokens] or [tokens, D] of tokens, which are small where a context is long: relative
// to the largest number of each token.
int64_t first_different_feature(const at::Tensor& a, const at::Tensor& b, double tolerance) {
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const at::Tensor size = y.dim() == 1 ? y.abs() : y.abs().amax(1, /*keepdim=*/true);
  return first_beyond(x, y, (tolerance * size + kUnseen).expand_as(y));
}

[[noreturn]] void fail(int64_t layer, const std::string& where, const char* what, const at::Tensor& a,
                       const at::Tensor& b, int64_t index, double tolerance) {
  const auto number = [&](const at::Tensor& x) { return x.flatten()[index].item<double>(); };
  TORCH_CHECK(false, "[check] layer ", layer, ", ", where, ": ", what, " ", number(a),
              ", the reference backend has ", number(b), " (tolerance ", tolerance, ", relative)");
}

// "KV head h, token at position p" of a packed index.
std::string place(const std::vector<int64_t>& lengths, const at::Tensor& positions, int64_t token) {
  int64_t head = 0;
  for (int64_t end = lengths[0]; token >= end; end += lengths[static_cast<size_t>(++head)]) {
  }
  return "KV head " + std::to_string(head) + ", token at position " +
         std::to_string(positions[token].item<int64_t>());
}

}  // namespace

void check_attention(int64_t layer, const at::Tensor& output, const at::Tensor& reference_output,
                     const at::Tensor& log_sum_exp, const at::Tensor& reference_log_sum_exp) {
  const bool half = output.scalar_type() == at::kBFloat16 || output.scalar_type() == at::kHalf;
  const double tolerance = half ? kRounded : kAttention;
  const int64_t heads = output.size(1), dim = output.size(2), tokens = output.size(0);
  if (const int64_t i = first_difference(output, reference_output, tolerance); i >= 0) {
    fail(layer,
         "head " + std::to_string(i / dim % heads) + ", token " + std::to_string(i / dim / heads) +
             " of the step",
         "attention gives", output, reference_output, i, tolerance);
  }
  if (const int64_t i = first_difference(log_sum_exp, reference_log_sum_exp, kAttention); i >= 0) {
    fail(layer,
         "head " + std::to_string(i / tokens) + ", token " + std::to_string(i % tokens) + " of the step",
         "the log-sum-exp is", log_sum_exp, reference_log_sum_exp, i, kAttention);
  }
}

void check_features(int64_t layer, const TokenFeatures& features, const TokenFeatures& reference,
                    const std::vector<int64_t>& lengths, const at::Tensor& positions, const Needs& needs) {
  const bool rounded = needs.spectrogram && needs.spectrogram->attention_dtype == "bfloat16";
  const double tolerance = rounded ? kRounded : kFeatures;
  const auto compare = [&](const char* what, const at::Tensor& a, const at::Tensor& b) {
    if (!a.defined()) return;
    const int64_t i = first_different_feature(a, b, tolerance);
    if (i < 0) return;
    fail(layer, place(lengths, positions, a.dim() == 1 ? i : i / a.size(1)), what, a, b, i, tolerance);
  };
  compare("the spectrogram's average is", features.ema, reference.ema);
  compare("the column sum is", features.column_sums, reference.column_sums);
  compare("the recent attention is", features.recent_attention, reference.recent_attention);
}

void check_scores(const LayerView& layer, int64_t kv_heads, const at::Tensor& scores,
                  const at::Tensor& reference) {
  if (!scores.defined() || !reference.defined()) return;
  const int64_t i = first_difference(scores, reference, kScores);
  if (i < 0) return;
  const auto after = std::upper_bound(layer.offsets.begin(), layer.offsets.end(), i);
  const int64_t segment = after - layer.offsets.begin() - 1;
  fail(layer.layer,
       "row " + std::to_string(segment / kv_heads) + ", KV head " + std::to_string(segment % kv_heads) +
           ", token at position " + std::to_string(layer.positions[i].item<int64_t>()),
       "the score is", scores, reference, i, kScores);
}

void check_finite(const UpdateView& view) {
  std::vector<at::Tensor> flags;
  const auto numbers_of = [](const LayerView& layer) {
    std::vector<at::Tensor> numbers;
    for (const at::Tensor& x : {layer.ema, layer.column_sums, layer.recent_attention, layer.key_norms,
                                layer.key_similarity, layer.expected_attention}) {
      if (x.defined()) numbers.push_back(x);
    }
    return numbers;
  };
  for (const LayerView& layer : view.layers) {
    for (const at::Tensor& x : numbers_of(layer)) flags.push_back(x.isfinite().all());
  }
  if (flags.empty() || at::stack(flags).all().item<bool>()) return;
  const auto heads = static_cast<size_t>(view.shape.kv_heads);
  for (const LayerView& layer : view.layers) {
    for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
      for (const at::Tensor& x : numbers_of(layer)) {
        const at::Tensor part = x.narrow(0, layer.offsets[s], layer.offsets[s + 1] - layer.offsets[s]);
        if (part.isfinite().all().item<bool>()) continue;
        const RowView& row = view.rows[s / heads];
        throw DataError(format_text(
            "update: layer {}, KV head {}, sequence {} after {} tokens: attention, keys or values are not "
            "finite, so nothing can be said of its tokens; the model is broken here, or a loaded cache was "
            "not saved by this program",
            layer.layer, s % heads, row.tag, row.tokens_processed));
      }
    }
  }
}

}  // namespace namm::memory
