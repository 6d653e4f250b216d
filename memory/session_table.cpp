#include "memory/session_table.h"

#include <mutex>
#include <vector>

namespace namm::memory {
namespace {

struct Slot {
  Session* session = nullptr;
  int64_t generation = 0;
};

struct Table {
  std::mutex mutex;
  std::vector<Slot> slots;
  std::vector<size_t> free;
};

// Never destroyed: a session of static duration may outlive every other static object.
Table& table() {
  static Table* const instance = new Table;
  return *instance;
}

// The live slot of a handle, or null.
Slot* slot_of(Table& t, int64_t handle) {
  const auto index = static_cast<size_t>(handle & 0xffffffff);
  if (index >= t.slots.size()) return nullptr;
  Slot& slot = t.slots[index];
  return slot.session && slot.generation == handle >> 32 ? &slot : nullptr;
}

}  // namespace

int64_t SessionTable::insert(Session* session) {
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  size_t index = t.slots.size();
  if (t.free.empty()) {
    t.slots.emplace_back();
  } else {
    index = t.free.back();
    t.free.pop_back();
  }
  Slot& slot = t.slots[index];
  slot.session = session;
  ++slot.generation;
  return slot.generation << 32 | static_cast<int64_t>(index);
}

void SessionTable::erase(int64_t handle) {
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  if (Slot* slot = slot_of(t, handle)) {
    slot->session = nullptr;
    t.free.push_back(static_cast<size_t>(handle & 0xffffffff));
  }
}

Session* SessionTable::find(int64_t handle) {
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  Slot* slot = slot_of(t, handle);
  return slot ? slot->session : nullptr;
}

}  // namespace namm::memory
