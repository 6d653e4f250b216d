#include "core/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_descriptor.h"
#include "core/files.h"
#include "core/hdf5.h"
#include "core/host.h"
#include "core/json_lines.h"
#include "core/text.h"

namespace namm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view checkpoint_prefix = "generation_";
constexpr std::string_view checkpoint_suffix = ".h5";

int take_lock(const fs::path& directory) {
  const fs::path path = directory / "lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    fail_system(path, "cannot be opened");
  }
  // A reader that looks whether the lock is taken (in_use) holds it for an instant.
  constexpr int most_tries = 10;
  constexpr std::chrono::milliseconds between_tries{10};
  int failed = ::flock(descriptor, LOCK_EX | LOCK_NB);
  for (int tries = 1; failed != 0 && errno == EWOULDBLOCK && tries < most_tries; ++tries) {
    std::this_thread::sleep_for(between_tries);
    failed = ::flock(descriptor, LOCK_EX | LOCK_NB);
  }
  if (failed != 0) {
    const int code = errno;
    ::close(descriptor);
    if (code == EWOULDBLOCK) {
      throw ConfigError(directory.string() +
                        ": another process works in this run directory; wait for it, or choose "
                        "another folder with --out");
    }
    errno = code;
    fail_system(path, "cannot be locked");
  }
  return descriptor;
}

std::string safe_name(std::string name) {
  std::replace(name.begin(), name.end(), '/', '-');
  if (name.empty() || name == "." || name == "..") {
    throw ConfigError("'" + name + "' cannot name a folder of a run directory");
  }
  return name;
}

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// Whether the path leads to something; what cannot be looked at counts as absent, and opening it tells why.
bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// Entries of a folder, none where it is not there. Throws InfrastructureError when it cannot be read.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; entry != end; entry.increment(error)) {
    paths.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw InfrastructureError(folder.string() + ": the folder cannot be read: " + error.message());
  }
  return paths;
}

void expect_run(const fs::path& path) {
  std::error_code error;
  const bool is_folder = fs::is_directory(path, error);
  if (error && error != std::errc::no_such_file_or_directory) {
    throw DataError(path.string() + ": cannot be opened: " + error.message());
  }
  if (!is_folder) {
    throw DataError(path.string() +
                    ": there is no such run directory; start one with `namm run CONFIG --out " +
                    path.string() + "`");
  }
  if (!is_there(path / "config.yaml")) {
    throw DataError(path.string() + ": is no run directory (it holds no config.yaml)");
  }
}

}  // namespace

RunDirectory RunDirectory::create(const fs::path& path) {
  if (path.has_parent_path()) {
    make_directories(path.parent_path());
  }
  if (::mkdir(path.c_str(), 0777) != 0) {
    if (errno == EEXIST) {
      throw ConfigError(path.string() + ": exists already; continue it with `namm run --resume " +
                        path.string() + "`, or choose another folder with --out");
    }
    fail_system(path, "folder cannot be made");
  }
  RunDirectory directory(path, take_lock(path));
  make_directories(path / "checkpoints");
  make_directories(path / "journal");
  sync_directory(path.has_parent_path() ? path.parent_path() : fs::path("."));
  return directory;
}

RunDirectory RunDirectory::open(const fs::path& path) {
  expect_run(path);
  RunDirectory directory(path, take_lock(path));
  make_directories(path / "checkpoints");
  make_directories(path / "journal");
  return directory;
}

RunDirectory RunDirectory::open_to_read(const fs::path& path) {
  expect_run(path);
  return {path, -1};
}

bool RunDirectory::in_use(const fs::path& path) {
  const int descriptor = ::open((path / "lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return false;
  }
  const bool taken = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return taken;
}

fs::path RunDirectory::next_free(const fs::path& path) {
  fs::path plain = path;
  if (!plain.has_filename()) {
    plain = plain.parent_path();  // "runs/x/"
  }
  fs::path candidate = plain;
  for (int number = 2; is_there(candidate); ++number) {
    candidate = plain.string() + "-" + std::to_string(number);
  }
  return candidate;
}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

RunDirectory& RunDirectory::operator=(RunDirectory&& other) noexcept {
  if (this != &other) {
    if (lock_ >= 0) {
      ::close(lock_);
    }
    path_ = std::move(other.path_);
    lock_ = std::exchange(other.lock_, -1);
  }
  return *this;
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) {
    ::close(lock_);
  }
}

std::string RunDirectory::name() const {
  return plain_path(path_).filename().string();
}

fs::path RunDirectory::memory(size_t stage) const {
  return path_ / ("memory_" + std::to_string(stage) + ".h5");
}

fs::path RunDirectory::checkpoint(int64_t generation) const {
  std::string number = std::to_string(generation);
  number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
  return path_ / "checkpoints" / (std::string(checkpoint_prefix) + number + std::string(checkpoint_suffix));
}

fs::path RunDirectory::journal(const std::string& name) const {
  make_directories(path_ / "journal");
  return path_ / "journal" / safe_name(name);
}

fs::path RunDirectory::predictions(const std::string& stage, const std::string& policy,
                                   const std::string& dataset) const {
  const fs::path folder = path_ / "predictions" / safe_name(stage) / safe_name(policy);
  make_directories(folder);
  return folder / (safe_name(dataset) + ".jsonl");
}

std::vector<CheckpointFile> RunDirectory::checkpoints() const {
  std::vector<CheckpointFile> found;
  for (const fs::path& path : entries_of(path_ / "checkpoints")) {
    const std::string name = path.filename().string();
    if (!name.starts_with(checkpoint_prefix) || !name.ends_with(checkpoint_suffix)) {
      continue;
    }
    const char* const begin = name.data() + checkpoint_prefix.size();
    const char* const end = name.data() + name.size() - checkpoint_suffix.size();
    CheckpointFile file{0, path};
    const auto [last, failure] = std::from_chars(begin, end, file.generation);
    if (begin < end && last == end && failure == std::errc() && file.generation >= 0) {
      found.push_back(std::move(file));
    }
  }
  std::sort(found.begin(), found.end(),
            [](const CheckpointFile& a, const CheckpointFile& b) { return a.generation < b.generation; });
  return found;
}

std::optional<CheckpointFile> RunDirectory::newest_checkpoint() const {
  const std::vector<CheckpointFile> files = checkpoints();
  const auto intact = std::find_if(files.rbegin(), files.rend(),
                                   [](const CheckpointFile& file) { return Hdf5File::intact(file.path); });
  return intact == files.rend() ? std::nullopt : std::optional(*intact);
}

void RunDirectory::remove_old_checkpoints(int64_t keep) const {
  const std::vector<CheckpointFile> files = checkpoints();
  std::error_code error;
  for (std::size_t i = 0; i + static_cast<std::size_t>(std::max<int64_t>(keep, 1)) < files.size(); ++i) {
    fs::remove(files[i].path, error);
  }
  for (const fs::path& folder : {path_, path_ / "checkpoints"}) {
    for (const fs::path& path : entries_of(folder)) {
      if (path.filename().string().find(".tmp-") != std::string::npos) {
        fs::remove(path, error);
      }
    }
  }
}

std::vector<nlohmann::json> RunDirectory::log_rows() const {
  std::vector<nlohmann::json> rows;
  if (!is_there(log())) {
    return rows;
  }
  const std::string text = read_file(log());
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    ++line;
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) {
      break;  // torn: a row is written with its newline
    }
    const std::string_view row = trim(std::string_view(text).substr(begin, end - begin));
    if (!row.empty()) {
      rows.push_back(parse_json(row, log().string() + ':' + std::to_string(line)));
    }
    begin = end + 1;
  }
  return rows;
}

void RunDirectory::append_log_row(const nlohmann::json& row) const {
  append_durably(log(), to_json_text(row) + '\n');
}

void RunDirectory::replace_log(const std::vector<nlohmann::json>& rows) const {
  std::string text;
  for (const nlohmann::json& row : rows) {
    text += to_json_text(row) + '\n';
  }
  write_atomically(log(), text);
}

void RunDirectory::write_provenance(const BuildInfo& build, const nlohmann::json& facts,
                                    const std::vector<std::string>& command_line) const {
  nlohmann::json entry = facts;
  entry["git_revision"] = build.git_revision;
  entry["git_dirty"] = build.git_dirty;
  entry["version"] = build.version;
  entry["compiler"] = build.compiler;
  entry["build_type"] = build.build_type;
  entry["command_line"] = command_line;
  entry["host"] = host_name();
  entry["time"] = utc_now();
  nlohmann::json document = read_provenance();
  if (document.is_null()) {
    document = entry;
  } else {
    document["resumed"].push_back(entry);
  }
  write_atomically(provenance(), to_json_text(document, 2) + '\n');
}

nlohmann::json RunDirectory::read_provenance() const {
  if (!is_there(provenance())) {
    return nullptr;
  }
  nlohmann::json document = read_json(provenance());
  const bool resumed_is_list =
      document.is_object() && document.value("resumed", nlohmann::json::array()).is_array();
  if (!resumed_is_list) {
    throw DataError(
        provenance().string() +
        ": must be an object, its entry \"resumed\" a list; move the file away to go on without it");
  }
  return document;
}

}  // namespace namm
