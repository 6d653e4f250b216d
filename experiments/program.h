#pragma once

namespace namm::experiments {

/// The program `namm`: parses the command line, runs the sub-command, turns every error into one line on
/// standard error and its exit code (design 4).
int run_program(int argc, char** argv);

}  // namespace namm::experiments
