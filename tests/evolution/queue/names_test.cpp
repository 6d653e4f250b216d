#include <set>

#include <gtest/gtest.h>

#include "core/text.h"
#include "evolution/queues/nats_names.h"
#include "evolution/run_announcement.h"

namespace namm::evolution::nats {
namespace {

/// Names chosen to look like parts of each other's streams and subjects.
const std::vector<std::string> kRuns = {
    "a",     "A",  "a-",    "-a",   "aa", "a_ITEMS", "a_RESULTS",   "NAMM_a_ITEMS",
    "items", "KV", "namm-", "ping", "g",  "0",       "results",     "KV_namm-a",
    "run",   "_",  "-",     "namm", "x",  "notice",  "coordinator", std::string(128, 'z')};

std::vector<ItemId> ids() {
  std::vector<ItemId> ids;
  for (const Purpose purpose :
       {Purpose::calibrate, Purpose::reference, Purpose::population, Purpose::validation, Purpose::test}) {
    for (const int32_t stage : {0, 1, 11}) {
      for (const int64_t generation : {int64_t{0}, int64_t{1}, int64_t{11}}) {
        for (const int32_t variant : {0, 1}) ids.push_back({stage, purpose, generation, variant, 0});
      }
    }
  }
  return ids;
}

/// Whether a server hands what is published on `subject` to those who ask for `pattern`.
bool matches(const std::string& pattern, const std::string& subject) {
  const auto wanted = split(pattern, '.');
  const auto found = split(subject, '.');
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == ">") return found.size() > i;
    if (i >= found.size() || (wanted[i] != "*" && wanted[i] != found[i])) return false;
  }
  return wanted.size() == found.size();
}

/// Tokens of letters, digits and what the names use; no empty token, no wildcard but where one is meant.
bool is_literal(const std::string& subject) {
  for (const auto& token : split(subject, '.')) {
    if (token.empty()) return false;
    for (const char c : token) {
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '$') return false;
    }
  }
  return true;
}

struct NamesOfRun {
  std::set<std::string> streams;
  std::set<std::string> patterns;  ///< asked for
  std::set<std::string> subjects;  ///< published on
};

NamesOfRun names_of(const std::string& run) {
  NamesOfRun names;
  names.streams = {items_stream(run), results_stream(run), bucket_stream(run)};
  names.patterns = {all_items(run), all_results(run), "$KV." + bucket(run) + ".>",
                    max_deliveries_subject(run), acknowledgements(run)};
  for (const char* key : {kRowKey, kCoordinatorKey}) names.subjects.insert(key_subject(bucket(run), key));
  names.subjects.insert({ping_subject(run), notice_subject(run), max_deliveries_subject(run)});
  for (ItemId id : ids()) {
    names.patterns.insert({items_of_batch(run, id), results_of_batch(run, id), bucket_subjects(run, id)});
    names.subjects.insert(key_subject(bucket(run), shared_key(id)));
    for (const int64_t index : {0, 1, 11}) {
      id.index = index;
      names.subjects.insert({item_subject(run, id), result_subject(run, id),
                             key_subject(bucket(run), candidate_key(id, index))});
    }
  }
  return names;
}

TEST(NatsNames, TheRunsOfTheTestMayBeOnAQueue) {
  for (const std::string& run : kRuns) EXPECT_TRUE(is_run_id(run)) << run;
}

TEST(NatsNames, TwoRunsShareNoStreamAndNoSubject) {
  std::vector<NamesOfRun> names;
  for (const std::string& run : kRuns) names.push_back(names_of(run));
  for (std::size_t one = 0; one < names.size(); ++one) {
    for (std::size_t other = 0; other < names.size(); ++other) {
      if (one == other) continue;
      for (const auto& stream : names[one].streams) {
        EXPECT_FALSE(names[other].streams.contains(stream)) << kRuns[one] << ", " << kRuns[other];
      }
      for (const auto& subject : names[one].subjects) {
        EXPECT_FALSE(names[other].subjects.contains(subject)) << subject;
      }
    }
  }
}

TEST(NatsNames, NoRunIsHandedWhatBelongsToAnother) {
  for (const std::string& one : kRuns) {
    for (const std::string& other : kRuns) {
      if (one == other) continue;
      const ItemId id{0, Purpose::population, 1, 0, 1};
      for (const std::string& pattern :
           {all_items(one), all_results(one), "$KV." + bucket(one) + ".>", max_deliveries_subject(one),
            acknowledgements(one), items_of_batch(one, id), results_of_batch(one, id),
            bucket_subjects(one, id), ping_subject(one), notice_subject(one)}) {
        for (const std::string& subject :
             {item_subject(other, id), result_subject(other, id), key_subject(bucket(other), shared_key(id)),
              key_subject(bucket(other), candidate_key(id, 0)), key_subject(bucket(other), kCoordinatorKey),
              key_subject(bucket(other), kCoordinatorKey), ping_subject(other), notice_subject(other),
              max_deliveries_subject(other), "$JS.ACK." + items_stream(other) + ".workers.1.2.3.4.5"}) {
          ASSERT_FALSE(matches(pattern, subject)) << pattern << " gets " << subject;
        }
      }
    }
  }
}

TEST(NatsNames, WithinARunEachStreamGetsItsOwn) {
  const ItemId id{1, Purpose::test, 2, 3, 4};
  EXPECT_TRUE(matches(all_items("a"), item_subject("a", id)));
  EXPECT_TRUE(matches(all_results("a"), result_subject("a", id)));
  EXPECT_TRUE(matches("$KV." + bucket("a") + ".>", key_subject(bucket("a"), candidate_key(id, 0))));
  EXPECT_FALSE(matches(all_items("a"), result_subject("a", id)));
  for (const std::string& subject : {ping_subject("a"), notice_subject("a")}) {
    EXPECT_FALSE(matches(all_items("a"), subject));
    EXPECT_FALSE(matches(all_results("a"), subject));
  }
}

TEST(NatsNames, ABatchTakesInItsOwnItemsOnly) {
  for (const ItemId& one : ids()) {
    for (const ItemId& other : ids()) {
      const bool same = one == other;
      EXPECT_EQ(matches(items_of_batch("a", one), item_subject("a", other)), same) << describe(other);
      EXPECT_EQ(matches(results_of_batch("a", one), result_subject("a", other)), same) << describe(other);
      for (const std::string& key : {candidate_key(other, 0), shared_key(other)}) {
        EXPECT_EQ(matches(bucket_subjects("a", one), key_subject(bucket("a"), key)), same) << key;
      }
      EXPECT_EQ(batch_name(one) == batch_name(other), same);
    }
  }
  // The announcement and the coordinator's entry outlive every batch.
  EXPECT_FALSE(matches(bucket_subjects("a", ids().front()), key_subject(bucket("a"), kCoordinatorKey)));
}

TEST(NatsNames, AServerTakesEveryName) {
  constexpr std::size_t kLongestStream = 255;
  for (const std::string& run : kRuns) {
    const NamesOfRun names = names_of(run);
    for (const auto& stream : names.streams) {
      EXPECT_TRUE(is_run_id(stream.substr(0, 100))) << stream;
      EXPECT_LE(stream.size(), kLongestStream);
    }
    for (const auto& subject : names.subjects) EXPECT_TRUE(is_literal(subject)) << subject;
  }
}

}  // namespace
}  // namespace namm::evolution::nats
