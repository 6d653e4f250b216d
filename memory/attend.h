#pragma once

namespace namm::memory {

/// Registers the operator `namm::attend`, the one seam between a model and its memory (design 3.1). Its
/// schema stands in memory/attend.schema, which the exporter reads too:
///
///   q [S, H, d], k, v [S, Hk, d], position encoding applied; window_tokens: sliding window of the layer, 0 =
///   none; returns [S, H, d]. S: the packed tokens of the rows named by Session::begin_step. `session` is an
///   int64 CPU tensor [1] with a handle of the session table; it is marked mutable, or TorchScript would drop
///   calls as dead code.
///
/// Must run before an archive is loaded, else LibTorch reports "Unknown builtin op: namm::attend". Calling it
/// again does nothing.
void register_operators();

}  // namespace namm::memory
