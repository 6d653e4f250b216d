#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace namm::tasks {

/// The value that a Python source assigns to a variable at the beginning of a line, where it is a literal:
/// texts (joined by `+` or standing beside each other; an f-string gives its text with the {places} as they
/// are), numbers, True, False, None, and lists, tuples and dictionaries of these. Nothing is run. Comments
/// are passed over. `indented` also finds an assignment inside of a function.
///
/// For the data that official repositories keep in such files. `name` stands in errors. Throws DataError
/// `name:line: ...` when there is no such assignment or its value is something else.
nlohmann::json python_assignment(std::string_view source, std::string_view variable, const std::string& name,
                                 bool indented = false);

}  // namespace namm::tasks
