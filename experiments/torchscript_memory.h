#pragma once

#include <filesystem>

#include "memory/memory_file.h"

namespace namm::experiments {

/// Writes a memory as a TorchScript module that plain `torch.jit.load` opens; no code of this project is
/// needed to use it. N cached tokens (the same number for all heads), Q new queries (a multiple of
/// hop_length), Hk KV heads:
///
///   forward(attention [Hk, Q, N] group mean, positions int64 [Hk, N], state Dict[str, Tensor]) -> (scores
///   [Hk, N], state) keep(scores, state) -> (bool [Hk, N], state)
///
/// An empty dictionary is the state of a new sequence. The state carries the moving averages of the cached
/// tokens and the attention of the last n_fft - hop_length queries; `keep` drops what it evicts. In mode
/// `ragged` heads may then hold different numbers of tokens: pass each head's tokens first, oldest first, and
/// fill the rest with position -1. Constants and provenance are attributes and the extra file
/// `namm_memory.yaml`. Throws DataError for another scorer than bam and for parameters of a layer's or head's
/// own, which have no such form; InfrastructureError when the disk fails.
void save_torchscript(const memory::MemoryFile& memory, const std::filesystem::path& path);

}  // namespace namm::experiments
