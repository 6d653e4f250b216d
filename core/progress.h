#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace namm {

/// A line on standard error that says how far a long step is: rewritten in place on a terminal, printed every
/// few seconds elsewhere (a log file), silent when the log level is `error` or `off`. All methods may be
/// called from any thread.
class Progress {
 public:
  /// `total` in units; 0 where it is not known (then no share and no time left are shown).
  Progress(std::string title, uint64_t total, std::string unit = "");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Units that were done before this step began: they count as done, and not towards the pace.
  void start_at(uint64_t done);
  /// Where the total turns out to be another.
  void set_total(uint64_t total);

  void advance(uint64_t count = 1);
  /// Sets the units done; `note` (e.g. "best 0.61") stands at the end of the line.
  void update(uint64_t done, const std::string& note = "");
  void set_note(const std::string& note);
  /// Prints the last state as a line that stays. The destructor does so too.
  void finish();

  /// The line as it would be shown now (for tests and status files).
  std::string line() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace namm
