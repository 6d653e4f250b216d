#include "memory/kv_cache.h"

#include <numeric>
#include <utility>

namespace namm::memory {
namespace {

// Room is added in small steps: a step of attention reads the whole cache anyway, so a copy every 16 to 64
// tokens is lost in it, and what is allocated stays close to what is used.
int64_t grown_capacity(int64_t needed) {
  const int64_t step = needed < 512 ? 16 : 64;
  return (needed + step - 1) / step * step;
}

at::Tensor by_head(const at::Tensor& rows, int64_t heads) {
  return rows.view({heads, -1, rows.size(1)});
}

}  // namespace

bool CacheSegment::even() const {
  const size_t heads = lengths.size();
  for (size_t h = 1; h < heads; ++h) {
    if (lengths[h] != lengths[0] || starts[h] - starts[h - 1] != starts[1] - starts[0]) return false;
  }
  return true;
}

int64_t CacheSegment::bytes() const {
  return static_cast<int64_t>(keys.nbytes() + values.nbytes());
}

at::Tensor CacheSegment::keys_of(int64_t kv_head) const {
  return keys.narrow(0, starts[kv_head], lengths[kv_head]);
}

at::Tensor CacheSegment::values_of(int64_t kv_head) const {
  return values.narrow(0, starts[kv_head], lengths[kv_head]);
}

at::Tensor CacheSegment::positions_of(int64_t kv_head) const {
  if (growing()) {
    return at::arange(first_position, first_position + lengths[kv_head], keys.options().dtype(at::kLong));
  }
  return positions.narrow(0, starts[kv_head], lengths[kv_head]);
}

LayerCache::LayerCache(const TransformerShape& shape, const at::TensorOptions& options)
    : head_dim_(shape.head_dim), options_(options), lengths_(shape.kv_heads, 0) {}

void LayerCache::append(const at::Tensor& keys, const at::Tensor& values, int64_t first_position) {
  const int64_t tokens = keys.size(0);
  const int64_t heads = kv_heads();
  const bool extend = !segments_.empty() && segments_.back()->growing() && segments_.back().use_count() == 1;
  if (!extend) {
    auto segment = std::make_shared<CacheSegment>();
    segment->first_position = first_position;
    segment->lengths.assign(heads, 0);
    segment->starts.assign(heads, 0);
    segments_.push_back(std::move(segment));
  }
  CacheSegment& segment = *segments_.back();
  const int64_t used = segment.lengths[0];
  if (used + tokens > segment.capacity) {
    const int64_t capacity = grown_capacity(used + tokens);
    for (at::Tensor* field : {&segment.keys, &segment.values}) {
      at::Tensor grown = at::empty({heads * capacity, head_dim_}, options_);
      if (used > 0) by_head(grown, heads).narrow(1, 0, used).copy_(by_head(*field, heads).narrow(1, 0, used));
      *field = std::move(grown);
    }
    segment.capacity = capacity;
    for (int64_t h = 0; h < heads; ++h) segment.starts[h] = h * capacity;
  }
  by_head(segment.keys, heads).narrow(1, used, tokens).copy_(keys.transpose(0, 1));
  by_head(segment.values, heads).narrow(1, used, tokens).copy_(values.transpose(0, 1));
  for (int64_t& n : segment.lengths) n += tokens;
  for (int64_t& n : lengths_) n += tokens;
}

int64_t LayerCache::tokens() const {
  return std::accumulate(lengths_.begin(), lengths_.end(), int64_t{0});
}

int64_t LayerCache::bytes() const {
  int64_t sum = 0;
  for (const auto& segment : segments_) sum += segment->bytes();
  return sum;
}

at::Tensor LayerCache::packed(at::Tensor CacheSegment::*field) const {
  if (segments_.size() == 1 && !segments_[0]->growing()) return (*segments_[0]).*field;
  std::vector<at::Tensor> pieces;
  for (int64_t h = 0; h < kv_heads(); ++h) {
    for (const auto& segment : segments_) {
      pieces.push_back(((*segment).*field).narrow(0, segment->starts[h], segment->lengths[h]));
    }
  }
  if (pieces.empty()) return at::empty({0, head_dim_}, options_);
  return at::cat(pieces);
}

at::Tensor LayerCache::packed_keys() const {
  return packed(&CacheSegment::keys);
}

at::Tensor LayerCache::packed_values() const {
  return packed(&CacheSegment::values);
}

at::Tensor LayerCache::packed_positions() const {
  if (segments_.size() == 1 && !segments_[0]->growing()) return segments_[0]->positions;
  std::vector<at::Tensor> pieces;
  for (int64_t h = 0; h < kv_heads(); ++h) {
    for (const auto& segment : segments_) pieces.push_back(segment->positions_of(h));
  }
  if (pieces.empty()) return at::empty({0}, options_.dtype(at::kLong));
  return at::cat(pieces);
}

void LayerCache::compact(const at::Tensor& index, std::vector<int64_t> lengths) {
  auto segment = std::make_shared<CacheSegment>();
  segment->keys = packed_keys().index_select(0, index);
  segment->values = packed_values().index_select(0, index);
  segment->positions = packed_positions().index_select(0, index);
  segment->starts.resize(lengths.size());
  std::exclusive_scan(lengths.begin(), lengths.end(), segment->starts.begin(), int64_t{0});
  segment->lengths = lengths;
  lengths_ = std::move(lengths);
  segments_.assign(1, std::move(segment));
}

}  // namespace namm::memory
