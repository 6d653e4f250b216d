#include "experiments/forgotten_text.h"

#include <array>
#include <cmath>

#include <ATen/ATen.h>

#include "core/text.h"
#include "memory/row_state.h"
#include "models/token_texts.h"

namespace namm::experiments {

namespace {

struct Band {
  double least;  ///< share of the heads
  const char* style;
  const char* meaning;
};

constexpr std::array<Band, 5> kBands = {{{1, "", "held by all heads"},
                                         {0.5, "\033[38;5;108m", "by half or more"},
                                         {0.25, "\033[33m", "by a quarter or more"},
                                         {1e-12, "\033[31m", "by fewer"},
                                         {0, "\033[9;31m", "by none"}}};
constexpr const char* kPlain = "\033[0m";

size_t band_of(double share) {
  size_t band = 0;
  while (share < kBands[band].least) ++band;
  return band;
}

}  // namespace

std::vector<double> held_shares(const memory::Session& session, memory::RowId row) {
  const memory::RowState& state = session.state(row);
  at::Tensor count = at::zeros({state.tokens}, at::kDouble);
  double heads = 0;
  for (const auto& layer : state.layers) {
    const at::Tensor positions = layer.cache.packed_positions().to(at::kCPU);
    count.index_add_(0, positions, at::ones({positions.size(0)}, at::kDouble));
    heads += static_cast<double>(layer.cache.kv_heads());
  }
  count.div_(heads);
  return {count.const_data_ptr<double>(), count.const_data_ptr<double>() + count.numel()};
}

std::string mark_forgotten(const models::Tokenizer& codec, const std::vector<int64_t>& ids,
                           const std::vector<double>& shares, bool color) {
  TORCH_CHECK(ids.size() <= shares.size(), "[forgotten text] ", ids.size(), " tokens, ", shares.size(),
              " shares");
  const std::vector<std::string> texts = models::token_texts(codec, ids);
  std::string result;
  size_t shown = 0;  // band of what stands before; plain text begins
  for (size_t i = 0; i < texts.size();) {
    std::string letters;
    double share = 0;
    size_t tokens = 0;
    do {
      letters += texts[i];
      share += shares[i];
      ++tokens;
      ++i;
    } while (i < texts.size() && tokens < 4 && first_invalid_utf8(letters));
    const double mean = share / static_cast<double>(tokens);
    const size_t band = color ? band_of(mean) : (mean > 0 ? 0 : kBands.size() - 1);
    if (band != shown) {
      if (color) {
        result += kPlain;
        result += kBands[band].style;
      } else {
        result += band == 0 ? "-]" : "[-";
      }
    }
    shown = band;
    result += letters;
  }
  if (shown != 0) result += color ? kPlain : "-]";
  if (!color) return result;
  result += "\n";
  for (const Band& band : kBands)
    result += format_text("{}{}{}{}", &band == kBands.data() ? "" : ", ", band.style, band.meaning, kPlain);
  return result;
}

}  // namespace namm::experiments
