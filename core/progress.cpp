#include "core/progress.h"

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "core/log.h"
#include "core/terminal.h"
#include "core/text.h"

namespace namm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto rewrite_every = std::chrono::milliseconds(100);
constexpr auto print_every = std::chrono::seconds(5);

}  // namespace

struct Progress::State {
  std::string title;
  uint64_t total = 0;
  std::string unit;

  std::mutex mutex;
  uint64_t begun = 0;  ///< units done before
  uint64_t done = 0;
  std::string note;
  Clock::time_point started = Clock::now();
  Clock::time_point shown = started;
  bool finished = false;

  std::string line() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    std::string text = title + ": " + std::to_string(done);
    if (total > 0) {
      text += "/" + std::to_string(total);
    }
    if (!unit.empty()) {
      text += " " + unit;
    }
    if (total > 0) {
      text += " (" + std::to_string(std::min<uint64_t>(100, done * 100 / total)) + " %)";
    }
    text += ", " + format_seconds(seconds);
    if (done > begun && seconds > 0) {
      const double rate = static_cast<double>(done - begun) / seconds;
      char number[32];
      std::snprintf(number, sizeof number, rate < 10 ? "%.2f" : "%.0f", rate);
      text += std::string(", ") + number + "/s";
      if (total > done) {
        text += ", " + format_seconds(static_cast<double>(total - done) / rate) + " left";
      }
    }
    if (!note.empty()) {
      text += ", " + note;
    }
    return text;
  }

  static bool silent() { return log_level() >= LogLevel::error; }

  void show() {
    if (finished || silent()) {
      return;
    }
    const Clock::time_point now = Clock::now();
    if (terminal_rewrites()) {
      if (now - shown >= rewrite_every) {
        terminal_show_progress(line());
        shown = now;
      }
    } else if (now - shown >= print_every) {
      terminal_print_line(line());
      shown = now;
    }
  }
};

Progress::Progress(std::string title, uint64_t total, std::string unit) : state_(std::make_unique<State>()) {
  state_->title = std::move(title);
  state_->total = total;
  state_->unit = std::move(unit);
  if (terminal_rewrites() && !State::silent()) {
    terminal_show_progress(state_->line());
  }
}

Progress::~Progress() {
  finish();
}

void Progress::start_at(uint64_t done) {
  const std::scoped_lock lock(state_->mutex);
  state_->begun = state_->done = done;
  state_->show();
}

void Progress::set_total(uint64_t total) {
  const std::scoped_lock lock(state_->mutex);
  state_->total = total;
}

void Progress::advance(uint64_t count) {
  const std::scoped_lock lock(state_->mutex);
  state_->done += count;
  state_->show();
}

void Progress::update(uint64_t done, const std::string& note) {
  const std::scoped_lock lock(state_->mutex);
  state_->done = done;
  state_->note = note;
  state_->show();
}

void Progress::set_note(const std::string& note) {
  const std::scoped_lock lock(state_->mutex);
  state_->note = note;
  state_->show();
}

void Progress::finish() {
  const std::scoped_lock lock(state_->mutex);
  if (state_->finished) {
    return;
  }
  state_->finished = true;
  if (!State::silent()) {
    terminal_show_progress("");
    terminal_print_line(state_->line());
  }
}

std::string Progress::line() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->line();
}

}  // namespace namm
