#include "core/interrupt.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"

namespace namm {
namespace {

TEST(Interrupt, ARequestIsSeenOnceMadeAndForgottenWhenCleared) {
  EXPECT_FALSE(interrupt_requested());
  EXPECT_NO_THROW(check_interrupt());
  request_interrupt();
  EXPECT_TRUE(interrupt_requested());
  try {
    check_interrupt();
    FAIL();
  } catch (const Interrupted& error) {
    EXPECT_EQ(error.code(), ExitCode::interrupted);
  }
  clear_interrupt();
  EXPECT_FALSE(interrupt_requested());
}

int exit_code_after(int signal_number, int signals) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::freopen("/dev/null", "w", stderr) == nullptr) {
      ::_exit(1);
    }
    install_interrupt_handlers();
    for (int i = 0; i < signals; ++i) {
      ::raise(signal_number);
    }
    ::_exit(interrupt_requested() ? 7 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Interrupt, TheFirstSignalAsksTheSecondEnds) {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    EXPECT_EQ(exit_code_after(signal_number, 0), 0);
    EXPECT_EQ(exit_code_after(signal_number, 1), 7);
    EXPECT_EQ(exit_code_after(signal_number, 2), 130);
  }
}

}  // namespace
}  // namespace namm
