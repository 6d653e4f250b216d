#include "memory/segments.h"

#include <algorithm>

namespace namm::memory {

void check_offsets(const std::vector<int64_t>& offsets, int64_t tokens, int64_t kv_heads) {
  TORCH_CHECK(!offsets.empty() && offsets.front() == 0 && offsets.back() == tokens,
              "[segments] offsets must run from 0 to ", tokens, " tokens, are ", offsets);
  for (size_t s = 1; s < offsets.size(); ++s) {
    TORCH_CHECK(offsets[s - 1] <= offsets[s], "[segments] offsets fall at ", s, ": ", offsets);
  }
  TORCH_CHECK(kv_heads > 0 && static_cast<int64_t>(offsets.size() - 1) % kv_heads == 0, "[segments] ",
              offsets.size() - 1, " segments are no whole rows of ", kv_heads, " KV heads");
}

at::Tensor segment_ids(const std::vector<int64_t>& offsets, at::Device device) {
  at::Tensor ids = at::empty({offsets.back()}, at::kLong);
  int64_t* out = ids.mutable_data_ptr<int64_t>();
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    std::fill(out + offsets[s], out + offsets[s + 1], static_cast<int64_t>(s));
  }
  return ids.to(device);
}

at::Tensor newest_indices(const std::vector<int64_t>& offsets, at::Device device) {
  std::vector<int64_t> newest;
  for (size_t s = 0; s + 1 < offsets.size(); ++s) {
    if (offsets[s] < offsets[s + 1]) newest.push_back(offsets[s + 1] - 1);
  }
  return at::tensor(newest, at::kLong).to(device);
}

at::Tensor segment_counts(const at::Tensor& flags, const std::vector<int64_t>& offsets) {
  const at::Tensor sums =
      at::cat({at::zeros({1}, flags.options().dtype(at::kLong)), flags.cumsum(0, at::kLong)});
  const at::Tensor borders = sums.index_select(0, at::tensor(offsets, at::kLong).to(flags.device()));
  return borders.diff();
}

}  // namespace namm::memory
