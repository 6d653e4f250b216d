#pragma once

#include <cstdint>

namespace namm::memory {

class Session;

/// The only global state of the program: which session a handle means (design 3.1). A handle is generation <<
/// 32 | slot; a slot that is used again gets another generation, so the handle of a session that is gone is
/// recognised. Thread-safe.
class SessionTable {
 public:
  static int64_t insert(Session* session);
  static void erase(int64_t handle);
  static Session* find(int64_t handle);  ///< null where the session is gone
};

}  // namespace namm::memory
