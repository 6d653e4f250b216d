#include "tasks/text/continuation.h"

#include <algorithm>
#include <cstddef>

namespace namm::tasks {

std::vector<int64_t> encode_continuation(const TokenCodec& codec, std::string_view text) {
  const std::vector<int64_t> before = codec.encode(".");
  std::vector<int64_t> ids = codec.encode("." + std::string(text));
  if (ids.size() < before.size() || !std::equal(before.begin(), before.end(), ids.begin()))
    return codec.encode_continued(text);  // the full stop became one token with what follows
  ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(before.size()));
  return ids;
}

const std::vector<int64_t>& ContinuationCache::operator()(const std::string& text) {
  const auto [entry, is_new] = ids_.try_emplace(text);
  if (is_new) entry->second = encode_continuation(codec_, text);
  return entry->second;
}

}  // namespace namm::tasks
