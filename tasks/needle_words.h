#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace namm::tasks {

/// Words that the needle tasks are made of: the groups of models/tiny/vocabulary.json, so that every word is
/// one token for the shipped small model (a test compares the two).
using WordGroup = std::span<const std::string_view>;

inline constexpr size_t category_count = 6;
inline constexpr size_t nouns_per_category = 8;

WordGroup names();   ///< keys and aliases
WordGroup values();  ///< towns
WordGroup labels();  ///< class names, one a category
WordGroup adjectives();
WordGroup verbs();
WordGroup numbers();                  ///< 0 to 39
WordGroup nouns();                    ///< all categories one after another
WordGroup nouns_of(size_t category);  ///< category < category_count

}  // namespace namm::tasks
