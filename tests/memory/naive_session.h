#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <numbers>
#include <vector>

#include "memory/shape.h"
#include "memory/spectrogram.h"

namespace namm::testing {

/// What a session does to one row, in plain vectors and float64, one token after another: every token holds
/// the attention it received, nothing is recomputed or shared.
struct NaiveToken {
  int64_t position = 0;
  int64_t place = 0;  ///< that its key is rotated to
  std::vector<double> key, value;
  std::vector<double> received;  ///< group-mean attention of the queries on record
  std::vector<double> ema;
  double column_sum = 0;
};

struct NaiveLayer {
  std::vector<std::vector<NaiveToken>> heads;
  int64_t packed_tokens = 0;                      ///< in the segment that the last eviction left
  bool moved = false;                             ///< that segment also holds the keys as they were read
  std::vector<std::shared_ptr<int64_t>> growing;  ///< tokens of the segments after it, shared by forks
};

struct NaiveRow {
  int64_t member = 0, tag = 0, tokens = 0, updated_tokens = 0, updates = 0;
  bool torn = false;
  std::vector<NaiveLayer> layers;
};

struct NaiveSession {
  memory::TransformerShape shape;
  memory::SpectrogramConfig spectrogram;
  double scale = 1;
  std::vector<float> frequencies;  ///< not empty: tokens stand at compacted places after an update

  NaiveRow new_row(int64_t member, int64_t tag) const {
    NaiveRow row;
    row.member = member;
    row.tag = tag;
    row.layers.resize(static_cast<size_t>(shape.layers));
    for (NaiveLayer& layer : row.layers) layer.heads.resize(static_cast<size_t>(shape.kv_heads));
    return row;
  }

  /// The key of a token where it stands now.
  std::vector<double> standing_key(const NaiveToken& token) const {
    std::vector<double> key = token.key;
    if (token.place == token.position) return key;
    const size_t half = key.size() / 2;
    for (size_t i = 0; i < half; ++i) {
      const double turn = static_cast<double>(static_cast<float>(token.place) * frequencies[i]) -
                          static_cast<double>(static_cast<float>(token.position) * frequencies[i]);
      key[i] = token.key[i] * std::cos(turn) - token.key[i + half] * std::sin(turn);
      key[i + half] = token.key[i + half] * std::cos(turn) + token.key[i] * std::sin(turn);
    }
    return key;
  }

  /// Appends T tokens and attends. q [T, H, d], k, v [T, Hk, d], row-major; returns the output as q.
  std::vector<double> attend(NaiveRow& row, size_t layer_index, int64_t count, const float* q, const float* k,
                             const float* v) const {
    NaiveLayer& layer = row.layers[layer_index];
    if (layer.growing.empty() || layer.growing.back().use_count() > 1)
      layer.growing.push_back(std::make_shared<int64_t>(0));
    *layer.growing.back() += count;
    const int64_t d = shape.head_dim, heads = shape.heads, group = shape.group();
    std::vector<double> output(static_cast<size_t>(count * heads * d), 0.0);
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      std::vector<NaiveToken>& cached = layer.heads[static_cast<size_t>(h)];
      const size_t recorded = cached.empty() ? 0 : cached.front().received.size();
      for (int64_t t = 0; t < count; ++t) {
        const float* key = k + (t * shape.kv_heads + h) * d;
        const float* value = v + (t * shape.kv_heads + h) * d;
        cached.push_back({row.tokens + t,
                          row.tokens + t,
                          {key, key + d},
                          {value, value + d},
                          std::vector<double>(recorded, 0.0),
                          std::vector<double>(static_cast<size_t>(spectrogram.bins()), 0.0)});
      }
      std::vector<std::vector<double>> keys;
      for (const NaiveToken& token : cached) keys.push_back(standing_key(token));
      for (int64_t t = 0; t < count; ++t) {
        for (NaiveToken& token : cached) token.received.push_back(0);
        for (int64_t g = 0; g < group; ++g) {
          const float* query = q + (t * heads + h * group + g) * d;
          std::vector<double> weights(cached.size(), 0.0);
          double peak = -std::numeric_limits<double>::infinity(), sum = 0;
          for (size_t i = 0; i < cached.size(); ++i) {
            if (cached[i].position > row.tokens + t) continue;
            for (int64_t c = 0; c < d; ++c) weights[i] += query[c] * keys[i][static_cast<size_t>(c)];
            weights[i] *= scale;
            peak = std::max(peak, weights[i]);
          }
          for (size_t i = 0; i < cached.size(); ++i) {
            weights[i] = cached[i].position > row.tokens + t ? 0 : std::exp(weights[i] - peak);
            sum += weights[i];
          }
          for (size_t i = 0; i < cached.size(); ++i) {
            const double weight = weights[i] / sum;
            cached[i].received.back() += weight / static_cast<double>(group);
            for (int64_t c = 0; c < d; ++c)
              output[static_cast<size_t>((t * heads + h * group + g) * d + c)] +=
                  weight * cached[i].value[static_cast<size_t>(c)];
          }
        }
      }
    }
    return output;
  }

  /// Moving averages and column sums after the `period` newest queries on record.
  void feel(NaiveRow& row, int64_t period) const {
    const int64_t w = spectrogram.n_fft, hop = spectrogram.hop_length;
    const double beta = std::pow(spectrogram.ema_coefficient, static_cast<double>(hop));
    for (NaiveLayer& layer : row.layers) {
      for (auto& head : layer.heads) {
        for (NaiveToken& token : head) {
          std::vector<double> signal(static_cast<size_t>(period + w - hop), 0.0);
          for (size_t i = 0; i < std::min(signal.size(), token.received.size()); ++i)
            signal[signal.size() - 1 - i] = token.received[token.received.size() - 1 - i];
          for (int64_t i = w - hop; i < period + w - hop; ++i)
            token.column_sum += signal[static_cast<size_t>(i)];
          for (int64_t frame = 0; frame < period / hop; ++frame) {
            for (int64_t f = 0; f < spectrogram.bins(); ++f) {
              double re = 0, im = 0;
              for (int64_t i = 0; i < w; ++i) {
                const double angle = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(w);
                const double x = signal[static_cast<size_t>(frame * hop + i)] * 0.5 * (1 - std::cos(angle));
                re += x * std::cos(angle * static_cast<double>(f));
                im -= x * std::sin(angle * static_cast<double>(f));
              }
              double& ema = token.ema[static_cast<size_t>(f)];
              ema = beta * ema + (1 - beta) * std::sqrt(re * re + im * im);
            }
          }
        }
      }
    }
  }

  using Keep = std::function<bool(int64_t layer, int64_t head, int64_t position)>;

  /// What does not stay goes; the newest token always stays.
  void evict(NaiveRow& row, const Keep& keep) const {
    const auto context = static_cast<size_t>(spectrogram.context_queries());
    for (size_t l = 0; l < row.layers.size(); ++l) {
      NaiveLayer& layer = row.layers[l];
      int64_t before = 0, after = 0;
      for (size_t h = 0; h < layer.heads.size(); ++h) {
        std::vector<NaiveToken>& head = layer.heads[h];
        before += static_cast<int64_t>(head.size());
        std::vector<NaiveToken> kept;
        for (size_t i = 0; i < head.size(); ++i) {
          if (i + 1 == head.size() ||
              keep(static_cast<int64_t>(l), static_cast<int64_t>(h), head[i].position))
            kept.push_back(std::move(head[i]));
        }
        head = std::move(kept);
        after += static_cast<int64_t>(head.size());
        for (NaiveToken& token : head) {
          if (token.received.size() > context)
            token.received.erase(token.received.begin(),
                                 token.received.end() - static_cast<std::ptrdiff_t>(context));
        }
      }
      if (after == before && !layer.moved) continue;
      layer.packed_tokens = after;
      layer.growing.clear();
      if (frequencies.empty()) continue;
      layer.moved = true;
      for (auto& head : layer.heads) {
        for (size_t i = 0; i < head.size(); ++i)
          head[i].place = row.tokens - static_cast<int64_t>(head.size() - i);
      }
    }
    row.updated_tokens = row.tokens;
    ++row.updates;
  }

  /// Bytes of float32 keys and values: exactly those of packed tokens, growing segments in steps of 16.
  int64_t cache_bytes(const NaiveRow& row) const {
    int64_t rows = 0;
    for (const NaiveLayer& layer : row.layers) {
      rows += layer.packed_tokens * (layer.moved ? 3 : 2);
      for (const auto& tokens : layer.growing) rows += 2 * shape.kv_heads * ((*tokens + 15) / 16 * 16);
    }
    return rows * shape.head_dim * 4;
  }
};

}  // namespace namm::testing
