#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tasks/records/benchmark_folder.h"
#include "tasks/records/record_index.h"
#include "tasks/records/record_splits.h"
#include "tasks/task.h"
#include "tasks/task_list.h"
#include "tasks/text/truncation.h"

namespace namm::tasks {

/// A task over the records of one benchmark file: reads, deals out, truncates. A sample has one question
/// without text: the context is the whole prompt, cut by the benchmark's rule. What differs between
/// benchmarks are the virtual functions.
class RecordTask : public Task {
 public:
  const TaskInfo& info() const override { return info_; }
  const RecordIndex& records() const { return *records_; }
  std::optional<int64_t> count(Split split) const override;
  Sample sample(Split split, int64_t id, const TokenCodec& codec) const override;

 protected:
  /// `max_positions`: what the model reads, prompt and answer together; 0: no limit is known.
  RecordTask(TaskConfig config, Truncation truncation, int64_t max_positions)
      : config_(std::move(config)), truncation_(truncation), max_positions_(max_positions) {}

  /// To be called at the end of the constructor, when info() is complete: reads the file. `key` is the
  /// setting that names the folder, `origin` where the user gets it from.
  void open_records(const std::shared_ptr<const BenchmarkFolder>& folder, const std::string& file,
                    const std::string& id_field, const std::string& origin);

  /// Throws DataError (beginning with `where`) for a record that cannot be used.
  virtual void check(const std::string& where, const nlohmann::json& record) const = 0;
  /// The prompt before truncation.
  virtual std::string prompt_of(const nlohmann::json& record) const = 0;
  /// Answers and what the metric needs beside them; the target's text and ids are made here.
  virtual Question question_of(const nlohmann::json& record) const = 0;
  /// The record's own name, may be empty.
  virtual std::string id_of(const nlohmann::json& record) const = 0;
  /// The record's own length, what LongBench-E's buckets go by; 0 where it has none.
  virtual int64_t length_of(const nlohmann::json& record) const = 0;

  TaskInfo info_;
  TaskConfig config_;
  Truncation truncation_;

 private:
  void set_prompt_limit();

  int64_t max_positions_;
  int64_t prompt_limit_ = 0;  // tokens; 0: none
  std::unique_ptr<RecordIndex> records_;
  RecordSplits splits_;
};

}  // namespace namm::tasks
