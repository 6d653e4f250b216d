#include <cstddef>
#include <cstdint>
#include <string>

#include "core/errors.h"
#include "models/contract.h"

// The contract of an archive: read, or refused with a DataError.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    namm::models::Contract::parse(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
  } catch (const namm::DataError&) {
  }
  return 0;
}
