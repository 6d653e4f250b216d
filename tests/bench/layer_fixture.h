#pragma once

#include <cstdint>
#include <memory>

#include <ATen/ATen.h>

#include "memory/session.h"
#include "tests/bench/torch_pipeline.h"

namespace namm::bench {

/// One layer of a Llama-like model (32 query heads, 8 KV heads of 128) that has read all but the last chunk
/// of `tokens` random tokens without forgetting any: once in a session, once in the baseline's pipeline. The
/// update after the last chunk forgets half of them. The session's row is forked for each run; `Run`s of both
/// programs start from the same state.
class LayerFixture {
 public:
  LayerFixture(int64_t tokens, uint64_t seed);
  ~LayerFixture();

  int64_t tokens() const { return tokens_; }

  /// Throws Mismatch unless both programs agree on the chunk's attention, the moving averages, what is kept
  /// (but for scores within rounding of 0) and the compacted cache. Returns the decisions that were so close.
  int64_t compare();

  /// Seconds of the last chunk's attention and of the update after it.
  struct Seconds {
    double attend = 0;
    double update = 0;
  };
  Seconds run_session();
  Seconds run_pipeline();
  /// The update on attention that the pipeline materialises from queries and keys without computing an
  /// output: `attend` is the materialising.
  Seconds run_pipeline_update();

  /// As run_session, on the fixture's own row: nothing is shared, and nothing runs after it.
  void consume_session();

 private:
  class LatePolicy;
  struct Chunk {
    at::Tensor q, k, v;  // [T, H, d], [T, Hk, d] twice
  };

  at::Tensor attend(memory::RowId row, const Chunk& chunk);
  void start_pipeline(const at::Tensor& last_queries);

  int64_t tokens_;
  std::shared_ptr<LatePolicy> policy_;
  std::unique_ptr<memory::Session> session_;
  memory::RowId row_ = 0;
  std::unique_ptr<TorchPipeline> pipeline_;
  Chunk last_;
};

}  // namespace namm::bench
