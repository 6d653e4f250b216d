#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/build_info.h"

namespace namm {

/// A checkpoint file and the generation in its name.
struct CheckpointFile {
  int64_t generation = 0;
  std::filesystem::path path;
};

/// The directory of one run (design 5): where each file stands, and a lock that keeps two processes from
/// sharing it. The lock is held while the object lives and ends with the process, however that ends.
class RunDirectory {
 public:
  /// Makes the directory. Throws ConfigError when it exists (naming --resume and another --out),
  /// InfrastructureError when it cannot be made.
  static RunDirectory create(const std::filesystem::path& path);
  /// Throws DataError when it is missing or holds no config.yaml, ConfigError when another process works in
  /// it.
  static RunDirectory open(const std::filesystem::path& path);
  /// For readers (`namm table`, `namm status`): no lock is taken, nothing is written.
  static RunDirectory open_to_read(const std::filesystem::path& path);
  /// Whether a process holds the lock of the run directory at `path` now; false where there is no such lock.
  /// For readers: whoever works in it is not disturbed, whoever is about to gets the lock a moment later.
  static bool in_use(const std::filesystem::path& path);
  /// `path`, or the first of path-2, path-3, ... that does not exist.
  static std::filesystem::path next_free(const std::filesystem::path& path);

  RunDirectory(RunDirectory&& other) noexcept;
  RunDirectory& operator=(RunDirectory&& other) noexcept;
  ~RunDirectory();

  const std::filesystem::path& path() const { return path_; }
  /// The folder's own name, also where it was given as "runs/x/" or ".".
  std::string name() const;
  std::filesystem::path config() const { return path_ / "config.yaml"; }
  std::filesystem::path provenance() const { return path_ / "provenance.json"; }
  std::filesystem::path log() const { return path_ / "log.jsonl"; }
  std::filesystem::path checkpoint(int64_t generation) const;
  /// journal/<name>; the folder is made.
  std::filesystem::path journal(const std::string& name) const;
  /// predictions/<stage>/<policy>/<dataset>.jsonl; folders are made, '/' inside a name becomes '-'.
  std::filesystem::path predictions(const std::string& stage, const std::string& policy,
                                    const std::string& dataset) const;
  std::filesystem::path results() const { return path_ / "results.h5"; }
  std::filesystem::path memory() const { return path_ / "memory.h5"; }
  /// memory_<stage>.h5: the answer of one evolve stage of several; memory.h5 is then a copy of the last.
  std::filesystem::path memory(size_t stage) const;
  std::filesystem::path table() const { return path_ / "table.md"; }

  /// All checkpoint files, oldest first, damaged ones included.
  std::vector<CheckpointFile> checkpoints() const;
  /// The newest checkpoint whose checksum is right.
  std::optional<CheckpointFile> newest_checkpoint() const;
  /// Deletes all but the newest `keep` checkpoints, and temporary files left by a killed writer.
  void remove_old_checkpoints(int64_t keep) const;

  /// Rows of log.jsonl; a last row torn by a crash is left out. A missing file has no rows.
  std::vector<nlohmann::json> log_rows() const;
  void append_log_row(const nlohmann::json& row) const;
  /// Replaces log.jsonl in one step (resume drops rows that have no checkpoint).
  void replace_log(const std::vector<nlohmann::json>& rows) const;

  /// provenance.json: `facts` of the caller (versions of libraries, device, seed), the build (git revision
  /// and dirty flag, compiler), command line, host and time. An existing file keeps its first entry; a resume
  /// adds one. Throws DataError when the existing file is no such document.
  void write_provenance(const BuildInfo& build, const nlohmann::json& facts,
                        const std::vector<std::string>& command_line) const;
  /// provenance.json, an object; null where there is none. Throws DataError.
  nlohmann::json read_provenance() const;

 private:
  RunDirectory(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::filesystem::path path_;
  int lock_ = -1;
};

}  // namespace namm
