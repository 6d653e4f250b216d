#pragma once

#include <filesystem>
#include <memory>

#include "tasks/records/benchmark_folder.h"

namespace namm::tasks {

/// A zip archive as a BenchmarkFolder, through libzip. Its streams unpack as they are read: going back begins
/// anew. Throws DataError as BenchmarkFolder::open says.
std::unique_ptr<const BenchmarkFolder> open_zip_archive(const std::filesystem::path& path);

}  // namespace namm::tasks
