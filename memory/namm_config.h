#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "memory/bam_scorer.h"
#include "memory/mlp_scorer.h"
#include "memory/recency_embedding.h"
#include "memory/shape.h"
#include "memory/spectral_features.h"
#include "memory/spectrogram.h"

namespace namm::memory {

/// The Transformer that a memory belongs to, where its parameters depend on one.
struct OwnTransformer {
  int64_t layers = 0;
  int64_t kv_heads = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("layers", self.layers, between(0, 4096), "layers of the model that the memory belongs to");
    visit("kv_heads", self.kv_heads, between(0, 4096), "KV heads of a layer of that model");
  }

  bool operator==(const OwnTransformer&) const = default;
};

/// The scorer `mix` and what its policy protects (mix_scorer.h).
struct MixConfig {
  int64_t rank = 1;
  int64_t sinks = 4;
  int64_t recent_tokens = 32;
  double keep_fraction = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("rank", self.rank, between(1, 16), "scorer mix: sums of head weights times feature weights");
    visit("sinks", self.sinks, at_least(0), "scorer mix: first tokens of a sequence that stay");
    visit("recent_tokens", self.recent_tokens, between(1, 1 << 20), "scorer mix: newest tokens that stay");
    visit("keep_fraction", self.keep_fraction, between(0, 1),
          "scorer mix: share of the tokens read so far that stays, protected ones included, the best by "
          "score; 0: those whose score is not below 0");
  }

  bool operator==(const MixConfig&) const = default;
};

/// All constants of a neural attention memory; with parameters and statistics they are the whole memory
/// (memory_file.h). Features, scorer and sharing span a family; the defaults are the paper's member of it.
struct NammConfig {
  int64_t period_tokens = 512;
  std::string heads = "ragged";
  int64_t cache_cap = 0;
  std::string positions = "original";
  SpectrogramConfig spectrogram;
  RecencyConfig recency;
  std::string spectral = "magnitude";
  std::string scorer = "bam";
  std::string sharing = "shared";
  OwnTransformer transformer;
  BamConfig bam;
  MlpConfig mlp;
  MixConfig mix;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("period_tokens", self.period_tokens, between(1, 1 << 20), "tokens between two updates");
    visit("heads", self.heads, one_of({"ragged", "parity"}),
          "ragged: every head keeps its own number of tokens; parity: one number a layer, as the released "
          "code");
    visit("cache_cap", self.cache_cap, at_least(0), "most tokens a head keeps at an update; 0: no cap");
    visit("positions", self.positions, one_of({"original", "compacted"}),
          "original: keys keep the rotation of the position they were read at; compacted: at an update each "
          "head's are rotated to consecutive positions");
    visit("spectrogram", self.spectrogram, "features: transform of the attention a token receives");
    visit("recency", self.recency, "features: embedding of a token's age");
    visit("features", self.spectral, one_of(spectral_feature_kinds()),
          "features: what is seen of the spectrogram's moving average; dc_only: its constant bin alone");
    visit("scorer", self.scorer, one_of({"bam", "mlp", "linear", "mix"}),
          "bam: attention over newer tokens; mlp, linear: of a token's own features; mix: one score a token "
          "for all heads, from all of them (policy namm-mix)");
    visit("parameters", self.sharing, one_of({"shared", "per_layer", "per_head"}),
          "one scorer for all heads, one a layer, or one a KV head; scorer mix: shared");
    visit("transformer", self.transformer,
          "model that the memory belongs to; given where the parameters depend on it (scorer mix, "
          "parameters per_layer and per_head)");
    visit("bam", self.bam, "the scorer bam");
    visit("mlp", self.mlp, "the scorer mlp");
    visit("mix", self.mix, "the scorer mix");
  }
  /// Not inline: GCC 12 takes strings of the inlined form for uninitialised.
  NammConfig();
  void check(const ConfigNode& node) const;  ///< relations between the fields

  /// The transform that the features need: `spectrogram`, with its complex parts where `features` says so.
  SpectrogramConfig needed_spectrogram() const;
  /// Numbers of a token that come from the spectrogram.
  int64_t spectral_count() const { return spectral_feature_count(spectral, spectrogram); }
  /// Numbers of a token that the scorer sees: recency, then spectral.
  int64_t features() const { return recency.dimension + spectral_count(); }
  bool mixes_heads() const { return scorer == "mix"; }
  /// Whether the parameters belong to one model.
  bool has_own_transformer() const { return mixes_heads() || sharing != "shared"; }

  /// Scorers that stand one after another in a parameter vector: 1, L or L * Hk (layer major).
  int64_t scorers() const;
  /// Which of them scores a KV head.
  int64_t scorer_of(int64_t layer, int64_t kv_head) const;
  /// Blocks of one of them.
  std::vector<ParameterBlock> scorer_layout() const;
  int64_t scorer_parameters() const;

  /// Of the whole vector: 4172 in the paper's setting.
  int64_t parameters() const { return scorers() * scorer_parameters(); }
  /// Blocks of the whole vector; names begin with `layer_<l>.` and `head_<h>.` where scorers differ.
  std::vector<ParameterBlock> layout() const;
  /// Where the biases of the scores stand.
  std::vector<int64_t> score_biases() const;

  /// Throws DataError where the parameters belong to another Transformer than `shape`; `where` begins the
  /// text.
  void require_transformer(const TransformerShape& shape, const std::string& where) const;

  bool operator==(const NammConfig&) const = default;
};

/// The constants without those that came after format 1 of memory files and have their default, so that files
/// and hashes of older memories stay what they were. `resolved`: a written NammConfig or a struct that begins
/// with one.
ConfigValue stored_form(ConfigValue resolved);

}  // namespace namm::memory
