#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/ATen.h>

#include "models/contract.h"
#include "models/tokenizer.h"

namespace namm::models {

/// A Transformer in one file: TorchScript methods, contract, tokenizer (design 3.1). Immutable after loading;
/// one archive serves several threads and sessions at once.
class Archive {
 public:
  /// Registers namm::attend, checks the contract and every checksum, loads the weights onto `device`. Throws
  /// DataError: missing, truncated, damaged or foreign file, wrong contract version, archive of another
  /// torch, method missing.
  static std::shared_ptr<const Archive> load(const std::filesystem::path& path, at::Device device = at::kCPU);

  /// The contract alone, without loading a weight. Throws DataError as `load` does for what it reads.
  static Contract read_contract(const std::filesystem::path& path);

  ~Archive();

  const Contract& contract() const;
  const std::filesystem::path& path() const;
  at::Device device() const;
  at::ScalarType dtype() const;
  /// Of the file that was loaded, 64 hexadecimal letters; read when first asked for.
  const std::string& sha256() const;

  /// float32 [head_dim / 2] on the processor: the angle of pair (i, i + head_dim / 2) of queries and keys at
  /// position p is the float32 product p * frequency[i] (models/export/rope.py). Throws DataError where the
  /// model has no rotary position embedding.
  at::Tensor inverse_frequencies() const;

  /// The tokenizer inside; throws DataError where the archive has none.
  const Tokenizer& codec() const;
  bool has_codec() const;

  /// Ids of a prompt: the tokenizer's prefix, then `text`, between the chat form's two parts where `chat`;
  /// special tokens that stand in `text` itself stay text. Throws ConfigError where the model has no chat
  /// form, DataError as `codec`.
  std::vector<int64_t> encode_prompt(std::string_view text, bool chat) const;
  /// The same in two pieces, a context and what is asked about it, each encoded by itself: prefix, the chat
  /// form's first part and `context`; `question` and the chat form's second part.
  std::vector<int64_t> encode_chat_begin(std::string_view context) const;
  std::vector<int64_t> encode_chat_end(std::string_view question) const;

  /// ids int64 [S] -> [S, hidden]. Throws DataError on an id outside the vocabulary.
  at::Tensor embed(const at::Tensor& ids) const;
  /// x [S, hidden], positions int64 [S], session int64 [1] -> [S, hidden], through namm::attend
  at::Tensor step(const at::Tensor& x, const at::Tensor& positions, const at::Tensor& session) const;
  /// hidden [n, hidden] -> float32 [n, vocabulary]
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  Archive();
  /// Throws ConfigError where the model has no chat form.
  const Contract& chat_contract() const;
  struct State;
  std::unique_ptr<State> state_;
};

/// LibTorch's run-time switches that every program of ours wants: profiling executor and fuser off (no
/// re-specialisation stalls). Called by Archive::load; harmless twice.
void prepare_runtime();

}  // namespace namm::models
