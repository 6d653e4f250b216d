#pragma once

#include <filesystem>

#include <nlohmann/json_fwd.hpp>

namespace namm::tasks {

/// What of the benchmarks is in a folder or zip archive, every record looked at (`namm data check`):
///
///     {"path", "benchmarks": [{"benchmark", "origin", "files": [{"file", "task", "records",
///     "official_records",
///      "bad_records", "bad": [text...], "error"}], "missing": [file...]}]}
///
/// `bad` names the first bad records with file:line, `error` is why a file cannot be used at all, else null;
/// `missing` are the official files that are not there. A benchmark of which nothing is there has no entry.
/// `dictionaries`: as in DataConfig. Throws DataError when the path cannot be read or holds no file of any
/// benchmark.
nlohmann::ordered_json check_data(const std::filesystem::path& path,
                                  const std::filesystem::path& dictionaries);

}  // namespace namm::tasks
