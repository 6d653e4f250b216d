#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/errors.h"
#include "evolution/named_array.h"
#include "evolution/work_item.h"

// A worker's result, and the arrays inside the results of a calibration: read or refused with DataError, and
// what is read is written as the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace namm::evolution;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const WorkResult result = decode_result(bytes);
    if (encode(result) != bytes) std::abort();
    if (!result.same_outcome(result)) std::abort();
    decode_arrays(result.bytes);
  } catch (const namm::DataError&) {
  }
  try {
    const NamedArrays arrays = decode_arrays(bytes);
    if (encode(arrays) != bytes) std::abort();
    for (const NamedArray& array : arrays) array.elements();
  } catch (const namm::DataError&) {
  }
  return 0;
}
