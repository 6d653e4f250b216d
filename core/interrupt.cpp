#include "core/interrupt.h"

#include <atomic>

#include <signal.h>
#include <unistd.h>

#include "core/errors.h"

namespace namm {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) {
  if (requested.exchange(true)) {
    ::_exit(static_cast<int>(ExitCode::interrupted));
  }
  constexpr char text[] = "\nstopping after the items in flight; once more stops at once\n";
  if (::write(STDERR_FILENO, text, sizeof text - 1) < 0) {
    return;
  }
}

}  // namespace

void install_interrupt_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupt_requested() {
  return requested.load();
}

void check_interrupt() {
  if (interrupt_requested()) {
    throw Interrupted("interrupted; all finished work is saved");
  }
}

void request_interrupt() {
  requested.store(true);
}

void clear_interrupt() {
  requested.store(false);
}

}  // namespace namm
