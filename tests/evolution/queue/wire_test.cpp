#include "evolution/queues/wire.h"

#include <cstring>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/sha256.h"
#include "evolution/bytes.h"

namespace namm::evolution::wire {
namespace {

const std::string kConfig(64, 'c');

WorkItem sample_item() {
  WorkItem item;
  item.id = {1, Purpose::population, 12, 0, 3};
  item.attempt = 2;
  item.members = {1, 2};
  item.samples = {{0, 7}, {0, -8}, {1, std::numeric_limits<int64_t>::max()}};
  item.candidates = make_candidates(3, 2, {0, 1, 2, 3, 4, 5});
  item.shared = std::make_shared<const std::string>("statistics");
  item.payload = std::string("pay\0load", 8);
  return item;
}

WorkResult sample_result() {
  WorkResult result;
  result.id = {0, Purpose::validation, 4, 1, 2};
  result.content_hash = std::string(32, '\x07');
  result.rows = 1;
  result.samples = 2;
  result.records = {{{0.5, -0.0}, "text"}, {{}, ""}};
  result.worker = "host:1, cpu";
  return result;
}

std::string reason_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Wire, AnItemComesBackWithoutWhatItsBatchShares) {
  const WorkItem item = sample_item();
  const ItemMessage back = decode_item(encode_item(item));
  EXPECT_EQ(back.item.id, item.id);
  EXPECT_EQ(back.item.attempt, 2);
  EXPECT_EQ(back.item.delivery, 1);
  EXPECT_EQ(back.item.members, item.members);
  EXPECT_EQ(back.item.samples, item.samples);
  EXPECT_EQ(back.item.payload, item.payload);
  EXPECT_EQ(back.item.candidates, nullptr);
  EXPECT_EQ(back.item.shared, nullptr);
  EXPECT_EQ(back.candidate_rows, 3);
  EXPECT_EQ(back.dimension, 2);
  EXPECT_TRUE(back.has_shared);

  WorkItem whole = back.item;
  whole.candidates = item.candidates;
  whole.shared = item.shared;
  EXPECT_EQ(whole.content_hash(), back.content_hash);
}

TEST(Wire, AnItemWithoutMembersComesBack) {
  WorkItem item = sample_item();
  item.members.clear();
  item.candidates = nullptr;
  item.shared = nullptr;
  const ItemMessage back = decode_item(encode_item(item));
  EXPECT_TRUE(back.item.members.empty());
  EXPECT_EQ(back.candidate_rows, 0);
  EXPECT_FALSE(back.has_shared);
  EXPECT_EQ(back.content_hash, item.content_hash());
}

TEST(Wire, ACandidateComesBackBitForBit) {
  const std::vector<float> values = {0.0F, -0.0F, 1e-45F, std::numeric_limits<float>::quiet_NaN()};
  const auto back = decode_candidate(encode_candidate(values), 4);
  ASSERT_EQ(back.size(), values.size());
  EXPECT_EQ(std::memcmp(back.data(), values.data(), values.size() * sizeof(float)), 0);
  EXPECT_TRUE(decode_candidate("", 0).empty());
}

TEST(Wire, ACandidateOfAnotherLengthIsRefused) {
  const std::string body = encode_candidate(std::vector<float>(3, 1.0F));
  for (const int64_t dimension : {int64_t{0}, int64_t{2}, int64_t{4}, int64_t{-1}}) {
    EXPECT_THROW(decode_candidate(body, dimension), DataError) << dimension;
  }
  EXPECT_THROW(decode_candidate(body + "x", 3), DataError);
  // Times the size of a number these are zero bytes.
  EXPECT_THROW(decode_candidate("", int64_t{1} << 62), DataError);
  EXPECT_THROW(decode_candidate("", std::numeric_limits<int64_t>::min()), DataError);
}

struct Sealed {
  const char* name;
  Kind kind;
  std::string message;
};

std::vector<Sealed> sealed_messages() {
  return {{"item", Kind::item, seal(Kind::item, kConfig, encode_item(sample_item()))},
          {"result", Kind::result, seal(Kind::result, kConfig, encode(sample_result()))},
          {"candidate", Kind::candidate,
           seal(Kind::candidate, kConfig, encode_candidate(std::vector<float>(5, 0.5F)))},
          {"shared", Kind::shared, seal(Kind::shared, kConfig, "statistics")}};
}

TEST(Wire, SealedMessagesAreOpened) {
  EXPECT_NO_THROW(decode_item(unseal(Kind::item, kConfig, sealed_messages()[0].message)));
  EXPECT_TRUE(decode_result(unseal(Kind::result, kConfig, sealed_messages()[1].message))
                  .same_outcome(sample_result()));
  EXPECT_EQ(unseal(Kind::candidate, kConfig, sealed_messages()[2].message).size(), 20U);
  EXPECT_EQ(unseal(Kind::shared, kConfig, sealed_messages()[3].message), "statistics");
  EXPECT_EQ(unseal(Kind::shared, "", seal(Kind::shared, "", "")), "");
}

TEST(Wire, EveryTruncationIsRefused) {
  for (const auto& [name, kind, message] : sealed_messages()) {
    for (std::size_t length = 0; length < message.size(); ++length) {
      EXPECT_THROW(unseal(kind, kConfig, std::string_view(message).substr(0, length)), DataError)
          << name << ", " << length << " bytes";
    }
    EXPECT_THROW(unseal(kind, kConfig, message + '\0'), DataError) << name;
  }
}

TEST(Wire, EveryFlippedBitIsRefused) {
  for (const auto& [name, kind, message] : sealed_messages()) {
    std::string damaged = message;
    for (std::size_t place = 0; place < message.size(); ++place) {
      for (int bit = 0; bit < 8; ++bit) {
        damaged[place] = static_cast<char>(message[place] ^ (1 << bit));
        EXPECT_THROW(unseal(kind, kConfig, damaged), DataError) << name << ", byte " << place;
      }
      damaged[place] = message[place];
    }
  }
}

TEST(Wire, AMessageOfAnotherKindOrConfigurationIsRefused) {
  for (const auto& [name, kind, message] : sealed_messages()) {
    for (const Kind other : {Kind::item, Kind::result, Kind::candidate, Kind::shared}) {
      if (other == kind) continue;
      const std::string reason = reason_of([&] { unseal(other, kConfig, message); });
      EXPECT_NE(reason.find("of another kind"), std::string::npos) << name << ": " << reason;
    }
    for (const std::string& config : {std::string(), std::string(64, 'd'), kConfig + "c"}) {
      const std::string reason = reason_of([&] { unseal(kind, config, message); });
      EXPECT_NE(reason.find("another configuration"), std::string::npos) << name << ": " << reason;
    }
  }
}

TEST(Wire, ForeignBytesAreNoneOfOurs) {
  for (const std::string& bytes : {std::string("{\"json\": true}") + std::string(64, ' '),
                                   std::string(100, '\0'), std::string(100, '\xFF')}) {
    EXPECT_NE(reason_of([&] { unseal(Kind::item, kConfig, bytes); }).find("none of ours"), std::string::npos);
  }
}

/// Right in every byte that a checksum covers, and of a version that this program does not know.
TEST(Wire, AnotherVersionIsRefusedByName) {
  ByteWriter writer;
  writer.number(uint32_t{0x4D4D414E});
  writer.number(uint32_t{2});
  writer.number(uint8_t{1});
  std::string message = writer.take();
  const auto digest = Sha256().update(message).digest();
  message.append(digest.begin(), digest.end());
  EXPECT_NE(reason_of([&] { unseal(Kind::item, kConfig, message); }).find("another version"),
            std::string::npos);
}

/// The body of an item with any numbers in its fields, as somebody with the queue's token could send it.
struct HostileItem {
  uint64_t member_count = 1;
  std::vector<int64_t> members = {0};
  uint64_t sample_count = 1;
  int64_t rows = 1;
  int64_t dimension = 1;
  uint8_t shared = 0;
  std::size_t hash_bytes = 32;
  uint8_t purpose = 2;

  std::string body() const {
    ByteWriter writer;
    writer.number(int32_t{0});
    writer.number(purpose);
    writer.number(int64_t{0});
    writer.number(int32_t{0});
    writer.number(int64_t{0});
    writer.number(int32_t{1});
    writer.number(member_count);
    for (const int64_t member : members) writer.number(member);
    writer.number(sample_count);
    writer.number(int32_t{0});
    writer.number(int64_t{0});
    writer.number(rows);
    writer.number(dimension);
    writer.number(shared);
    writer.text("");
    writer.text(std::string(hash_bytes, 'h'));
    return writer.take();
  }
};

TEST(Wire, HostileCountsAreRefused) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  ASSERT_NO_THROW(decode_item(HostileItem{}.body()));
  ASSERT_NO_THROW(decode_item(HostileItem{.rows = 1 << 20, .dimension = 1 << 10}.body()));
  const std::map<std::string, HostileItem> items = {
      {"members that are not there", {.member_count = ~uint64_t{0}}},
      {"members beyond the record", {.member_count = uint64_t{1} << 40}},
      {"bytes of members that overflow", {.member_count = uint64_t{1} << 61}},
      {"samples that are not there", {.sample_count = ~uint64_t{0}}},
      {"bytes of samples that overflow", {.sample_count = uint64_t{1} << 62}},
      {"no samples", {.sample_count = 0}},
      {"negative rows", {.rows = -1}},
      {"rows beyond any population", {.rows = kMost}},
      {"one row too many", {.rows = (1 << 20) + 1}},
      {"a matrix without rows", {.rows = 0}},
      {"negative dimension", {.dimension = -1}},
      {"least dimension", {.dimension = kLeast}},
      {"dimension beyond memory", {.dimension = kMost}},
      {"rows times dimension beyond memory", {.rows = 1 << 20, .dimension = (1 << 10) + 1}},
      {"rows times dimension that overflow", {.rows = 1 << 20, .dimension = int64_t{1} << 44}},
      {"no rows and any dimension", {.member_count = 0, .members = {}, .rows = 0, .dimension = kMost}},
      {"member behind the last row", {.members = {1}}},
      {"negative member", {.members = {-1}}},
      {"greatest member", {.members = {kMost}}},
      {"an unknown flag", {.shared = 2}},
      {"a short hash", {.hash_bytes = 31}},
      {"an unknown purpose", {.purpose = 5}},
  };
  for (const auto& [name, item] : items) {
    EXPECT_THROW(decode_item(item.body()), DataError) << name;
    EXPECT_THROW(decode_item(unseal(Kind::item, kConfig, seal(Kind::item, kConfig, item.body()))), DataError)
        << name;
  }
}

TEST(Wire, EveryTruncationOfAnItemsBodyIsRefused) {
  const std::string body = encode_item(sample_item());
  for (std::size_t length = 0; length < body.size(); ++length) {
    EXPECT_THROW(decode_item(std::string_view(body).substr(0, length)), DataError) << length;
  }
  EXPECT_THROW(decode_item(body + "x"), DataError);
}

}  // namespace
}  // namespace namm::evolution::wire
