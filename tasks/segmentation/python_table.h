#pragma once

#include <filesystem>
#include <vector>

namespace namm::tasks {

/// One number of a table; `row` and `column` are the one-character keys of the two dictionaries around it.
struct TableEntry {
  char32_t row;
  char32_t column;  ///< U+0000 in a table of one level
  double value;
};

/// Reads a Python module of the form that jieba's `finalseg/prob_*.py` have, in file order: perhaps
/// `from __future__ import unicode_literals`, then `P=` and a dictionary literal whose keys are texts of one
/// character and whose values are numbers (`levels` 1) or such dictionaries (`levels` 2). Throws DataError
/// (file:line) for anything else.
std::vector<TableEntry> read_python_table(const std::filesystem::path& file, int levels);

}  // namespace namm::tasks
