#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/errors.h"
#include "evolution/queues/wire.h"

// An item message, and the body inside its seal: items that a worker can hold, or DataError. The seal's
// SHA-256 stops nearly every sealed input, so that the bodies are read directly as well.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace namm::evolution;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const wire::Kind kind : {wire::Kind::item, wire::Kind::candidate}) {
    try {
      const std::string_view body = wire::unseal(kind, "config", bytes);
      // Whatever is accepted is what `seal` writes.
      if (wire::seal(kind, "config", body) != bytes) std::abort();
    } catch (const namm::DataError&) {
    }
  }
  try {
    wire::ItemMessage message = wire::decode_item(bytes);
    for (const int64_t member : message.item.members) {
      if (member < 0 || member >= message.candidate_rows) std::abort();
    }
    // What a worker does next, with candidates of a size that fits here and is hashed in no time.
    const auto members = static_cast<int64_t>(message.item.members.size());
    if (std::max(message.candidate_rows, members) * message.dimension > 1 << 16) return 0;
    message.item.candidates =
        make_candidates(message.candidate_rows, message.dimension,
                        std::vector<double>(static_cast<size_t>(message.candidate_rows * message.dimension)));
    message.item.content_hash();
    const wire::ItemMessage again = wire::decode_item(wire::encode_item(message.item));
    if (again.item.id != message.item.id || again.item.members != message.item.members ||
        again.item.samples != message.item.samples || again.item.payload != message.item.payload) {
      std::abort();
    }
    describe(message.item.id);
  } catch (const namm::DataError&) {
  }
  try {
    wire::decode_candidate(bytes, static_cast<int64_t>(size / sizeof(float)));
  } catch (const namm::DataError&) {
    if (size % sizeof(float) == 0) std::abort();
  }
  return 0;
}
