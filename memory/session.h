#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <ATen/ATen.h>

#include "memory/backend.h"
#include "memory/eviction_policy.h"
#include "memory/kv_cache.h"
#include "memory/protection.h"
#include "memory/rotation.h"
#include "memory/shape.h"

namespace namm::memory {

using RowId = int64_t;

struct SessionOptions {
  TransformerShape shape;
  at::ScalarType dtype = at::kFloat;  ///< of the cached keys and values
  at::Device device = at::kCPU;
  Backend backend = Backend::automatic;
  std::shared_ptr<const EvictionPolicy> policy;
  Needs extra_needs =
      {};  ///< computed for the observer beside what the policy needs (calibration under `full`)
  int64_t extra_period_tokens = 0;  ///< period of these updates where the policy itself has none
  Protection protect = {};          ///< its marked text is named row by row (Session::protect)
  PositionMode positions = PositionMode::original;
  at::Tensor inverse_frequencies = {};  ///< float32 [d / 2] of the model's rotary embedding; compacted
                                        ///< positions need it
};

/// When a session of these options updates, and what it computes for that. TORCH_CHECK: options that no
/// session can have.
struct UpdateSchedule {
  Needs needs;                ///< the policy's and the extra ones
  int64_t period_tokens = 0;  ///< 0: never
  bool evicts = false;        ///< the policy decides at updates; else they only serve the observer

  explicit UpdateSchedule(const SessionOptions& options);
  bool records() const { return period_tokens > 0 && needs.attention(); }  ///< queries and log-sum-exps
};

/// Bytes of one token's key and value in one layer and KV head after an update; a key that moves is held as
/// it was read, too.
int64_t token_bytes(const SessionOptions& options);

/// What the caches of such a session are made with.
CacheMoves cache_moves(const SessionOptions& options);

struct RowState;

/// What one row holds now.
struct CacheUsage {
  std::vector<int64_t> lengths;  ///< [L * Hk], tokens, layer major
  int64_t tokens = 0;            ///< sum of `lengths`
  int64_t cache_bytes = 0;       ///< allocated for keys (twice where they were moved) and values of this row;
                                 ///< shared parts count fully
  int64_t record_bytes = 0;      ///< queries, log-sum-exps and averages that decisions are made from
  int64_t peak_cache_bytes = 0;  ///< most so far of cache_bytes in this process, before each update and now;
                                 ///< while an update moves the cache, one head of a layer stands twice
  int64_t peak_record_bytes = 0;
  int64_t excess_tokens = 0;  ///< of `tokens`, kept at the last update beyond the budget because they are
                              ///< protected
};

/// Owns everything that grows with a sequence (design 3.2): keys, values and positions per (row, layer, KV
/// head), the queries and log-sum-exps since the last update (ring of period + n_fft - hop), the moving
/// averages and column sums. One `compact(keep)` moves all of it. A session belongs to one thread at a time;
/// several sessions run side by side.
class Session {
 public:
  explicit Session(const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// int64 CPU tensor [1] with this session's handle, the first argument of namm::attend.
  at::Tensor handle() const;

  RowId add_row(int64_t member = 0, int64_t tag = 0);

  /// A new row that continues `row`: its cache, ring and statistics so far are shared, not copied, until
  /// either changes them. Several questions about one context are asked from one prefill this way.
  RowId fork(RowId row, int64_t member, int64_t tag);
  void drop(RowId row);

  /// No update of the row or of its forks to come forgets tokens at these positions, read or still to be
  /// read.
  void protect(RowId row, std::span<const TokenSpan> spans);

  /// What the session holds of a row, to be stored (cache_file.h). While a copy of it lives, the row starts a
  /// new segment of its cache where it would have extended its last one.
  const RowState& state(RowId row) const;
  /// A new row that goes on from `state`, which a session of the same options must have left.
  RowId adopt(RowState state);

  /// Names the rows of the next step and how many new tokens each brings; the packed tokens of `attend` come
  /// in this order. Positions of the new tokens continue each row's own count.
  void begin_step(std::span<const RowId> rows, std::span<const int64_t> lengths);

  /// int64 [S], positions of the packed tokens of the current step, on the session's device.
  at::Tensor positions() const;

  /// The body of namm::attend for one layer: appends K and V, attends by position (pos[key] <= pos[query]),
  /// records Q and log-sum-exp where the policy needs attention. q [S, H, d], k, v [S, Hk, d]; returns [S, H,
  /// d].
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t layer,
                    double scale, int64_t window_tokens);

  /// Acts on the rows whose count of tokens reached a multiple of the period since their last update:
  /// features, the policy's decision, compaction, all layers, two read-backs. The caller calls it after every
  /// step; does nothing where no row is due. A step must not carry a row across a multiple of the period
  /// (TORCH_CHECK).
  void update();

  /// Tokens that `row` may still read before its next update falls due; INT64_MAX without a schedule.
  int64_t tokens_until_update(RowId row) const;
  int64_t tokens_processed(RowId row) const;

  CacheUsage usage(RowId row) const;

  /// Kept lengths [L * Hk] after each update of the row so far (forks inherit their parent's).
  const std::vector<std::vector<int64_t>>& kept_history(RowId row) const;

  /// Called with every update's view before the policy decides (calibration, reports, tests).
  using Observer = std::function<void(const UpdateView&)>;
  /// Called with every update's view and the decisions taken.
  using DecisionObserver = std::function<void(const UpdateView&, const std::vector<KeepDecision>&)>;
  void set_observer(Observer observer);
  void set_decision_observer(DecisionObserver observer);

  /// Copies of one segment's cache, oldest token first: keys, values [n, d], positions and the places that
  /// the keys are rotated to int64 [n]. For tests and reports.
  struct Segment {
    at::Tensor keys, values, positions, places;
  };
  Segment segment(RowId row, int64_t layer, int64_t kv_head) const;

  const SessionOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The session behind a handle of the session table; TORCH_CHECK fails on a handle of a session that is gone.
Session& session_of(int64_t handle);

}  // namespace namm::memory
