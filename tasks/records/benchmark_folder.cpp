#include "tasks/records/benchmark_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/records/zip_archive.h"

namespace namm::tasks {
namespace {

class PlainFolder : public BenchmarkFolder {
 public:
  explicit PlainFolder(const std::filesystem::path& path) : BenchmarkFolder(path) {
    std::error_code error;
    using Options = std::filesystem::directory_options;
    const Options options = Options::follow_directory_symlink | Options::skip_permission_denied;
    for (std::filesystem::recursive_directory_iterator entry(path, options, error), end;
         !error && entry != end; entry.increment(error)) {
      if (entry.depth() > 0 && entry->is_directory(error)) entry.disable_recursion_pending();
      if (entry->is_regular_file(error))
        files_.push_back(entry->path().lexically_relative(path).generic_string());
    }
    if (error) throw DataError(format_text("{}: cannot be read: {}", path.string(), error.message()));
    std::ranges::sort(files_);
  }

  const std::vector<std::string>& files() const override { return files_; }

  std::unique_ptr<std::istream> read(const std::string& file) const override {
    errno = 0;
    auto stream = std::make_unique<std::ifstream>(path() / file, std::ios::binary);
    if (!*stream)
      throw DataError(format_text("{}: cannot be opened: {}", name_of(file), std::strerror(errno)));
    return stream;
  }

 private:
  std::vector<std::string> files_;
};

}  // namespace

std::unique_ptr<const BenchmarkFolder> BenchmarkFolder::open(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return std::make_unique<PlainFolder>(path);
  if (std::filesystem::is_regular_file(path, ignored)) return open_zip_archive(path);
  throw DataError(format_text("{}: not there: name a folder with the benchmark's files or its zip archive",
                              path.string()));
}

std::string BenchmarkFolder::find(const std::string& name) const {
  const auto is_there = [&](const std::string& file) { return std::ranges::binary_search(files(), file); };
  for (const std::string& file : {name, "data/" + name}) {
    if (is_there(file)) return file;
  }
  std::string found;
  for (const std::string& file : files()) {
    if (!file.ends_with("/" + name)) continue;
    if (!found.empty()) {
      throw DataError(format_text("{} and {}: which of the two is meant is not clear: name their folder",
                                  name_of(found), name_of(file)));
    }
    found = file;
  }
  return found;
}

}  // namespace namm::tasks
