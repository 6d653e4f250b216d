#include "tests/repository/include_graph.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <regex>
#include <set>

namespace namm::testing {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::set<std::string>>& allowed_folders() {
  static const std::map<std::string, std::set<std::string>> allowed = {
      {"core", {"core"}},
      {"memory", {"memory", "core"}},
      {"models", {"models", "memory", "core"}},
      {"evolution", {"evolution", "core"}},
      {"tasks", {"tasks", "core"}},
      // What `namm bench` runs is part of the program.
      {"tests/bench", {"tests/bench", "tests/memory", "tests/support", "memory", "core"}},
      {"experiments",
       {"experiments", "tests/bench", "tests/support", "tasks", "evolution", "models", "memory", "core"}},
      {"tests/memory", {}},
      {"tests/support", {}},
  };
  return allowed;
}

// "core" of core/a.h, "tests/bench" of tests/bench/a.h.
std::string floor_of(const std::string& path) {
  const std::size_t first = path.find('/');
  return path.substr(0, path.starts_with("tests/") ? path.find('/', first + 1) : first);
}

struct Include {
  std::string name;
  bool quoted = false;
  int line = 0;
};

std::vector<Include> includes_of(const fs::path& file) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  std::vector<Include> includes;
  std::ifstream stream(file);
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    std::smatch match;
    if (line.find("include") != std::string::npos && std::regex_match(line, match, pattern)) {
      includes.push_back({match[2], match[1] == "\"", number});
    }
  }
  return includes;
}

std::vector<fs::path> sources_of(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& [folder, allowed] : allowed_folders()) {
    if (allowed.empty() || !fs::is_directory(root / folder)) {
      continue;
    }
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      static const std::array<std::string, 6> extensions = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh"};
      if (std::find(extensions.begin(), extensions.end(), entry.path().extension()) != extensions.end()) {
        files.push_back(entry.path().lexically_relative(root));
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool starts_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return text.starts_with(prefix); });
}

void check_library(const std::string& file, const std::string& folder, const Include& include,
                   const std::string& place, std::vector<std::string>& found) {
  const bool torch = starts_with_any(include.name, {"ATen/", "c10/", "torch/", "caffe2/"});
  if (torch && (folder == "core" || folder == "evolution" || folder == "tasks")) {
    found.push_back(place + ": " + folder + " includes no Torch");
  }
  if (starts_with_any(include.name, {"spdlog/", "fmt/"}) && file != "core/log.cpp") {
    found.push_back(place + ": spdlog and fmt appear in core/log.cpp only");
  }
  if ((include.name.starts_with("yaml-cpp/") || include.name == "hdf5.h") && !include.quoted &&
      folder != "core") {
    found.push_back(place + ": yaml-cpp and HDF5 appear in core only");
  }
  const bool shows_nats = starts_with_any(
      include.name, {"nats/", "evolution/queues/nats_client.h", "evolution/queues/nats_coordinator_entry.h",
                     "evolution/queues/nats_runs.h"});
  if (shows_nats && folder != "evolution") {
    found.push_back(place + ": the C library of NATS appears in evolution only");
  }
}

}  // namespace

std::size_t source_file_count(const fs::path& root) {
  return sources_of(root).size();
}

std::vector<std::string> include_violations(const fs::path& root) {
  std::vector<std::string> found;
  std::map<std::string, std::vector<std::string>> graph;
  for (const fs::path& path : sources_of(root)) {
    const std::string file = path.generic_string();
    const std::string folder = floor_of(file);
    for (const Include& include : includes_of(root / path)) {
      const std::string place = file + ":" + std::to_string(include.line) + " includes " + include.name;
      check_library(file, folder, include, place, found);
      if (!include.quoted) {
        continue;
      }
      const std::string target = floor_of(include.name);
      if (!allowed_folders().contains(target)) {
        found.push_back(place + ": includes in quotes start with a folder of the root");
        continue;
      }
      if (!allowed_folders().at(folder).contains(target)) {
        found.push_back(place + ": " + folder + " stands below or beside " + target);
      }
      // Headers made by CMake have their template in the tree.
      if (!fs::exists(root / include.name) && !fs::exists(root / (include.name + ".in"))) {
        found.push_back(place + ": there is no such file");
      }
      graph[file].push_back(include.name);
    }
  }
  // Depth first; a file that is met while it is still open closes a cycle.
  std::map<std::string, int> state;  // 1 open, 2 done
  std::vector<std::string> open;
  const std::function<void(const std::string&)> visit = [&](const std::string& file) {
    state[file] = 1;
    open.push_back(file);
    for (const std::string& next : graph[file]) {
      if (state[next] == 1) {
        std::string cycle = "cycle: ";
        for (auto it = std::find(open.begin(), open.end(), next); it != open.end(); ++it) {
          cycle += *it + " -> ";
        }
        found.push_back(cycle + next);
      } else if (state[next] == 0) {
        visit(next);
      }
    }
    open.pop_back();
    state[file] = 2;
  };
  for (const fs::path& path : sources_of(root)) {
    if (state[path.generic_string()] == 0) {
      visit(path.generic_string());
    }
  }
  return found;
}

}  // namespace namm::testing
