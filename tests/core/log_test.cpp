#include "core/log.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/progress.h"

namespace namm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::ThrowsMessage;

class LogTest : public ::testing::Test {
 protected:
  void TearDown() override { set_log_level(LogLevel::info); }
};

TEST_F(LogTest, LevelsByName) {
  EXPECT_EQ(parse_log_level("debug"), LogLevel::debug);
  EXPECT_EQ(parse_log_level("off"), LogLevel::off);
  EXPECT_THAT([] { parse_log_level("warnin"); },
              ThrowsMessage<ConfigError>(
                  "command line: log-level = warnin: must be one of trace, debug, info, warning, "
                  "error, off; did you mean 'warning'?"));
  for (const LogLevel level : {LogLevel::trace, LogLevel::debug, LogLevel::info, LogLevel::warning,
                               LogLevel::error, LogLevel::off}) {
    set_log_level(level);
    EXPECT_EQ(log_level(), level);
  }
}

TEST_F(LogTest, GoesToStandardErrorAboveTheLevel) {
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  log_debug("not shown");
  log_info("with {} braces {0}");
  log_warning("careful");
  set_log_level(LogLevel::error);
  log_warning("not shown");
  log_error("broken");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("with {} braces {0}\n"), HasSubstr("warning: careful\n"),
                    HasSubstr("error: broken\n"), Not(HasSubstr("not shown"))));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
}

TEST_F(LogTest, ProgressShowsShareRateAndTimeLeft) {
  Progress progress("evaluate", 8, "items");
  EXPECT_THAT(progress.line(), MatchesRegex("evaluate: 0/8 items \\(0 %\\), [0-9]\\.[0-9] s"));
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  progress.update(6, "best 0.61");
  EXPECT_THAT(
      progress.line(),
      MatchesRegex("evaluate: 6/8 items \\(75 %\\), [0-9]\\.[0-9] s, [0-9.]+/s, [0-9.]+ s left, best 0.61"));
  Progress unknown("read", 0);
  unknown.advance(3);
  EXPECT_THAT(unknown.line(), HasSubstr("read: 3, "));
}

TEST_F(LogTest, ProgressLeavesOutOfThePaceWhatWasDoneBefore) {
  Progress progress("evolve", 1000, "items");
  progress.start_at(900);
  EXPECT_THAT(progress.line(), HasSubstr("900/1000 items (90 %)"));
  EXPECT_THAT(progress.line(), Not(HasSubstr("/s")));
  progress.set_total(1200);
  progress.update(903);
  EXPECT_THAT(progress.line(), HasSubstr("903/1200 items (75 %)"));
  EXPECT_THAT(progress.line(), HasSubstr("/s"));
}

TEST_F(LogTest, ProgressEndsWithALineAndIsSilentWithErrors) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("count", 2);
    progress.advance();
    progress.advance();
    progress.finish();
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), MatchesRegex("count: 2/2 \\(100 %\\), .*\n"));
  set_log_level(LogLevel::error);
  ::testing::internal::CaptureStderr();
  { Progress progress("count", 2); }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(LogTest, ManyThreadsAdvanceAndLog) {
  ::testing::internal::CaptureStderr();
  {
    Progress progress("threads", 400);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 100; ++j) {
          progress.advance();
          log_info("line");
        }
      });
    }
    threads.clear();
    EXPECT_THAT(progress.line(), HasSubstr("400/400 (100 %)"));
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("line\n"));
}

}  // namespace
}  // namespace namm
