#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "memory/protection.h"
#include "models/tokenizer.h"

namespace namm::models {

/// Where marked text stands among the tokens that it was encoded to: every token that holds a byte of it, a
/// span an occurrence. Special tokens count with their own text. `first`: position of ids[0]. A mark whose
/// `to` is missing after `from` is not there.
std::vector<memory::TokenSpan> find_spans(const Tokenizer& codec, const std::vector<int64_t>& ids,
                                          const std::vector<memory::MarkedText>& marks, int64_t first = 0);

/// As find_spans. Throws DataError for a mark that is not in the text: nothing of it would be protected.
std::vector<memory::TokenSpan> require_spans(const Tokenizer& codec, const std::vector<int64_t>& ids,
                                             const std::vector<memory::MarkedText>& marks,
                                             const std::string& where);

}  // namespace namm::models
