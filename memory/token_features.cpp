#include "memory/token_features.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "memory/held_tensor.h"

namespace namm::memory {
namespace {

// Cosine of every key and the mean of its head's unit keys, [tokens].
at::Tensor key_similarity(const at::Tensor& keys, const std::vector<int64_t>& lengths) {
  std::vector<at::Tensor> heads;
  for (const at::Tensor& head : at::split_with_sizes(keys.to(at::kFloat), lengths)) {
    const at::Tensor norms = at::linalg_vector_norm(head, 2, at::IntArrayRef{1}, true).clamp_min(1e-12);
    const at::Tensor unit = head / norms;
    const at::Tensor mean = unit.mean(0);
    heads.push_back(unit.matmul(mean) / at::linalg_vector_norm(mean).clamp_min(1e-12));
  }
  return at::cat(heads);
}

}  // namespace

at::Tensor AttentionRecord::queries() const {
  std::vector<at::Tensor> pieces;
  for (const QueryBlock& block : blocks) pieces.push_back(block.queries);
  return pieces.size() == 1 ? pieces[0] : at::cat(pieces);
}

at::Tensor AttentionRecord::log_sum_exp() const {
  std::vector<at::Tensor> pieces;
  for (const QueryBlock& block : blocks) pieces.push_back(block.log_sum_exp);
  return pieces.size() == 1 ? pieces[0] : at::cat(pieces, 1);
}

int64_t AttentionRecord::bytes() const {
  size_t sum = (ema.defined() ? ema.nbytes() : 0) + (column_sums.defined() ? column_sums.nbytes() : 0);
  for (const QueryBlock& block : blocks) sum += block.queries.nbytes() + block.log_sum_exp.nbytes();
  return static_cast<int64_t>(sum);
}

void AttentionRecord::keep_context(int64_t context_queries) {
  int64_t surplus = -context_queries;
  for (const QueryBlock& block : blocks) surplus += block.queries.size(0);
  size_t whole = 0;
  while (whole < blocks.size() && surplus >= blocks[whole].queries.size(0))
    surplus -= blocks[whole++].queries.size(0);
  blocks.erase(blocks.begin(), blocks.begin() + static_cast<std::ptrdiff_t>(whole));
  if (surplus <= 0 || blocks.empty()) return;
  QueryBlock& first = blocks.front();
  const int64_t rest = first.queries.size(0) - surplus;
  // Clones, or the views would hold the whole block.
  first = {held_copy(first.queries.narrow(0, surplus, rest)),
           held_copy(first.log_sum_exp.narrow(1, surplus, rest)), first.first_position + surplus};
}

namespace {

// LayerView::expected_attention of one row; queries [T, H, d].
at::Tensor expected_attention(const LayerCache& cache, const at::Tensor& queries,
                              const LayerAttention& attention) {
  const double scale = attention.scale;
  const int64_t group = queries.size(1) / cache.kv_heads();
  const std::vector<at::Tensor> keys =
      at::split_with_sizes(cache.packed_keys().to(at::kFloat), cache.lengths());
  const std::vector<at::Tensor> values =
      at::split_with_sizes(cache.packed_values().to(at::kFloat), cache.lengths());
  const std::vector<at::Tensor> positions = at::split_with_sizes(cache.packed_positions(), cache.lengths());
  const at::Tensor asked = queries.to(at::kFloat).transpose(0, 1);  // [H, T, d]
  const at::Tensor mean = asked.mean(1, /*keepdim=*/true);
  const at::Tensor centred = asked - mean;
  const at::Tensor covariance =
      at::bmm(centred.transpose(1, 2), centred) / static_cast<double>(queries.size(0));  // [H, d, d]
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < cache.kv_heads(); ++h) {
    const at::Tensor& k = keys[static_cast<size_t>(h)];
    const auto of_group = [&](const at::Tensor& x) { return x.narrow(0, h * group, group); };
    // The logarithm of the mean of exp(scale q k) over the distribution.
    at::Tensor logits = scale * at::matmul(of_group(mean), k.t()).squeeze(1) +
                        0.5 * scale * scale * (at::matmul(k, of_group(covariance)) * k).sum(2);  // [G, n]
    if (attention.window_tokens > 0) {
      // What the next query does not see; the newest token stands for it where the window is one token.
      const at::Tensor age =
          positions[static_cast<size_t>(h)].slice(0, -1) - positions[static_cast<size_t>(h)];
      logits.masked_fill_((age + 1 >= attention.window_tokens).logical_and(age > 0),
                          -std::numeric_limits<double>::infinity());
    }
    heads.push_back(at::softmax(logits, 1).mean(0) *
                    at::linalg_vector_norm(values[static_cast<size_t>(h)], 2, at::IntArrayRef{1}));
  }
  return at::cat(heads);
}

// The features carried over from the last update, in the order of the cache; zeros for tokens read since.
void carry_over(const LayerCache& cache, const AttentionRecord& record, const at::Tensor& before,
                at::Tensor& now) {
  if (!before.defined()) return;
  int64_t start = 0, known_start = 0;
  for (int64_t h = 0; h < cache.kv_heads(); ++h) {
    const int64_t known = record.known[h];
    now.narrow(0, start, known).copy_(before.narrow(0, known_start, known));
    start += cache.lengths()[h];
    known_start += known;
  }
}

}  // namespace

namespace {

// The queries from before the last update, period by period backwards.
std::vector<EarlierQueries> earlier_queries(const LayerCache& cache, int64_t queries, int64_t period) {
  std::vector<EarlierQueries> earlier;
  for (int64_t updates = 1, end = queries; end > 0; ++updates) {
    const int64_t count = std::min(end, period);
    end -= count;
    earlier.push_back({end, count, cache.moved_keys_before(updates)});
  }
  return earlier;
}

}  // namespace

TokenFeatures token_features(const LayerCache& cache, const AttentionRecord& record,
                             const LayerAttention& attention, int64_t new_queries, const Needs& needs,
                             Backend backend) {
  TokenFeatures features;
  if (needs.key_norms || needs.key_similarity) {
    const at::Tensor keys = cache.packed_keys();
    if (needs.key_norms)
      features.key_norms = at::linalg_vector_norm(keys, 2, at::IntArrayRef{1}, false, at::kFloat);
    if (needs.key_similarity) features.key_similarity = key_similarity(keys, cache.lengths());
  }
  if (needs.expected_attention) {
    const at::Tensor queries = record.queries();
    features.expected_attention =
        expected_attention(cache, queries.narrow(0, queries.size(0) - new_queries, new_queries), attention);
  }
  if (!needs.probabilities()) return features;

  AttentionFeatureInput input;
  input.queries = record.queries();
  input.log_sum_exp = record.log_sum_exp();
  input.first_position = record.blocks.front().first_position;
  input.new_queries = new_queries;
  input.attention = &attention;
  input.needs = &needs;
  const int64_t queries = input.queries.size(0);
  const int64_t context = needs.spectrogram ? needs.spectrogram->context_queries() : 0;
  TORCH_INTERNAL_ASSERT(queries >= new_queries && queries <= new_queries + context);
  input.absent_queries = new_queries + context - queries;
  if (cache.moved()) input.earlier = earlier_queries(cache, queries - new_queries, new_queries);

  const at::TensorOptions options = input.queries.options().dtype(at::kFloat);
  const int64_t tokens = cache.tokens();
  if (needs.spectrogram) {
    features.ema = held_empty({tokens, needs.spectrogram->numbers()}, options).zero_();
    carry_over(cache, record, record.ema, features.ema);
  }
  if (needs.column_sums) {
    features.column_sums = at::zeros({tokens}, options);
    carry_over(cache, record, record.column_sums, features.column_sums);
  }
  if (needs.recent_queries > 0) features.recent_attention = at::empty({tokens}, options);
  if (uses_cpu_kernels(backend, input.queries))
    cpu::attention_features(cache, input, features);
  else
    attention_features_reference(cache, input, features);
  return features;
}

}  // namespace namm::memory
