#include "memory/kv_cache.h"

#include <numeric>
#include <utility>

#include "memory/held_tensor.h"

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
  return static_cast<int64_t>(keys.nbytes() + values.nbytes() +
                              (read_keys.defined() ? read_keys.nbytes() : 0));
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

LayerCache::LayerCache(const TransformerShape& shape, const at::TensorOptions& options, CacheMoves moves)
    : head_dim_(shape.head_dim), options_(options), moves_(std::move(moves)), lengths_(shape.kv_heads, 0) {}

LayerCache::LayerCache(const TransformerShape& shape, const at::TensorOptions& options, CacheMoves moves,
                       std::vector<std::shared_ptr<CacheSegment>> segments)
    : LayerCache(shape, options, std::move(moves)) {
  segments_ = std::move(segments);
  for (const auto& segment : segments_) {
    for (int64_t h = 0; h < kv_heads(); ++h) lengths_[h] += segment->lengths[h];
    next_position_ = segment->growing() ? segment->first_position + segment->lengths[0]
                                        : segment->positions_of(0)[-1].item<int64_t>() + 1;
  }
}

void LayerCache::append(const at::Tensor& keys, const at::Tensor& values, int64_t first_position) {
  const int64_t tokens = keys.size(0);
  const int64_t heads = kv_heads();
  const bool extend = !segments_.empty() && segments_.back()->growing() && segments_.back().use_count() == 1;
  std::shared_ptr<CacheSegment> last = extend ? segments_.back() : std::make_shared<CacheSegment>();
  CacheSegment& segment = *last;
  if (!extend) {
    segment.first_position = first_position;
    segment.lengths.assign(heads, 0);
    segment.starts.assign(heads, 0);
  }
  const int64_t used = segment.lengths[0];
  if (used + tokens > segment.capacity) {
    const int64_t capacity = grown_capacity(used + tokens);
    // Both before either is filled: where memory ends, the cache is as it was.
    at::Tensor grown_keys = held_empty({heads * capacity, head_dim_}, options_),
               grown_values = held_empty({heads * capacity, head_dim_}, options_);
    const auto move = [&](at::Tensor& field, at::Tensor& grown) {
      for (int64_t h = 0; h < heads && used > 0; ++h) {
        const at::Tensor head = field.narrow(0, segment.starts[h], used);
        grown.narrow(0, h * capacity, used).copy_(head);
        give_back_pages(head);
      }
      field = std::move(grown);
    };
    move(segment.keys, grown_keys);
    move(segment.values, grown_values);
    segment.capacity = capacity;
    for (int64_t h = 0; h < heads; ++h) segment.starts[h] = h * capacity;
  }
  if (!extend) segments_.push_back(std::move(last));
  by_head(segment.keys, heads).narrow(1, used, tokens).copy_(keys.transpose(0, 1));
  by_head(segment.values, heads).narrow(1, used, tokens).copy_(values.transpose(0, 1));
  for (int64_t& n : segment.lengths) n += tokens;
  for (int64_t& n : lengths_) n += tokens;
  next_position_ = first_position + tokens;
}

int64_t LayerCache::tokens() const {
  return std::accumulate(lengths_.begin(), lengths_.end(), int64_t{0});
}

int64_t LayerCache::bytes() const {
  int64_t sum = 0;
  for (const auto& segment : segments_) sum += segment->bytes();
  return sum;
}

bool LayerCache::moved() const {
  return !segments_.empty() && segments_.front()->places.defined();
}

at::Tensor LayerCache::packed(const Piece& piece) const {
  std::vector<at::Tensor> pieces;
  for (int64_t h = 0; h < kv_heads(); ++h) {
    for (const auto& segment : segments_) pieces.push_back(piece(*segment, h));
  }
  return at::cat(pieces);
}

at::Tensor LayerCache::packed_keys() const {
  if (segments_.empty()) return at::empty({0, head_dim_}, options_);
  if (segments_.size() == 1 && !segments_[0]->growing()) return segments_[0]->keys;
  return packed([](const CacheSegment& segment, int64_t h) { return segment.keys_of(h); });
}

at::Tensor LayerCache::packed_values() const {
  if (segments_.empty()) return at::empty({0, head_dim_}, options_);
  if (segments_.size() == 1 && !segments_[0]->growing()) return segments_[0]->values;
  return packed([](const CacheSegment& segment, int64_t h) { return segment.values_of(h); });
}

at::Tensor LayerCache::packed_positions() const {
  if (segments_.empty()) return at::empty({0}, options_.dtype(at::kLong));
  if (segments_.size() == 1 && !segments_[0]->growing()) return segments_[0]->positions;
  return packed([](const CacheSegment& segment, int64_t h) { return segment.positions_of(h); });
}

at::Tensor LayerCache::places_of(const CacheSegment& segment, int64_t h) const {
  if (segment.places.defined()) return segment.places.narrow(0, segment.starts[h], segment.lengths[h]);
  return segment.positions_of(h).unsqueeze(1).expand({-1, 1 + moves_.remembered_updates});
}

at::Tensor LayerCache::packed_places() const {
  if (!moved()) return packed_positions();
  return packed(
      [this](const CacheSegment& segment, int64_t h) { return places_of(segment, h).select(1, 0); });
}

at::Tensor LayerCache::moved_keys_before(int64_t updates) const {
  TORCH_INTERNAL_ASSERT(moved() && updates >= 1 && updates <= moves_.remembered_updates);
  const CacheSegment& segment = *segments_.front();
  return rotated(segment.read_keys, segment.positions, segment.places.select(1, updates),
                 moves_.inverse_frequencies);
}

// Head by head, so that no more than one head's tokens are copied beside the old and the new rows; of the old
// ones nothing at their last use, where no fork holds them.
void LayerCache::gather(const Piece& piece, const at::Tensor& index, const std::vector<int64_t>& lengths,
                        Use use, at::Tensor& rows) const {
  int64_t first = 0, head_first = 0;
  for (int64_t h = 0; h < kv_heads(); ++h) {
    std::vector<at::Tensor> pieces;
    for (const auto& segment : segments_) pieces.push_back(piece(*segment, h));
    const at::Tensor head = pieces.size() == 1 ? pieces[0] : at::cat(pieces);
    at::Tensor target = rows.narrow(0, first, lengths[h]);
    at::index_select_out(target, head, 0, index.narrow(0, first, lengths[h]) - head_first);
    for (size_t s = 0; s < pieces.size() && use == Use::last; ++s) {
      if (segments_[s].use_count() == 1) give_back_pages(pieces[s]);
    }
    first += lengths[h];
    head_first += lengths_[h];
  }
}

void LayerCache::compact(const at::Tensor& index, std::vector<int64_t> lengths) {
  auto segment = std::make_shared<CacheSegment>();
  segment->starts.resize(lengths.size());
  std::exclusive_scan(lengths.begin(), lengths.end(), segment->starts.begin(), int64_t{0});
  segment->lengths = lengths;
  // All large ones before an old one is touched: where memory ends, the cache is as it was.
  const int64_t kept = index.size(0);
  segment->values = held_empty({kept, head_dim_}, options_);
  at::Tensor keys = held_empty({kept, head_dim_}, options_);
  segment->positions = held_empty({kept}, options_.dtype(at::kLong));
  if (moves_.moves())
    segment->places = held_empty({kept, 1 + moves_.remembered_updates}, options_.dtype(at::kLong));
  const auto positions_of = [](const CacheSegment& s, int64_t h) { return s.positions_of(h); };
  gather(positions_of, index, lengths, Use::not_last, segment->positions);
  if (moves_.moves()) {
    const auto places = [this](const CacheSegment& s, int64_t h) { return places_of(s, h); };
    gather(places, index, lengths, Use::not_last, segment->places);
    std::vector<at::Tensor> now;
    for (const int64_t n : lengths)
      now.push_back(at::arange(next_position_ - n, next_position_, index.options()));
    const at::Tensor earlier = segment->places.narrow(1, 0, moves_.remembered_updates).clone();
    segment->places.narrow(1, 1, moves_.remembered_updates).copy_(earlier);
    segment->places.select(1, 0).copy_(at::cat(now));
  }
  // Moved keys need further memory below, so that nothing may go before.
  const Use use = moves_.moves() ? Use::not_last : Use::last;
  const auto values_of = [](const CacheSegment& s, int64_t h) { return s.values_of(h); };
  gather(values_of, index, lengths, use, segment->values);
  const auto read_keys_of = [](const CacheSegment& s, int64_t h) {
    return s.read_keys.defined() ? s.read_keys.narrow(0, s.starts[h], s.lengths[h]) : s.keys_of(h);
  };
  gather(read_keys_of, index, lengths, use, keys);
  if (moves_.moves()) {
    segment->read_keys = keys;
    keys = rotated(segment->read_keys, segment->positions, segment->places.select(1, 0),
                   moves_.inverse_frequencies);
  }
  segment->keys = std::move(keys);
  lengths_ = std::move(lengths);
  segments_.assign(1, std::move(segment));
}

}  // namespace namm::memory
