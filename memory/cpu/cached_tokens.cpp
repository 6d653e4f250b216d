#include "memory/cpu/cached_tokens.h"

namespace namm::memory::cpu {
namespace {

const void* row_of(const at::Tensor& rows, int64_t row) {
  return static_cast<const char*>(rows.const_data_ptr()) +
         static_cast<size_t>(row * rows.stride(0)) * rows.element_size();
}

size_t element_bytes(ElementType type) {
  return type == ElementType::float32 ? sizeof(float) : sizeof(uint16_t);
}

}  // namespace

std::vector<Tokens> tokens_of(const LayerCache& cache, int64_t kv_head) {
  std::vector<Tokens> result;
  for (const auto& segment : cache.segments()) {
    if (segment->lengths[kv_head] == 0) continue;
    const int64_t start = segment->starts[kv_head];
    TORCH_INTERNAL_ASSERT(segment->keys.is_contiguous() && segment->values.is_contiguous());
    result.push_back(
        {.keys = row_of(segment->keys, start),
         .values = row_of(segment->values, start),
         .positions = segment->growing() ? nullptr : segment->positions.const_data_ptr<int64_t>() + start,
         .first_position = segment->first_position,
         .count = static_cast<size_t>(segment->lengths[kv_head]),
         .type = segment->keys.scalar_type() == at::kFloat ? ElementType::float32 : ElementType::bfloat16});
  }
  return result;
}

Tokens part_of(const Tokens& tokens, size_t first, size_t count, int64_t head_dim) {
  const size_t bytes = first * static_cast<size_t>(head_dim) * element_bytes(tokens.type);
  Tokens part = tokens;
  part.keys = static_cast<const char*>(tokens.keys) + bytes;
  if (tokens.values) part.values = static_cast<const char*>(tokens.values) + bytes;
  if (tokens.positions) part.positions = tokens.positions + first;
  part.first_position = tokens.first_position + static_cast<int64_t>(first);
  part.count = count;
  return part;
}

}  // namespace namm::memory::cpu
