#include "core/hdf5_envelope.h"

#include <algorithm>

#include "core/errors.h"
#include "core/sha256.h"
#include "core/text.h"

namespace namm {
namespace {

constexpr std::string_view tag = "namm HDF5 file with checksum, version 1\n";
constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";

// Bytes that agree with the tag: a damaged tag must not make the file pass as one without our block.
bool resembles_tag(std::string_view file) {
  std::size_t equal = 0;
  for (std::size_t i = 0; i < std::min(tag.size(), file.size()); ++i) {
    equal += file[i] == tag[i] ? 1 : 0;
  }
  return equal * 2 >= tag.size();
}

}  // namespace

std::string make_envelope(std::string_view content) {
  std::string block(tag);
  block += "bytes " + std::to_string(content.size()) + "\nsha256 " + sha256_hex(content) + "\n";
  block.resize(envelope_bytes, ' ');
  block.back() = '\n';
  return block;
}

EnvelopeState check_envelope(std::string_view file) {
  if (!resembles_tag(file)) {
    return EnvelopeState::absent;
  }
  const bool whole = file.size() >= envelope_bytes &&
                     file.substr(0, envelope_bytes) == make_envelope(file.substr(envelope_bytes));
  return whole ? EnvelopeState::right : EnvelopeState::wrong;
}

namespace {

bool has_hdf5_signature(std::string_view file) {
  // It stands at 0, or behind a user block of 512, 1024, ... bytes.
  for (std::size_t place = 0; place < file.size(); place = place == 0 ? 512 : 2 * place) {
    if (file.substr(place).starts_with(signature)) {
      return true;
    }
  }
  return false;
}

}  // namespace

void check_hdf5_bytes(std::string_view file, const std::filesystem::path& path, bool foreign) {
  const std::string name = path.string();
  if (file.empty()) {
    throw DataError(name + ": the file is empty, an HDF5 file is needed");
  }
  const EnvelopeState state = check_envelope(file);
  if (state == EnvelopeState::wrong) {
    std::string found = format_bytes(file.size());
    if (const std::size_t place = file.find("\nbytes "); place < envelope_bytes) {
      const std::string_view rest = file.substr(place + 7, 20);
      found += " of " + std::string(rest.substr(0, rest.find_first_not_of("0123456789"))) + " + 512 bytes";
    }
    throw DataError(name + ": truncated or damaged (" + found +
                    "; its SHA-256 is not the one it was written with); make or copy the file again");
  }
  if (state == EnvelopeState::absent && !has_hdf5_signature(file)) {
    throw DataError(name + ": is no HDF5 file, or a damaged one (its signature is missing)");
  }
  if (state == EnvelopeState::absent && !foreign) {
    throw DataError(
        name +
        ": carries no checksum, so it was not written by namm, or its beginning is lost; HDF5 is not "
        "safe on such files, name one that namm wrote");
  }
}

}  // namespace namm
