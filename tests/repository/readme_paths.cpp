#include "tests/repository/readme_paths.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <sstream>

namespace namm::testing {
namespace {

namespace fs = std::filesystem;

struct NamedPath {
  std::string place;
  std::string word;
  fs::path folder;  // of the README
};

bool is_source_name(const std::string& word) {
  static const std::array<std::string, 8> endings = {".h",  ".cpp",  ".cu", ".py",
                                                     ".sh", ".yaml", ".md", ".cmake"};
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return word.ends_with(ending); });
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    while (!word.empty() && std::string(",;:.)").find(word.back()) != std::string::npos) {
      word.pop_back();
    }
    words.push_back(word);
  }
  return words;
}

// "a/{b,c}.h" as "a/b.h" and "a/c.h".
std::vector<std::string> expand_braces(const std::string& word) {
  const std::size_t open = word.find('{'), close = word.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open) {
    return {word};
  }
  std::vector<std::string> expanded;
  std::istringstream choices(word.substr(open + 1, close - open - 1));
  for (std::string choice; std::getline(choices, choice, ',');) {
    for (const std::string& rest : expand_braces(word.substr(close + 1))) {
      expanded.push_back(word.substr(0, open) + choice + rest);
    }
  }
  return expanded;
}

bool is_path(const std::string& word, const fs::path& root, const fs::path& folder) {
  if (word.find('/') == std::string::npos || word.find_first_of("<>=$~@:|\\\"'()[]") != std::string::npos ||
      word.starts_with('/') || word.find("...") != std::string::npos) {
    return false;
  }
  const std::string first = word.substr(0, word.find('/'));
  if (first == "build" || first == "runs" || word.find("downloads/") != std::string::npos) {
    return false;
  }
  return word.starts_with("./") || is_source_name(word) || fs::is_directory(root / first) ||
         fs::is_directory(folder / first);
}

std::vector<NamedPath> named_paths(const fs::path& root) {
  static const std::set<std::string> skipped = {".git", ".venv", "build", "runs", "downloads", ".cache"};
  std::vector<NamedPath> paths;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    if (it->is_directory() && skipped.contains(it->path().filename().string())) {
      it.disable_recursion_pending();
      continue;
    }
    if (it->path().filename() != "README.md") {
      continue;
    }
    const fs::path folder = it->path().parent_path();
    std::ifstream stream(it->path());
    bool in_block = false;
    std::string line;
    for (int number = 1; std::getline(stream, line); ++number) {
      const std::string place =
          it->path().lexically_relative(root).generic_string() + ":" + std::to_string(number);
      if (line.find("```") != std::string::npos) {
        in_block = !in_block;
        continue;
      }
      std::vector<std::string> words;
      if (in_block) {
        for (const std::string& word : words_of(line)) {
          if (word.starts_with("./")) {
            words.push_back(word);
          }
        }
      }
      for (std::size_t begin = in_block ? std::string::npos : line.find('`'); begin != std::string::npos;) {
        const std::size_t end = line.find('`', begin + 1);
        if (end == std::string::npos) {
          break;
        }
        for (const std::string& word : words_of(line.substr(begin + 1, end - begin - 1))) {
          words.push_back(word);
        }
        begin = line.find('`', end + 1);
      }
      for (const std::string& word : words) {
        for (const std::string& expanded : expand_braces(word)) {
          if (is_path(expanded, root, folder)) {
            paths.push_back({place, expanded, folder});
          }
        }
      }
    }
  }
  return paths;
}

bool exists(const fs::path& root, const NamedPath& path) {
  // Of a pattern the folder must exist.
  const std::string fixed = path.word.substr(0, path.word.find('*'));
  const std::string name = fixed == path.word ? fixed : fixed.substr(0, fixed.rfind('/') + 1);
  return fs::exists(root / name) || fs::exists(path.folder / name);
}

}  // namespace

std::vector<std::string> missing_readme_paths(const fs::path& root) {
  std::vector<std::string> missing;
  for (const NamedPath& path : named_paths(root)) {
    if (!exists(root, path)) {
      missing.push_back(path.place + ": `" + path.word + "`");
    }
  }
  std::sort(missing.begin(), missing.end());
  return missing;
}

std::size_t readme_path_count(const fs::path& root) {
  return named_paths(root).size();
}

}  // namespace namm::testing
