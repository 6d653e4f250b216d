#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

// Internal to core: the first 512 bytes of our HDF5 files, which other readers skip (HDF5's "user block").
// They hold length and SHA-256 of the rest.
namespace namm {

inline constexpr std::size_t envelope_bytes = 512;

/// The block for a file whose bytes behind the block are `content`.
std::string make_envelope(std::string_view content);

enum class EnvelopeState { absent, right, wrong };
EnvelopeState check_envelope(std::string_view file);

/// Throws DataError unless `file` is whole: it carries our block, and the block's length and SHA-256 fit.
/// With `foreign` a file without the block passes when it starts like an HDF5 file.
void check_hdf5_bytes(std::string_view file, const std::filesystem::path& path, bool foreign);

}  // namespace namm
