#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "core/token_codec.h"
#include "models/contract.h"

namespace namm::models {

/// A Transformer in one file: TorchScript methods, contract, tokenizer (design 3.1). Immutable after loading; one archive
/// serves several threads and sessions at once.
class Archive {
 public:
  /// Registers namm::attend, checks the contract, loads the weights onto `device`. Throws DataError: missing, truncated or
  /// foreign file, wrong contract version, method missing.
  static std::shared_ptr<const Archive> load(const std::filesystem::path& path, at::Device device = at::kCPU);
  ~Archive();

  const Contract& contract() const;
  const std::filesystem::path& path() const;
  at::Device device() const;
  at::ScalarType dtype() const;
  std::string sha256() const;  ///< of the file

  /// The tokenizer inside; throws DataError where the archive has none.
  const TokenCodec& codec() const;
  bool has_codec() const;

  /// ids int64 [S] -> [S, hidden]
  at::Tensor embed(const at::Tensor& ids) const;
  /// x [S, hidden], positions int64 [S], session int64 [1] -> [S, hidden], through namm::attend
  at::Tensor step(const at::Tensor& x, const at::Tensor& positions, const at::Tensor& session) const;
  /// hidden [n, hidden] -> float32 [n, vocabulary]
  at::Tensor logits(const at::Tensor& hidden) const;

 private:
  Archive();
  struct State;
  std::unique_ptr<State> state_;
};

/// LibTorch's run-time switches that every program of ours wants: profiling executor and fuser off (no re-specialisation
/// stalls). Called by Archive::load; harmless twice.
void prepare_runtime();

}  // namespace namm::models
