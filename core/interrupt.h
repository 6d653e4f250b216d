#pragma once

namespace namm {

/// From now on the first SIGINT or SIGTERM only asks to stop (see interrupt_requested) and the second ends
/// the process at once with exit code 130; files written by this project stay resumable either way.
void install_interrupt_handlers();

/// True after the first signal or request_interrupt().
bool interrupt_requested();

/// Throws Interrupted when a stop was asked for. For loops at places where all state is saved.
void check_interrupt();

/// Asks to stop as a signal would.
void request_interrupt();

/// Forgets an earlier request (tests, programs with several runs).
void clear_interrupt();

}  // namespace namm
