#include "memory/protection.h"

#include <algorithm>

namespace namm::memory {

void MarkedText::check(const ConfigNode& node) const {
  if (from.empty()) node.fail_entry("from", "\"\"", "a text that the stretch begins with");
}

at::Tensor protected_tokens(const at::Tensor& positions, int64_t tokens_processed,
                            const Protection& protection, const std::vector<TokenSpan>& spans) {
  const int64_t recent = std::max<int64_t>(1, protection.recent_tokens);
  at::Tensor result = (positions < protection.sinks).logical_or_(positions >= tokens_processed - recent);
  for (const TokenSpan& span : spans)
    result.logical_or_((positions >= span.begin).logical_and_(positions < span.end));
  return result;
}

}  // namespace namm::memory
