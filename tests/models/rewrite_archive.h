#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include <caffe2/serialize/inline_container.h>

#include "models/package_file.h"

namespace namm::testing {

struct RewriteOptions {
  uint64_t alignment = 64;
  bool deflates_weights = false;
};

/// Another zip file of an archive's entries with right checksums, after `change(name, content)` of each.
inline void rewrite_archive(const models::PackageFile& from, const std::filesystem::path& to,
                            const std::function<void(const std::string& name, std::string& content)>& change,
                            const RewriteOptions& options = {}) {
  std::ofstream out(to, std::ios::binary | std::ios::trunc);
  caffe2::serialize::PyTorchStreamWriter writer(
      [&](const void* bytes, size_t count) {
        out.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
        return count;
      },
      /*compute_crc32=*/true, options.alignment);
  for (const models::PackageFile::Entry& entry : from.entries()) {
    const std::string name(from.name(entry));
    if (name == ".data/serialization_id") continue;  // the writer's own
    std::string content = from.content(entry);
    change(name, content);
    writer.writeRecord(name, content.data(), content.size(),
                       options.deflates_weights && name.starts_with("data/"));
  }
  writer.writeEndOfFile();
}

}  // namespace namm::testing
