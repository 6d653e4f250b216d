#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace namm {

/// All bytes of a file. Throws DataError with the path and the system's reason.
std::string read_file(const std::filesystem::path& path);

/// Writes a temporary neighbour, fsyncs it, renames it over `path` and fsyncs the directory: after a crash
/// `path` holds either its old or its new bytes. Throws InfrastructureError (disk full, no permission); the
/// old file then still stands.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Appends `bytes` with one write and fsyncs; on failure the file is cut back to its old length and
/// InfrastructureError is thrown.
void append_durably(const std::filesystem::path& path, std::string_view bytes);

/// The absolute path without "." and without a slash at its end.
std::filesystem::path plain_path(const std::filesystem::path& path);

/// Creates the directory and its parents. Throws InfrastructureError.
void make_directories(const std::filesystem::path& path);

/// Makes a rename or creation inside `directory` survive power loss. Throws InfrastructureError.
void sync_directory(const std::filesystem::path& directory);

}  // namespace namm
