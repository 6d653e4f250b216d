#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace namm::testing {

/// Paths that a README.md of the tree names and that do not exist, as "README.md:12: `core/gone.h`". A path
/// is a word in backticks with a slash whose first part is a folder of the root or of the README's own
/// folder, that starts with "./", or that ends like a source file; in code blocks only words that start with
/// "./". Relative to the README's folder or the root. What commands make is left out: build/, runs/ and
/// downloads.
std::vector<std::string> missing_readme_paths(const std::filesystem::path& root);

/// Number of paths that missing_readme_paths looks at.
std::size_t readme_path_count(const std::filesystem::path& root);

}  // namespace namm::testing
