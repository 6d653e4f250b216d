#include "experiments/out_of_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/Functions.h>

#include "core/errors.h"
#include "models/torch_error.h"

namespace namm::experiments {
namespace {

using evolution::Purpose;
using evolution::WorkItem;
using evolution::WorkResult;
using ::testing::HasSubstr;

WorkItem item_of(std::vector<int64_t> members, int64_t samples) {
  WorkItem item;
  item.members = std::move(members);
  for (int64_t i = 0; i < samples; ++i) item.samples.push_back({0, i});
  return item;
}

/// Records are the member and the sample; more than `most` of them at once ask LibTorch for 2^50 bytes.
evolution::Evaluator hungry_beyond(size_t most) {
  return [most](const WorkItem& item) {
    if (item.rows() * item.samples.size() > most) at::empty({int64_t{1} << 50}, at::kByte);
    WorkResult result;
    for (int64_t row = 0; row < item.rows(); ++row) {
      for (const auto& sample : item.samples) {
        const double member = item.members.empty() ? -1 : static_cast<double>(item.members[row]);
        result.records.push_back({{member, static_cast<double>(sample.sample)}, ""});
      }
    }
    return result;
  };
}

TEST(OutOfMemory, HalvesGiveTheSameRecordsInTheSameOrder) {
  for (const auto& item : {item_of({4, 7, 9}, 2), item_of({4}, 3), item_of({}, 4)}) {
    const auto all = static_cast<size_t>(item.rows()) * item.samples.size();
    const WorkResult whole = evaluate_within_memory(hungry_beyond(all), item);
    const WorkResult halved = evaluate_within_memory(hungry_beyond(all - 1), item);
    EXPECT_EQ(halved.records, whole.records);
    EXPECT_EQ(halved.records.size(), all);
  }
}

TEST(OutOfMemory, WhatStaysTooLargeNamesTheSettings) {
  WorkItem calibration = item_of({}, 4);
  calibration.id.purpose = Purpose::calibrate;
  for (const auto& item : {item_of({1, 2, 3, 4}, 2), item_of({1}, 1), calibration}) {
    EXPECT_THAT([&] { evaluate_within_memory(hungry_beyond(0), item); },
                ::testing::ThrowsMessage<InfrastructureError>(
                    ::testing::AllOf(HasSubstr("out of memory: lower --threads"),
                                     HasSubstr("tried to allocate 1125899906842624 bytes"))));
  }
}

TEST(OutOfMemory, IsSeenThroughTorchScriptToo) {
  EXPECT_TRUE(models::is_out_of_memory(std::bad_alloc()));
  EXPECT_TRUE(models::is_out_of_memory(
      std::runtime_error("The following operation failed.\nRuntimeError: std::bad_alloc")));
  EXPECT_FALSE(models::is_out_of_memory(std::runtime_error("RuntimeError: a wrong size")));
}

TEST(OutOfMemory, OtherErrorsAreNotTriedInHalves) {
  int calls = 0;
  const auto broken = [&](const WorkItem&) -> WorkResult {
    ++calls;
    TORCH_CHECK(false, "[bam] no such size");
  };
  EXPECT_THAT(
      [&] {
        evaluate_within_memory(broken, item_of({1, 2}, 2));
      },
      ::testing::ThrowsMessage<InfrastructureError>("[bam] no such size"));
  const auto wrong = [&](const WorkItem&) -> WorkResult {
    ++calls;
    throw DataError("a damaged record");
  };
  EXPECT_THROW(evaluate_within_memory(wrong, item_of({1, 2}, 2)), DataError);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace namm::experiments
