#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evolution/work_item.h"

/// What travels between machines. Every message is sealed: kind, version, the run's configuration, the body
/// and a SHA-256 over all of it, so that foreign, truncated and damaged messages are told from ours.
namespace namm::evolution::wire {

enum class Kind : uint8_t { item = 1, result = 2, candidate = 3, shared = 4 };

std::string seal(Kind kind, std::string_view config_sha256, std::string_view body);
/// The body, a view into `message`. Throws DataError: not ours, damaged, of another kind, version or
/// configuration.
std::string_view unseal(Kind kind, std::string_view config_sha256, std::string_view message);

/// An item without what its batch shares: candidates and shared bytes are fetched by their places.
struct ItemMessage {
  WorkItem item;               ///< `candidates` and `shared` null, `delivery` 1
  int64_t candidate_rows = 0;  ///< of the batch's matrix
  int64_t dimension = 0;
  bool has_shared = false;
  std::string content_hash;  ///< of the whole item
};

std::string encode_item(const WorkItem& item);
/// Throws DataError; never allocates more than the bytes can justify. Members lie within `candidate_rows`.
ItemMessage decode_item(std::string_view body);

/// One row of a candidate matrix, float32 little endian.
std::string encode_candidate(std::span<const float> values);
/// Throws DataError unless there are `dimension` numbers.
std::vector<float> decode_candidate(std::string_view body, int64_t dimension);

}  // namespace namm::evolution::wire
