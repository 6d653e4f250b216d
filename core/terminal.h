#pragma once

#include <string_view>

// Internal to core: standard error as shared by log lines and the progress line.
namespace namm {

bool terminal_rewrites();

/// Writes a whole line, above the progress line if there is one.
void terminal_print_line(std::string_view line);

/// Shows `line` as the line that is rewritten in place, cut to the width of the terminal; "" takes it away.
void terminal_show_progress(std::string_view line);

}  // namespace namm
