// Random sequences of what a session can be asked to do, against plain vectors. NAMM_LONG=1 asks for a
// million calls.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <c10/core/InferenceMode.h>

#include "core/random.h"
#include "memory/cache_file.h"
#include "memory/session.h"
#include "tests/memory/counting_allocator.h"
#include "tests/memory/naive_session.h"
#include "tests/memory/random_tensors.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tolerances.h"

namespace namm::memory {
namespace {

using testing::CountingAllocator;
using testing::NaiveLayer;
using testing::NaiveRow;
using testing::NaiveSession;
using testing::NaiveToken;

constexpr TransformerShape kShape{2, 4, 2, 4};
constexpr int64_t kPeriod = 6;
constexpr size_t kMostRows = 5;
constexpr int64_t kLongestRow = 48;

// A long window looks back at the queries of several periods.
SpectrogramConfig spectrogram_config(bool long_window) {
  SpectrogramConfig config;
  config.n_fft = long_window ? 16 : 4;
  config.hop_length = 2;
  config.ema_coefficient = 0.9;
  return config;
}

// A function of its arguments alone, so that the naive side decides the same.
bool stays(int64_t tag, int64_t update, int64_t layer, int64_t head, int64_t position) {
  const auto draw = [&](uint64_t a, uint64_t b) {
    return philox4x32({static_cast<uint32_t>(a), static_cast<uint32_t>(b), static_cast<uint32_t>(update), 0},
                      {static_cast<uint32_t>(tag), 7})[0];
  };
  switch (draw(0, 0) % 5) {
    case 0:
      return true;
    case 1:
      return false;
    case 2:
      return layer == 0 ||
             draw(1 + static_cast<uint64_t>(layer * 8 + head), static_cast<uint64_t>(position)) % 2;
    case 3:
      return head == 0 || draw(1, static_cast<uint64_t>(position)) % 3 == 0;
    default:
      return draw(1 + static_cast<uint64_t>(layer * 8 + head), static_cast<uint64_t>(position)) % 4 != 0;
  }
}

class FuzzPolicy : public EvictionPolicy {
 public:
  explicit FuzzPolicy(const SpectrogramConfig& config) : config_(config) {}

  std::string name() const override { return "fuzz"; }
  Needs needs() const override { return {.spectrogram = config_, .column_sums = true}; }
  Schedule schedule() const override { return {kPeriod}; }
  std::vector<KeepDecision> decide(const UpdateView& view) const override {
    std::vector<KeepDecision> decisions;
    for (const LayerView& layer : view.layers) {
      at::Tensor keep = at::zeros({layer.offsets.back()}, at::kBool);
      at::Tensor lengths = at::zeros({static_cast<int64_t>(view.rows.size()), view.shape.kv_heads}, at::kInt);
      for (size_t s = 0; s + 1 < layer.offsets.size(); ++s) {
        const auto heads = static_cast<size_t>(view.shape.kv_heads);
        const RowView& row = view.rows[s / heads];
        for (int64_t i = layer.offsets[s]; i < layer.offsets[s + 1]; ++i) {
          if (i + 1 < layer.offsets[s + 1] &&
              !stays(row.tag, row.update, layer.layer, static_cast<int64_t>(s % heads),
                     layer.positions.const_data_ptr<int64_t>()[i]))
            continue;
          keep.data_ptr<bool>()[i] = true;
          ++lengths.data_ptr<int32_t>()[s];
        }
      }
      decisions.push_back({keep, lengths});
    }
    return decisions;
  }

 private:
  SpectrogramConfig config_;
};

class Fuzz {
 public:
  Fuzz(uint64_t seed, PositionMode positions, bool long_window, Backend backend)
      : random_({.seed = seed, .purpose = "session fuzz"}),
        pool_(testing::normal({4096, kShape.heads, kShape.head_dim}, seed)) {
    naive_.shape = kShape;
    naive_.spectrogram = spectrogram_config(long_window);
    naive_.scale = 0.5;
    SessionOptions options;
    options.shape = kShape;
    options.backend = backend;
    options.policy = std::make_shared<FuzzPolicy>(naive_.spectrogram);
    if (positions == PositionMode::compacted) {
      naive_.frequencies = {1.0f, 0.1f};
      options.positions = positions;
      options.inverse_frequencies = at::tensor(naive_.frequencies);
    }
    session_ = std::make_unique<Session>(options);
    session_->set_observer([this](const UpdateView& view) { compare_features(view); });
  }

  int64_t calls() const { return calls_; }
  int64_t updates() const { return updates_; }
  const std::string& failure() const { return failure_; }

  /// One to a few calls.
  void act() {
    switch (random_.uniform_int(16)) {
      case 0:
        if (rows_.size() < kMostRows) add();
        break;
      case 1:
      case 2:
        fork();
        break;
      case 3:
        drop(pick());
        break;
      case 4:
        compare_contents(pick());
        break;
      case 5:
        if (random_.uniform_int(8) == 0) give_up_a_step();
        if (random_.uniform_int(8) == 0) save_and_restore(pick());
        break;
      case 6:
        misuse();
        break;
      default:
        step();
    }
    std::vector<RowId> long_rows;
    for (const auto& [id, row] : rows_) {
      if (row.tokens > kLongestRow || row.torn) long_rows.push_back(id);
    }
    for (const RowId id : long_rows) drop(id);
  }

  void finish() {
    while (!rows_.empty() && failure_.empty()) {
      compare_contents(rows_.begin()->first);
      drop(rows_.begin()->first);
    }
  }

 private:
  void fail(const std::string& text) {
    if (failure_.empty()) failure_ = "call " + std::to_string(calls_) + ": " + text;
  }

  RowId pick() {
    if (rows_.empty()) add();
    auto it = rows_.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(random_.uniform_int(rows_.size())));
    return it->first;
  }

  void add() {
    const auto tag = static_cast<int64_t>(random_.uniform_int(1 << 20));
    const RowId id = session_->add_row(0, tag);
    ++calls_;
    rows_.emplace(id, naive_.new_row(0, tag));
  }

  void fork() {
    if (rows_.size() >= kMostRows) return;
    const RowId parent = pick();
    const auto tag = static_cast<int64_t>(random_.uniform_int(1 << 20));
    const RowId id = session_->fork(parent, 0, tag);
    ++calls_;
    NaiveRow row = rows_.at(parent);
    row.tag = tag;
    rows_.emplace(id, std::move(row));
    const auto usage = session_->usage(id);
    if (usage.cache_bytes != session_->usage(parent).cache_bytes) fail("a fork reports other bytes");
  }

  void drop(RowId id) {
    session_->drop(id);
    ++calls_;
    rows_.erase(id);
  }

  // The row goes on from a file, as another one.
  void save_and_restore(RowId id) {
    if (rows_.at(id).tokens == 0 || rows_.at(id).torn) return;
    const std::filesystem::path path = folder_.path() / "row.h5";
    SavedCache{session_->state(id), at::zeros({1}), {}}.save(path, session_->options());
    const RowId other = session_->adopt(SavedCache::load(path, session_->options(), {}).row);
    calls_ += 3;
    NaiveRow row = rows_.at(id);
    for (NaiveLayer& layer : row.layers) {
      for (auto& tokens : layer.growing) tokens = std::make_shared<int64_t>(*tokens);
    }
    rows_.emplace(other, std::move(row));
    compare_contents(other);
    drop(id);
  }

  std::vector<RowId> pick_rows() {
    std::vector<RowId> ids{pick()};
    while (random_.uniform_int(2) == 0 && ids.size() < rows_.size()) {
      const RowId other = pick();
      if (std::find(ids.begin(), ids.end(), other) == ids.end()) ids.push_back(other);
    }
    return ids;
  }

  void step() {
    const std::vector<RowId> ids = pick_rows();
    std::vector<int64_t> lengths;
    int64_t count = 0;
    for (const RowId id : ids) {
      const auto most = static_cast<uint64_t>(session_->tokens_until_update(id));
      lengths.push_back(1 + static_cast<int64_t>(random_.uniform_int(most)));
      count += lengths.back();
    }
    session_->begin_step(ids, lengths);
    for (int64_t l = 0; l < kShape.layers; ++l) {
      const auto draw = [&] {
        return pool_.narrow(0, static_cast<int64_t>(random_.uniform_int(4096 - 64)), count);
      };
      const at::Tensor q = draw(), k = draw().narrow(1, 0, kShape.kv_heads).contiguous(),
                       v = draw().narrow(1, 1, kShape.kv_heads).contiguous();
      const at::Tensor out = session_->attend(q, k, v, l, naive_.scale, 0);
      ++calls_;
      int64_t offset = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        const auto expected = naive_.attend(rows_.at(ids[i]), static_cast<size_t>(l), lengths[i],
                                            q.narrow(0, offset, 1).const_data_ptr<float>(),
                                            k.narrow(0, offset, 1).const_data_ptr<float>(),
                                            v.narrow(0, offset, 1).const_data_ptr<float>());
        compare(out.narrow(0, offset, lengths[i]).contiguous(), expected,
                tolerances::implementations::attention, "output of layer " + std::to_string(l));
        offset += lengths[i];
      }
    }
    for (size_t i = 0; i < ids.size(); ++i) rows_.at(ids[i]).tokens += lengths[i];
    calls_ += 2;
    update();
  }

  void update() {
    for (auto& [id, row] : rows_) {
      if (row.tokens > row.updated_tokens && row.tokens % kPeriod == 0 && !row.torn) due_.push_back(&row);
    }
    for (NaiveRow* row : due_) naive_.feel(*row, kPeriod);
    const size_t expected = due_.size();
    seen_ = 0;
    session_->update();
    if (seen_ != expected) fail("an update saw other rows");
    for (NaiveRow* row : due_) {
      naive_.evict(*row, [&](int64_t layer, int64_t head, int64_t position) {
        return stays(row->tag, row->updates, layer, head, position);
      });
      ++updates_;
    }
    due_.clear();
  }

  // In the middle of an update: the naive rows have felt, not yet evicted.
  void compare_features(const UpdateView& view) {
    seen_ = view.rows.size();
    if (seen_ != due_.size()) return;
    for (const LayerView& layer : view.layers) {
      std::vector<int64_t> positions;
      std::vector<double> ema, sums;
      for (size_t r = 0; r < due_.size(); ++r) {
        if (view.rows[r].tag != due_[r]->tag || view.rows[r].update != due_[r]->updates)
          fail("a view names another row");
        for (const auto& head : due_[r]->layers[static_cast<size_t>(layer.layer)].heads) {
          for (const NaiveToken& token : head) {
            positions.push_back(token.position);
            ema.insert(ema.end(), token.ema.begin(), token.ema.end());
            sums.push_back(token.column_sum);
          }
        }
      }
      if (!at::equal(layer.positions, at::tensor(positions, at::kLong))) fail("positions of a view");
      compare(layer.ema, ema, tolerances::end_to_end::ema, "moving averages");
      compare(layer.column_sums, sums, tolerances::implementations::attention, "column sums");
    }
  }

  // Its rows are lost, everything else goes on.
  void give_up_a_step() {
    const std::vector<RowId> ids = pick_rows();
    session_->begin_step(ids, std::vector<int64_t>(ids.size(), 1));
    const at::Tensor x = pool_.narrow(0, 0, static_cast<int64_t>(ids.size()));
    const at::Tensor kv = x.narrow(1, 0, kShape.kv_heads);
    session_->attend(x, kv, kv, 0, naive_.scale, 0);
    calls_ += 2;
    for (const RowId id : ids) rows_.at(id).torn = true;
    const RowId next = session_->add_row(0, 1);
    rows_.emplace(next, naive_.new_row(0, 1));
    session_->begin_step(std::vector<RowId>{next}, std::vector<int64_t>{1});
    for (const RowId id : ids) {
      if (!refused([&] { session_->fork(id, 0, 0); })) fail("a torn row was forked");
    }
    session_->drop(next);
    rows_.erase(next);
    calls_ += 3;
  }

  template <class F>
  static bool refused(F&& f) {
    try {
      f();
    } catch (const c10::Error&) {
      return true;
    }
    return false;
  }

  // Each must be refused and change nothing.
  void misuse() {
    const RowId id = pick();
    const auto begin = [&](std::vector<RowId> rows, std::vector<int64_t> lengths) {
      ++calls_;
      if (!refused([&] { session_->begin_step(rows, lengths); })) fail("misuse was not refused");
    };
    switch (random_.uniform_int(4)) {
      case 0:
        return begin({id, id}, {1, 1});
      case 1:
        return begin({id}, {kPeriod + 1});
      case 2:
        return begin({id}, {0});
      default:
        return begin({-1}, {1});
    }
  }

  void compare(const at::Tensor& ours, const std::vector<double>& theirs, double tolerance,
               const std::string& what) {
    if (ours.numel() != static_cast<int64_t>(theirs.size())) return fail(what + ": another size");
    const float* a = ours.const_data_ptr<float>();
    for (size_t i = 0; i < theirs.size(); ++i) {
      if (!(std::abs(a[i] - theirs[i]) <= tolerance * (1 + std::abs(theirs[i]))))
        return fail(what + " at " + std::to_string(i) + ": " + std::to_string(a[i]) + " instead of " +
                    std::to_string(theirs[i]));
    }
  }

  void compare_contents(RowId id) {
    ++calls_;
    const NaiveRow& row = rows_.at(id);
    const CacheUsage usage = session_->usage(id);
    if (session_->tokens_processed(id) != row.tokens) fail("tokens read");
    if (usage.cache_bytes != naive_.cache_bytes(row))
      fail("bytes: " + std::to_string(usage.cache_bytes) + " instead of " +
           std::to_string(naive_.cache_bytes(row)));
    if (static_cast<int64_t>(session_->kept_history(id).size()) != row.updates) fail("history");
    int64_t tokens = 0;
    for (int64_t l = 0; l < kShape.layers; ++l) {
      for (int64_t h = 0; h < kShape.kv_heads; ++h) {
        const auto& head = row.layers[static_cast<size_t>(l)].heads[static_cast<size_t>(h)];
        tokens += static_cast<int64_t>(head.size());
        if (usage.lengths[static_cast<size_t>(l * kShape.kv_heads + h)] != static_cast<int64_t>(head.size()))
          fail("length of a head");
        const Session::Segment segment = session_->segment(id, l, h);
        std::vector<double> keys, values;
        std::vector<int64_t> positions;
        for (const NaiveToken& token : head) {
          const auto key = naive_.standing_key(token);
          keys.insert(keys.end(), key.begin(), key.end());
          values.insert(values.end(), token.value.begin(), token.value.end());
          positions.push_back(token.position);
        }
        if (!at::equal(segment.positions, at::tensor(positions, at::kLong))) fail("positions");
        compare(segment.keys, keys, naive_.frequencies.empty() ? 0 : tolerances::rotation::one_move, "keys");
        compare(segment.values, values, 0, "values");
      }
    }
    if (usage.tokens != tokens) fail("tokens cached");
  }

  RandomStream random_;
  testing::TemporaryDirectory folder_;
  at::Tensor pool_;
  NaiveSession naive_;
  std::unique_ptr<Session> session_;
  std::map<RowId, NaiveRow> rows_;
  std::vector<NaiveRow*> due_;
  size_t seen_ = 0;
  int64_t calls_ = 0, updates_ = 0;
  std::string failure_;
};

TEST(SessionFuzz, RandomSequencesEqualPlainVectors) {
  const char* const value = std::getenv("NAMM_LONG");
  const int64_t calls = value && std::string(value) == "1" ? 1000000 : 20000;
  const c10::InferenceMode guard;
  CountingAllocator& memory = CountingAllocator::install();
  const auto start = std::chrono::steady_clock::now();
  int64_t done = 0, updates = 0;
  for (uint64_t seed = 1; done < calls; ++seed) {
    const int64_t held = memory.now();
    {
      Fuzz fuzz(seed, seed % 2 == 0 ? PositionMode::original : PositionMode::compacted, seed % 4 < 2,
                seed % 8 < 4 ? Backend::automatic : Backend::reference);
      while (fuzz.calls() < 2000 && fuzz.failure().empty()) fuzz.act();
      fuzz.finish();
      done += fuzz.calls();
      updates += fuzz.updates();
      ASSERT_EQ(fuzz.failure(), "") << "seed " << seed;
    }
    ASSERT_EQ(memory.now(), held) << "seed " << seed << ": memory was not given back";
  }
  std::printf("%lld calls, %lld updates of rows, %.1f s\n", static_cast<long long>(done),
              static_cast<long long>(updates),
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace
}  // namespace namm::memory
