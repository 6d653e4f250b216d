#include "memory/cache_file.h"

#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <c10/core/InferenceMode.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/hdf5.h"
#include "core/random.h"
#include "tests/memory/toy_transformer.h"
#include "tests/support/temporary_directory.h"

namespace namm::memory {
namespace {

using ::testing::HasSubstr;
using testing::normal;
using testing::TestPolicy;
using testing::ToyTransformer;

constexpr TransformerShape kShape{2, 4, 2, 16};
constexpr int64_t kPeriod = 32;

const ToyTransformer& toy() {
  static const ToyTransformer model(kShape, 24, 5);
  return model;
}

SessionOptions options_of(PositionMode positions = PositionMode::original, int64_t period = kPeriod) {
  SessionOptions options;
  options.shape = kShape;
  options.policy = std::make_shared<TestPolicy>(
      period, Needs{.spectrogram = SpectrogramConfig{}, .column_sums = true},
      [](int64_t layer, int64_t head, int64_t p) { return layer == 0 || (p + head) % 3 == 0; });
  options.positions = positions;
  if (positions == PositionMode::compacted) options.inverse_frequencies = at::logspace(0, -4, 8, 10);
  return options;
}

at::Tensor read(Session& session, RowId row, const at::Tensor& input, int64_t chunk = 512) {
  std::vector<at::Tensor> out;
  for (int64_t done = 0; done < input.size(0);) {
    const int64_t count = std::min({chunk, input.size(0) - done, session.tokens_until_update(row)});
    out.push_back(toy().step(session, {row}, {input.narrow(0, done, count)})[0]);
    session.update();
    done += count;
  }
  return at::cat(out);
}

const CacheIdentity kIdentity = {{"model_sha256", "aaa"}, {"policy", "test"}, {"budget", "tokens: 5"}};

class CacheFile : public ::testing::Test {
 protected:
  std::filesystem::path path(const std::string& name = "cache.h5") const { return folder_.path() / name; }

  // A row after an eviction or two and a tail, saved.
  void save(const SessionOptions& options, int64_t tokens = 75, int64_t chunk = 512) {
    Session session(options);
    const RowId row = session.add_row(0, 7);
    read(session, row, normal({tokens, 24}, 1), chunk);
    SavedCache{session.state(row), normal({9}, 2), kIdentity}.save(path(), options);
  }

  static std::string error_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  }

 private:
  testing::TemporaryDirectory folder_;
  c10::InferenceMode inference_;
};

TEST_F(CacheFile, ProtectedTextStaysProtected) {
  SessionOptions options = options_of();
  options.policy = std::make_shared<TestPolicy>(kPeriod, Needs{}, [](int64_t, int64_t, int64_t p) {
    return p < 3 || (p >= 40 && p < 45) || p % 32 == 31;
  });
  Session first(options), second(options);
  const RowId row = first.add_row();
  first.protect(row, std::vector<TokenSpan>{{0, 3}, {40, 45}});
  read(first, row, normal({40, 24}, 1));
  SavedCache{first.state(row), normal({9}, 3), kIdentity}.save(path(), options);
  const RowId other = second.adopt(SavedCache::load(path(), options, kIdentity).row);
  EXPECT_EQ(second.state(other).protected_spans, (std::vector<TokenSpan>{{0, 3}, {40, 45}}));
  // The spans come on top of those of a new row; this policy keeps the first ones only.
  second.protect(other, std::vector<TokenSpan>{{46, 48}});
  EXPECT_ANY_THROW(read(second, other, normal({24, 24}, 2)));
  EXPECT_NO_THROW(read(first, row, normal({24, 24}, 2)));
}

TEST_F(CacheFile, GoesOnBitForBit) {
  for (const PositionMode positions : {PositionMode::original, PositionMode::compacted}) {
    for (const int64_t period : {kPeriod, int64_t{0}}) {
      // Before the first update, at an update, after several with a tail.
      for (const int64_t tokens : {20, 64, 150}) {
        const SessionOptions options = options_of(positions, period);
        Session straight(options), stopped(options), other(options);
        const at::Tensor input = normal({tokens, 24}, 1), more = normal({90, 24}, 2), logits = normal({9}, 3);
        const RowId a = straight.add_row(0, 7), b = stopped.add_row(0, 7);
        read(straight, a, input, 13);
        read(stopped, b, input, 13);
        SavedCache{stopped.state(b), logits, kIdentity}.save(path(), options);
        SavedCache saved = SavedCache::load(path(), options, kIdentity);
        EXPECT_TRUE(at::equal(saved.logits, logits));
        other.add_row();
        const RowId c = other.adopt(std::move(saved.row));
        EXPECT_EQ(other.usage(c).cache_bytes, stopped.usage(b).cache_bytes);
        const at::Tensor expected = read(straight, a, more, 5);
        EXPECT_TRUE(at::equal(read(other, c, more, 5), expected)) << tokens << " tokens, period " << period;
        EXPECT_TRUE(at::equal(read(stopped, b, more, 5), expected)) << "saving changed the row";
        EXPECT_EQ(other.kept_history(c), straight.kept_history(a));
        EXPECT_EQ(other.usage(c).cache_bytes, straight.usage(a).cache_bytes);
        EXPECT_EQ(other.tokens_processed(c), tokens + 90);
        for (int64_t h = 0; h < 2; ++h) {
          EXPECT_TRUE(at::equal(other.segment(c, 1, h).keys, straight.segment(a, 1, h).keys));
          EXPECT_TRUE(at::equal(other.segment(c, 1, h).places, straight.segment(a, 1, h).places));
        }
      }
    }
  }
}

TEST_F(CacheFile, KeepsSixteenBitNumbersAndForksSegments) {
  SessionOptions options = options_of();
  options.dtype = at::kBFloat16;
  Session session(options), other(options);
  const RowId parent = session.add_row();
  const auto step = [](Session& s, RowId row, int64_t n, uint64_t seed) {
    s.begin_step(std::vector<RowId>{row}, std::vector<int64_t>{n});
    std::vector<at::Tensor> out;
    for (int64_t l = 0; l < kShape.layers; ++l)
      out.push_back(s.attend(normal({n, 4, 16}, seed, at::kBFloat16),
                             normal({n, 2, 16}, seed + 1, at::kBFloat16),
                             normal({n, 2, 16}, seed + 2, at::kBFloat16), l, 0.25, 0));
    s.update();
    return at::cat(out);
  };
  step(session, parent, 32, 1);
  step(session, parent, 7, 2);
  const RowId row = session.fork(parent, 0, 0);
  step(session, row, 9, 3);
  ASSERT_EQ(session.state(row).layers[1].cache.segments().size(), 3u) << "what survived, shared, its own";
  SavedCache{session.state(row), normal({9}, 2), kIdentity}.save(path(), options);
  const RowId loaded = other.adopt(SavedCache::load(path(), options, kIdentity).row);
  EXPECT_EQ(other.state(loaded).layers[1].cache.segments().size(), 3u);
  EXPECT_TRUE(at::equal(step(other, loaded, 16, 4), step(session, row, 16, 4)));
  EXPECT_TRUE(at::equal(step(other, loaded, 3, 5), step(session, row, 3, 5)));
}

TEST_F(CacheFile, WhatItBelongsToIsCompared) {
  save(options_of());
  const auto with = [&](size_t i, const std::string& value) {
    CacheIdentity wanted = kIdentity;
    wanted[i].second = value;
    return error_of([&] { SavedCache::load(path(), options_of(), wanted); });
  };
  EXPECT_THAT(with(0, "bbb"), HasSubstr("saved with model_sha256 = aaa, this command has bbb"));
  EXPECT_THAT(with(1, "namm"), HasSubstr("policy = test, this command has namm"));
  CacheIdentity shorter(kIdentity.begin(), kIdentity.end() - 1), longer = kIdentity;
  longer.emplace_back("memory_sha256", "ccc");
  EXPECT_THAT(error_of([&] { SavedCache::load(path(), options_of(), shorter); }),
              HasSubstr("budget = tokens: 5, this command has nothing"));
  EXPECT_THAT(error_of([&] { SavedCache::load(path(), options_of(), longer); }),
              HasSubstr("memory_sha256 = nothing, this command has ccc"));
  SessionOptions wider = options_of();
  wider.shape.layers = 3;
  EXPECT_THAT(error_of([&] { SavedCache::load(path(), wider, kIdentity); }), HasSubstr("layers is not what"));
  EXPECT_THAT(error_of([&] { SavedCache::load(path(), options_of(PositionMode::compacted), kIdentity); }),
              HasSubstr("places"));
  EXPECT_THAT(error_of([&] { SavedCache::load(path("none.h5"), options_of(), kIdentity); }),
              HasSubstr("none.h5"));
}

TEST_F(CacheFile, DamagedFilesAreRefused) {
  save(options_of());
  const std::string bytes = read_file(path());
  RandomStream random({.seed = 1, .purpose = "damaged cache"});
  for (int i = 0; i < 150; ++i) {
    std::string damaged = bytes;
    if (i % 3 == 0) {
      damaged.resize(random.uniform_int(bytes.size()));
    } else {
      damaged[random.uniform_int(bytes.size())] ^= static_cast<char>(1 + random.uniform_int(255));
    }
    std::ofstream(path("damaged.h5"), std::ios::binary) << damaged;
    EXPECT_NE(error_of([&] { SavedCache::load(path("damaged.h5"), options_of(), kIdentity); }), "no error");
  }
}

// A copy of an HDF5 file with one change; the checksum is right again.
class Forger {
 public:
  Forger(const std::filesystem::path& from, const std::filesystem::path& to, RandomStream& random)
      : from_(Hdf5File::open(from)), to_(Hdf5File::create(to)), random_(random) {
    collect("");
    target_ = random.uniform_int(objects_.size());
    for (size_t i = 0; i < objects_.size(); ++i) copy(objects_[i], i == target_);
    to_.commit();
  }
  const std::string& changed() const { return objects_[target_]; }

 private:
  void collect(const std::string& group) {
    for (const std::string& child : from_.children(group.empty() ? "/" : group)) {
      const std::string name = group.empty() ? child : group + "/" + child;
      objects_.push_back(name);
      if (from_.kind(name) == Hdf5Kind::group) collect(name);
    }
    if (group.empty()) objects_.push_back("/");
  }

  int64_t strange_integer() {
    const int64_t values[] = {-1,      0,         1,         2,
                              1 << 20, 1LL << 40, 1LL << 62, std::numeric_limits<int64_t>::min()};
    return values[random_.uniform_int(std::size(values))];
  }

  void copy_attributes(const std::string& name, bool change) {
    const std::vector<std::string> all = from_.attributes(name);
    const size_t chosen = all.empty() ? 0 : random_.uniform_int(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      const bool here = change && i == chosen;
      if (here && random_.uniform_int(4) == 0) continue;
      if (all[i] == "format" || all[i] == "dtype") {
        to_.write_attribute(name, all[i], here ? "other" : from_.read_attribute<std::string>(name, all[i]));
      } else if (all[i] == "growing") {
        to_.write_attribute(name, all[i], from_.read_attribute<bool>(name, all[i]) != here);
      } else {
        to_.write_attribute(name, all[i],
                            here ? strange_integer() : from_.read_attribute<int64_t>(name, all[i]));
      }
    }
  }

  template <class T>
  void copy_numbers(const std::string& name, bool change, T strange) {
    Hdf5Array<T> array = from_.read<T>(name);
    if (change && !array.values.empty()) {
      if (random_.uniform_int(3) == 0) {
        const int64_t row = static_cast<int64_t>(array.values.size()) / array.shape[0];
        array.shape[0] = static_cast<int64_t>(random_.uniform_int(static_cast<uint64_t>(array.shape[0])));
        array.values.resize(static_cast<size_t>(array.shape[0] * row));
      } else {
        array.values[random_.uniform_int(array.values.size())] = strange;
      }
    }
    to_.write<T>(name, array.shape, array.values);
  }

  void copy(const std::string& name, bool change) {
    if (name == "/") return copy_attributes(name, change);
    if (change && random_.uniform_int(6) == 0) return dropped_.push_back(name + "/");
    for (const std::string& gone : dropped_) {
      if (name.starts_with(gone)) return;
    }
    switch (from_.kind(name)) {
      case Hdf5Kind::group:
        to_.make_group(name);
        return copy_attributes(name, change);
      case Hdf5Kind::integers:
        return copy_numbers<int64_t>(name, change, strange_integer());
      case Hdf5Kind::floats:
        return copy_numbers<float>(name, change, std::numeric_limits<float>::quiet_NaN());
      default:
        std::vector<std::string> texts = from_.read_texts(name);
        if (change) texts.pop_back();
        to_.write_texts(name, texts);
    }
  }

  Hdf5File from_, to_;
  RandomStream& random_;
  std::vector<std::string> objects_, dropped_;
  size_t target_ = 0;
};

// Whatever a file with a right checksum says, it is refused or a row that can go on.
TEST_F(CacheFile, ForgedContentCrashesNothing) {
  int64_t refused = 0, read_on = 0;
  std::map<std::string, int> accepted;
  for (const PositionMode positions : {PositionMode::original, PositionMode::compacted}) {
    save(options_of(positions));
    RandomStream random({.seed = 2, .purpose = "forged cache"});
    for (int i = 0; i < 100; ++i) {
      const Forger forger(path(), path("forged.h5"), random);
      Session session(options_of(positions));
      const std::string error = error_of([&] {
        const RowId row =
            session.adopt(SavedCache::load(path("forged.h5"), options_of(positions), kIdentity).row);
        read(session, row, normal({40, 24}, 3));
        ++read_on;
        ++accepted[forger.changed()];
      });
      if (error != "no error") ++refused;
    }
  }
  EXPECT_EQ(refused + read_on, 200);
  EXPECT_GT(refused, 75);
  std::printf("%lld refused, %lld read on\n", static_cast<long long>(refused),
              static_cast<long long>(read_on));
  for (const char* must : {"layers/0000/segments/0000/lengths", "layers/0000/record/known"}) {
    EXPECT_FALSE(accepted.contains(must)) << must;
  }
}

}  // namespace
}  // namespace namm::memory
