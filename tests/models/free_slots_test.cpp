#include <limits>
#include <memory>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include "memory/policies/full.h"
#include "memory/row_state.h"
#include "models/generator.h"

namespace namm::models {
namespace {

using memory::KeepDecision;
using memory::RowId;
using memory::Session;

std::shared_ptr<const Archive> archive() {
  static const auto loaded =
      Archive::load(std::filesystem::path(NAMM_TEST_DATA) / "archives" / "torch-2.11.0.pt");
  return loaded;
}

// Every 32 tokens forgets those at odd positions, or everything where it keeps nothing.
class EveryOther : public memory::EvictionPolicy {
 public:
  explicit EveryOther(bool keeps_nothing = false) : keeps_nothing_(keeps_nothing) {}
  std::string name() const override { return "every-other"; }
  memory::Needs needs() const override { return {}; }
  memory::Schedule schedule() const override { return {32}; }

  std::vector<KeepDecision> decide(const memory::UpdateView& view) const override {
    std::vector<KeepDecision> decisions;
    for (const memory::LayerView& layer : view.layers) {
      const auto segments = static_cast<int64_t>(layer.offsets.size()) - 1;
      const int64_t tokens = layer.offsets.back();
      at::Tensor keep = keeps_nothing_ ? at::zeros({tokens}, at::kBool) : layer.positions.remainder(2).eq(0);
      at::Tensor lengths = at::zeros({segments}, at::kInt);
      for (int64_t s = 0; s < segments; ++s) {
        if (!keeps_nothing_) keep[layer.offsets[s + 1] - 1] = true;
        lengths[s] = keep.slice(0, layer.offsets[s], layer.offsets[s + 1]).sum();
      }
      decisions.push_back({keep, lengths.view({-1, view.shape.kv_heads})});
    }
    return decisions;
  }

 private:
  bool keeps_nothing_;
};

Session session(memory::Backend backend, std::shared_ptr<const memory::EvictionPolicy> policy) {
  memory::SessionOptions options;
  options.shape = archive()->contract().shape;
  options.backend = backend;
  options.policy = std::move(policy);
  return Session(options);
}

// Writes NaN into every slot that no token has taken; returns how many there are.
int64_t poison(const Session& session, RowId row) {
  const c10::InferenceMode inference;
  int64_t slots = 0;
  for (const memory::LayerState& layer : session.state(row).layers) {
    for (const auto& segment : layer.cache.segments()) {
      for (std::size_t h = 0; segment->growing() && h < segment->starts.size(); ++h) {
        const int64_t first = segment->starts[h] + segment->lengths[h],
                      free = segment->capacity - segment->lengths[h];
        segment->keys.narrow(0, first, free).fill_(std::numeric_limits<float>::quiet_NaN());
        segment->values.narrow(0, first, free).fill_(std::numeric_limits<float>::quiet_NaN());
        slots += free;
      }
    }
  }
  return slots;
}

std::vector<int64_t> prompt(int64_t length, int64_t seed) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < length; ++i) ids.push_back((i * i * 7 + seed * 31 + i * 13) % 320);
  return ids;
}

// Public report models-15: what stands in slots that were never written reaches no result.
TEST(FreeSlots, NaNInThemChangesNothing) {
  for (const memory::Backend backend : {memory::Backend::automatic, memory::Backend::reference}) {
    for (const bool forgets : {false, true}) {
      const auto policy = [&]() -> std::shared_ptr<const memory::EvictionPolicy> {
        if (forgets) return std::make_shared<EveryOther>();
        return std::make_shared<memory::FullPolicy>();
      };
      Session clean = session(backend, policy()), poisoned = session(backend, policy());
      Generator expected(archive(), clean), ours(archive(), poisoned);
      const std::vector<RowId> clean_rows = {clean.add_row(), clean.add_row()},
                               rows = {poisoned.add_row(), poisoned.add_row()};
      int64_t slots = 0;
      for (const int64_t length : {37, 1, 1, 29, 1, 64, 1, 1}) {
        const std::vector<std::vector<int64_t>> ids = {prompt(length, 1), prompt(length, length)};
        const at::Tensor logits = ours.prefill(rows, ids);
        ASSERT_TRUE(logits.isfinite().all().item<bool>()) << length;
        ASSERT_TRUE(at::equal(logits, expected.prefill(clean_rows, ids))) << length;
        for (const RowId row : rows) slots += poison(poisoned, row);
      }
      EXPECT_GT(slots, 0);
    }
  }
}

// Public report models-15: no query without a key that it sees is ever formed.
TEST(FreeSlots, AMemoryThatKeepsNothingIsRefused) {
  Session s = session(memory::Backend::automatic, std::make_shared<EveryOther>(/*keeps_nothing=*/true));
  Generator generator(archive(), s);
  const std::vector<RowId> rows = {s.add_row()};
  const std::vector<std::vector<int64_t>> ids = {prompt(40, 1)};
  try {
    generator.prefill(rows, ids);
    ADD_FAILURE() << "an empty cache was accepted";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("the newest token must be kept"));
  }
}

}  // namespace
}  // namespace namm::models
