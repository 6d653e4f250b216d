#include "evolution/work_item.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/random.h"
#include "evolution/named_array.h"

namespace namm::evolution {
namespace {

WorkResult sample_result() {
  WorkResult result;
  result.id = {2, Purpose::validation, 17, 3, 4};
  result.attempt = 2;
  result.content_hash = std::string(32, '\x07');
  result.rows = 1;
  result.samples = 2;
  result.records = {{{0.5, -0.0, std::numeric_limits<double>::quiet_NaN()}, "text"},
                    {{}, std::string("a\0b", 3)}};
  result.bytes = "opaque";
  result.timings = "0.25 s";
  result.seconds = 1.5;
  result.worker = "thread 0, cpu";
  return result;
}

TEST(WorkResult, ComesBackFromItsBytes) {
  const WorkResult result = sample_result();
  const WorkResult back = decode_result(encode(result));
  EXPECT_TRUE(back.same_outcome(result));
  EXPECT_EQ(back.attempt, 2);
  EXPECT_EQ(back.seconds, 1.5);
  EXPECT_EQ(back.timings, "0.25 s");
  EXPECT_EQ(back.worker, result.worker);
  EXPECT_TRUE(std::signbit(back.records[0].values[1]));

  WorkResult failed = sample_result();
  failed.records.clear();
  failed.failure = "no memory";
  failed.failure_code = ExitCode::data;
  const WorkResult failed_back = decode_result(encode(failed));
  EXPECT_EQ(failed_back.failure, "no memory");
  EXPECT_EQ(failed_back.failure_code, ExitCode::data);
}

TEST(WorkResult, OutcomeIgnoresTimeWorkerAndAttempt) {
  WorkResult other = sample_result();
  other.seconds = 9;
  other.timings = "0.5 s";
  other.worker = "elsewhere";
  other.attempt = 3;
  EXPECT_TRUE(other.same_outcome(sample_result()));
  other.records[0].values[0] = std::nextafter(0.5, 1.0);
  EXPECT_FALSE(other.same_outcome(sample_result()));
}

TEST(WorkResult, EveryTruncationIsRefused) {
  const std::string bytes = encode(sample_result());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW(decode_result(std::string_view(bytes).substr(0, length)), DataError) << length;
  }
  EXPECT_THROW(decode_result(bytes + "x"), DataError);
}

/// Damaged bytes give a result or a DataError: no crash, no allocation beyond what the bytes justify.
TEST(WorkResult, SurvivesDamage) {
  const std::string original = encode(sample_result());
  RandomStream stream({.seed = 1, .purpose = "fuzz"});
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = original;
    for (uint64_t change = 0; change <= stream.uniform_int(4); ++change) {
      bytes[stream.uniform_int(bytes.size())] = static_cast<char>(stream.uniform_int(256));
    }
    if (stream.uniform_int(4) == 0) {
      bytes.resize(stream.uniform_int(bytes.size()));
    }
    try {
      decode_result(bytes);
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
  for (int round = 0; round < 2000; ++round) {
    std::string noise(stream.uniform_int(200), '\0');
    for (char& byte : noise) {
      byte = static_cast<char>(stream.uniform_int(256));
    }
    EXPECT_THROW(decode_result(noise), DataError);
  }
}

TEST(NamedArrays, ComeBackFromTheirBytesAndSurviveDamage) {
  const NamedArrays arrays = {scalar_array("sigma", 0.1),
                              vector_array("order", std::vector<int64_t>{3, -1}),
                              {"matrix", {2, 3}, std::vector<double>{1, 2, 3, 4, 5, 6}},
                              {"none", {0, 7}, std::vector<double>{}}};
  const std::string bytes = encode(arrays);
  EXPECT_EQ(decode_arrays(bytes), arrays);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW(decode_arrays(std::string_view(bytes).substr(0, length)), DataError) << length;
  }
  RandomStream stream({.seed = 2, .purpose = "fuzz"});
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = bytes;
    damaged[stream.uniform_int(damaged.size())] = static_cast<char>(stream.uniform_int(256));
    try {
      decode_arrays(damaged);
    } catch (const DataError&) {
    }
  }
}

TEST(NamedArrays, LookUpsNameWhatIsWrong) {
  const NamedArrays arrays = {scalar_array("sigma", 0.1), {"torn", {3}, std::vector<double>{1}}};
  EXPECT_EQ(double_of(arrays, "sigma"), 0.1);
  EXPECT_THROW(double_of(arrays, "mean"), DataError);
  EXPECT_THROW(integer_of(arrays, "sigma"), DataError);
  EXPECT_THROW(doubles_of(arrays, "sigma", 2), DataError);
  EXPECT_THROW(doubles_of(arrays, "torn"), DataError);
}

TEST(NamedArrays, HashSeesEveryPart) {
  const NamedArrays base = {vector_array("a", std::vector<double>{1, 2})};
  const NamedArrays name = {vector_array("b", std::vector<double>{1, 2})};
  const NamedArrays value = {vector_array("a", std::vector<double>{1, 3})};
  const NamedArrays shape = {{"a", {2, 1}, std::vector<double>{1, 2}}};
  const NamedArrays type = {vector_array("a", std::vector<int64_t>{1, 2})};
  for (const NamedArrays& other : {name, value, shape, type}) {
    EXPECT_NE(sha256_of(base), sha256_of(other));
  }
}

std::vector<SampleId> two_tasks() {
  return {{0, 1}, {0, 2}, {0, 3}, {1, 7}, {1, 8}};
}

TEST(Partition, CoversEveryPairOnceAndKeepsTasksApart) {
  const auto candidates = make_candidates(5, 2, std::vector<double>(10, 0.5));
  const auto items = partition({1, Purpose::population, 9, 0, 0}, candidates, two_tasks(), 2, 2);
  // Samples: (0: 1 2), (0: 3), (1: 7 8); members: (0 1), (2 3), (4).
  ASSERT_EQ(items.size(), 9u);
  std::map<std::pair<int64_t, SampleId>, int> seen;
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i].id.index, static_cast<int64_t>(i));
    EXPECT_EQ(items[i].id.generation, 9);
    for (const SampleId& sample : items[i].samples) {
      EXPECT_EQ(sample.task, items[i].samples.front().task);
      for (const int64_t member : items[i].members) {
        ++seen[{member, sample}];
      }
    }
  }
  EXPECT_EQ(seen.size(), 25u);
  for (const auto& [pair, count] : seen) {
    EXPECT_EQ(count, 1);
  }
}

TEST(Partition, WithoutMembersGivesOneRow) {
  const auto items = partition({0, Purpose::reference, 0, 0, 0}, nullptr, two_tasks(), 4, 8);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].rows(), 1);
  EXPECT_THROW(items[0].parameters(0), std::out_of_range);
  EXPECT_TRUE(partition({}, nullptr, {}, 4, 8).empty());
  EXPECT_THROW(partition({}, nullptr, two_tasks(), 0, 8), std::invalid_argument);
}

TEST(WorkItem, ContentHashSeesWhatDecidesTheResult) {
  const auto candidates = make_candidates(2, 2, {1, 2, 3, 4});
  const WorkItem item = partition({0, Purpose::population, 3, 0, 0}, candidates, two_tasks(), 2, 8)[0];
  WorkItem again = item;
  again.attempt = 3;
  again.candidates = make_candidates(3, 2, {1, 2, 3, 4, 9, 9});  // the rows in use are the same
  EXPECT_EQ(again.content_hash(), item.content_hash());
  EXPECT_EQ(item.content_hash().size(), 32u);
  std::vector<WorkItem> others(6, item);
  others[0].id.generation = 4;
  others[1].members = {1, 0};
  others[2].samples[0].sample = 5;
  others[3].shared = std::make_shared<const std::string>("statistics");
  others[4].payload = "budget";
  others[5].candidates = make_candidates(2, 2, {1, 2, 3, 5});
  for (std::size_t i = 0; i < others.size(); ++i) {
    EXPECT_NE(others[i].content_hash(), item.content_hash()) << i;
  }
}

}  // namespace
}  // namespace namm::evolution
