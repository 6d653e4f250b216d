#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "evolution/run_announcement.h"

namespace namm::evolution {
namespace {

RunAnnouncement sample_announcement() {
  RunAnnouncement announcement;
  announcement.run = "paper-stage-1-0a1b2c3d";
  announcement.name = "paper, stage 1";
  announcement.state = "running";
  announcement.config = "name: \"é\"\nseed: 1\n";
  announcement.config_sha256 = std::string(64, 'c');
  announcement.requirements = {{"build", "1"}, {"device", "cuda"}};
  announcement.lease_seconds = 2.5;
  announcement.item_limit_seconds = 60;
  announcement.max_deliveries = 7;
  return announcement;
}

/// The announcement's text with `value` in place of what stands under `key`.
std::string with(const std::string& key, const nlohmann::json& value) {
  nlohmann::json json = nlohmann::json::parse(to_json_text(sample_announcement()));
  json[key] = value;
  return json.dump();
}

TEST(RunAnnouncement, ComesBackFromItsText) {
  const RunAnnouncement announcement = sample_announcement();
  const RunAnnouncement back = parse_announcement(to_json_text(announcement));
  EXPECT_EQ(back.run, announcement.run);
  EXPECT_EQ(back.name, announcement.name);
  EXPECT_TRUE(back.running());
  EXPECT_EQ(back.config, announcement.config);
  EXPECT_EQ(back.config_sha256, announcement.config_sha256);
  EXPECT_EQ(back.requirements, announcement.requirements);
  EXPECT_EQ(back.lease_seconds, 2.5);
  EXPECT_EQ(back.item_limit_seconds, 60);
  EXPECT_EQ(back.max_deliveries, 7);
  EXPECT_EQ(to_json_text(back), to_json_text(announcement));
  EXPECT_FALSE(parse_announcement(with("state", "stopped")).running());
}

TEST(RunAnnouncement, EveryTruncationIsRefused) {
  const std::string text = to_json_text(sample_announcement());
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_THROW(parse_announcement(text.substr(0, length)), DataError) << length;
  }
}

TEST(RunAnnouncement, WhatIsMissingOrOfAnotherTypeIsRefused) {
  const nlohmann::json whole = nlohmann::json::parse(to_json_text(sample_announcement()));
  for (const auto& [key, value] : whole.items()) {
    nlohmann::json json = whole;
    json.erase(key);
    EXPECT_THROW(parse_announcement(json.dump()), DataError) << key;
    EXPECT_THROW(parse_announcement(with(key, nlohmann::json::array({1, 2}))), DataError) << key;
    EXPECT_THROW(parse_announcement(with(key, nullptr)), DataError) << key;
  }
  for (const char* text : {"", "[]", "null", "{}", "1", "\"protocol\"", "{\"protocol\": 1}"}) {
    EXPECT_THROW(parse_announcement(text), DataError) << text;
  }
  EXPECT_THROW(parse_announcement(with("requirements", {{"build", 1}})), DataError);
}

TEST(RunAnnouncement, AnotherProtocolIsRefusedByName) {
  try {
    parse_announcement(with("protocol", 2));
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("protocol 2"), std::string::npos) << error.what();
  }
}

TEST(RunAnnouncement, NumbersThatNoConfigurationHasAreRefused) {
  for (const double seconds : {0.0, -1.0, 1e9, 1e300}) {
    EXPECT_THROW(parse_announcement(with("lease_seconds", seconds)), DataError) << seconds;
  }
  for (const double seconds : {-1.0, 1e300}) {
    EXPECT_THROW(parse_announcement(with("item_limit_seconds", seconds)), DataError) << seconds;
  }
  EXPECT_EQ(parse_announcement(with("item_limit_seconds", 0)).item_limit_seconds, 0);
  for (const nlohmann::json& count : {nlohmann::json(0), nlohmann::json(-1), nlohmann::json(1e300),
                                      nlohmann::json(1.5), nlohmann::json(~uint64_t{0})}) {
    EXPECT_THROW(parse_announcement(with("max_deliveries", count)), DataError) << count;
  }
}

TEST(RunAnnouncement, NamesThatCannotStandInASubjectAreRefused) {
  for (const char* run : {"", "a.b", "a b", "*", ">", "a/b", "a\nb", "ü", "$KV", "..", "a\\b"}) {
    EXPECT_FALSE(is_run_id(run)) << run;
    EXPECT_THROW(parse_announcement(with("run", run)), DataError) << run;
  }
  EXPECT_FALSE(is_run_id(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_run_id(std::string(129, 'a')));
  EXPECT_TRUE(is_run_id(std::string(128, 'a')));
  EXPECT_TRUE(is_run_id("Smoke_2-0a9Z"));
}

TEST(RunAnnouncement, TheFirstDifferenceIsNamed) {
  const std::map<std::string, std::string> required = {{"build", "1"}, {"device", "cuda"}};
  EXPECT_EQ(difference(required, required), "");
  EXPECT_EQ(difference({}, required), "");
  EXPECT_EQ(difference(required, {{"build", "1"}, {"device", "cuda"}, {"more", "facts"}}), "");
  EXPECT_EQ(difference(required, {{"build", "1"}, {"device", "cpu"}}),
            "the run needs device cuda, this worker has cpu");
  EXPECT_EQ(difference(required, {{"device", "cpu"}}),
            "the run needs build 1, which this worker does not know");
}

}  // namespace
}  // namespace namm::evolution
