#include "memory/budget.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <utility>

namespace namm::memory {
namespace {

constexpr std::pair<const char*, Budget::Kind> kNames[] = {
    {"match_namm", Budget::Kind::match_namm},
    {"match_namm_layers", Budget::Kind::match_namm_layers},
    {"match_namm_heads", Budget::Kind::match_namm_heads}};
constexpr const char* kAllowed =
    "match_namm, match_namm_layers, match_namm_heads, {tokens: N}, {fraction: F} or {bytes: B}";

struct TokensConfig {
  int64_t tokens = 0;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("tokens", self.tokens, needed() && at_least(1), "tokens of every layer and KV head");
  }
};

struct BytesConfig {
  int64_t bytes = 0;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("bytes", self.bytes, needed() && at_least(1),
          "keys and values of a sequence, all layers and KV heads");
  }
};

struct FractionConfig {
  double fraction = 0;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("fraction", self.fraction, needed() && above(0) && at_most(1), "share of the tokens read so far");
  }
};

// `total` over the entries [begin, end): equal shares, the remainder one each to the first.
void spread(int64_t total, std::vector<int64_t>& counts, int64_t begin, int64_t end) {
  const int64_t share = total / (end - begin), rest = total % (end - begin);
  for (int64_t i = begin; i < end; ++i) counts[static_cast<size_t>(i)] = share + (i - begin < rest ? 1 : 0);
}

int64_t sum(const std::vector<int64_t>& values, int64_t begin, int64_t end) {
  return std::accumulate(values.begin() + begin, values.begin() + end, int64_t{0});
}

}  // namespace

std::string Budget::text() const {
  for (const auto& [name, of] : kNames) {
    if (kind == of) return name;
  }
  if (kind == Kind::tokens) return std::to_string(tokens) + " tokens";
  if (kind == Kind::bytes) return std::to_string(tokens) + " bytes";
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%g of the tokens", fraction);
  return buffer;
}

Budget Budget::from_config(const ConfigNode& node) {
  if (node.is_scalar()) {
    for (const auto& [name, kind] : kNames) {
      if (node.value().text == name) return {kind, 0, 0};
    }
  }
  if (!node.is_mapping()) node.fail(kAllowed);
  if (node.has("tokens") + node.has("fraction") + node.has("bytes") > 1) node.fail(kAllowed);
  if (node.has("bytes")) return of_bytes(read_config<BytesConfig>(node).bytes);
  if (node.has("fraction")) return of_fraction(read_config<FractionConfig>(node).fraction);
  if (node.has("tokens")) return of_tokens(read_config<TokensConfig>(node).tokens);
  node.refuse_unknown_keys({"tokens", "fraction", "bytes"});
  node.fail(kAllowed);
}

ConfigValue Budget::to_config() const {
  if (kind == Kind::tokens) return write_config(TokensConfig{tokens});
  if (kind == Kind::bytes) return write_config(BytesConfig{tokens});
  if (kind == Kind::fraction) return write_config(FractionConfig{fraction});
  return ConfigValue::string(text());
}

int64_t share_of(double fraction, int64_t tokens) {
  const auto all = static_cast<double>(tokens);
  return std::max<int64_t>(1, static_cast<int64_t>(std::floor(fraction * all + 1e-9 * all)));
}

std::vector<int64_t> budget_counts(const Budget& budget, const RecordedCounts* recorded, const RowView& row,
                                   const TransformerShape& shape, int64_t token_bytes) {
  const int64_t segments = shape.layers * shape.kv_heads;
  std::vector<int64_t> counts(static_cast<size_t>(segments));
  if (budget.kind == Budget::Kind::tokens) {
    std::fill(counts.begin(), counts.end(), budget.tokens);
    return counts;
  }
  if (budget.kind == Budget::Kind::fraction) {
    std::fill(counts.begin(), counts.end(), share_of(budget.fraction, row.tokens_processed));
    return counts;
  }
  if (budget.kind == Budget::Kind::bytes) {
    TORCH_CHECK(token_bytes > 0, "[budget] the bytes of a token must be known, are ", token_bytes);
    spread(budget.tokens / token_bytes, counts, 0, segments);
    return counts;
  }
  TORCH_CHECK(recorded != nullptr, "[budget] ", budget.text(),
              " needs what NAMM kept: run the policy namm first");
  const auto found = recorded->rows.find(row.tag);
  TORCH_CHECK(found != recorded->rows.end(), "[budget] ", budget.text(),
              ": nothing was recorded for the row tagged ", row.tag,
              "; run the policy namm on the same samples first");
  const std::vector<std::vector<int64_t>>& updates = found->second;
  if (updates.empty()) {
    std::fill(counts.begin(), counts.end(), std::numeric_limits<int64_t>::max());
    return counts;
  }
  const std::vector<int64_t>& kept = updates[std::min(static_cast<size_t>(row.update), updates.size() - 1)];
  TORCH_CHECK(static_cast<int64_t>(kept.size()) == segments, "[budget] ", kept.size(),
              " recorded counts for ", segments, " layers and KV heads: recorded on another model");
  switch (budget.kind) {
    case Budget::Kind::match_namm_heads:
      return kept;
    case Budget::Kind::match_namm_layers:
      for (int64_t begin = 0; begin < segments; begin += shape.kv_heads) {
        spread(sum(kept, begin, begin + shape.kv_heads), counts, begin, begin + shape.kv_heads);
      }
      return counts;
    default:
      spread(sum(kept, 0, segments), counts, 0, segments);
      return counts;
  }
}

int64_t most_tokens(const Budget& budget, const TransformerShape& shape, int64_t period_tokens,
                    int64_t tokens, int64_t token_bytes) {
  const int64_t segments = shape.layers * shape.kv_heads;
  int64_t kept = 0, most = 0;
  for (int64_t update = 0, read = 0; read < tokens; ++update) {
    const int64_t fresh = std::min(period_tokens, tokens - read);
    read += fresh;
    most = std::max(most, kept + fresh * segments);
    if (fresh < period_tokens) break;
    const RowView row{.tokens_processed = read, .update = update};
    int64_t allowed = 0;
    for (const int64_t count : budget_counts(budget, nullptr, row, shape, token_bytes))
      allowed += std::clamp<int64_t>(count, 1, read);
    kept = std::min(allowed, kept + fresh * segments);
  }
  return most;
}

std::vector<int64_t> pyramid_counts(std::vector<int64_t> counts, const std::vector<int64_t>& lengths,
                                    int64_t kv_heads, int64_t window_tokens, double beta) {
  const auto segments = static_cast<int64_t>(counts.size()), layers = segments / kv_heads;
  TORCH_CHECK(lengths.size() == counts.size(), "[budget] lengths of ", lengths.size(), " of ", counts.size(),
              " layers and KV heads");
  const int64_t there = sum(lengths, 0, segments);
  for (int64_t& count : counts)
    count = std::min(count, there);  // more is no more, and might overflow the sum
  const int64_t total = std::clamp(sum(counts, 0, segments), segments, std::max(segments, there));
  const int64_t window = std::min(std::max<int64_t>(1, window_tokens), total / segments);
  const int64_t free = total - window * segments;
  const double mean = static_cast<double>(free) / static_cast<double>(layers);
  const auto room = static_cast<double>(sum(lengths, 0, kv_heads) - window * kv_heads);
  double most = 2 * mean - mean / beta;
  if (most > room) most = std::max(mean, room);
  if (layers == 1) most = mean;
  const double step = layers > 1 ? 2 * (most - mean) / static_cast<double>(layers - 1) : 0;
  std::vector<int64_t> of_layer;
  for (int64_t l = 0; l < layers; ++l)
    of_layer.push_back(static_cast<int64_t>(std::max(0.0, most - step * static_cast<double>(l))));
  // Rounding down leaves less than one token a layer: they go to the first ones, so that shares never rise.
  for (int64_t l = 0, rest = free - sum(of_layer, 0, layers); l < layers && rest > 0; ++l, --rest)
    ++of_layer[static_cast<size_t>(l)];
  std::vector<int64_t> result(counts.size());
  for (int64_t l = 0; l < layers; ++l)
    spread(of_layer[static_cast<size_t>(l)] + window * kv_heads, result, l * kv_heads, (l + 1) * kv_heads);
  pass_on_excess(result, lengths);
  return result;
}

void pass_on_excess(std::vector<int64_t>& counts, const std::vector<int64_t>& lengths) {
  int64_t excess = 0;
  for (size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] <= lengths[s]) continue;
    excess += std::min(counts[s], std::numeric_limits<int64_t>::max() - excess) - lengths[s];
    counts[s] = lengths[s];
  }
  for (size_t s = 0; s < counts.size() && excess > 0; ++s) {
    const int64_t more = std::min(excess, lengths[s] - counts[s]);
    counts[s] += more;
    excess -= more;
  }
}

}  // namespace namm::memory
