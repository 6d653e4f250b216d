#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memory/session.h"
#include "models/tokenizer.h"

namespace namm::experiments {

/// Of all (layer, KV head) pairs, the share that still hold each token that `row` has read: [tokens].
std::vector<double> held_shares(const memory::Session& session, memory::RowId row);

/// A prompt with what was forgotten marked, a letter of several tokens by the mean of their shares. With
/// `color` ANSI colours from plain (every head holds it) over yellow to struck red (no head does), and a
/// legend; without, [-text-] around what no head holds.
std::string mark_forgotten(const models::Tokenizer& codec, const std::vector<int64_t>& ids,
                           const std::vector<double>& shares, bool color);

}  // namespace namm::experiments
