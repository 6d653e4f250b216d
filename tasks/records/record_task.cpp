#include "tasks/records/record_task.h"

#include <algorithm>

#include "core/errors.h"
#include "core/log.h"
#include "core/text.h"
#include "tasks/text/continuation.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

bool ends_in_space_or_nothing(std::string_view text) {
  constexpr size_t longest_character = 4;
  const Text end = decode_utf8(text.substr(text.size() - std::min(text.size(), longest_character)));
  return end.empty() || is_space(end.back());
}

/// "longbench" of "longbench/qasper" and of "longbench-e/qasper", which have documents in common.
std::string benchmark_of(const std::string& task) {
  return task.substr(0, task.find_first_of("/-"));
}

}  // namespace

void RecordTask::open_records(const std::shared_ptr<const BenchmarkFolder>& folder, const std::string& file,
                              const std::string& id_field, const std::string& origin) {
  set_prompt_limit();
  const std::string place = folder->find(file);
  if (place.empty()) {
    throw DataError(format_text("{}: {} is not there, neither in it nor in a folder within: {}",
                                folder->path().string(), file, origin));
  }
  records_ = std::make_unique<RecordIndex>(
      folder, place, id_field, config_.skip_bad_records ? BadRecords::skip : BadRecords::refuse,
      [this](const std::string& where, const nlohmann::json& record) { check(where, record); });
  info_.record_splits = config_.record_splits;
  info_.skipped_records = records_->bad_records();
  if (info_.skipped_records > 0) {
    log_warning(format_text("{}: {} bad records are left out, the first: {}", info_.name,
                            info_.skipped_records, records_->named_bad_records().front()));
  }
  splits_ = split_records(*records_, config_.record_splits, benchmark_of(info_.name), config_.seed);
}

void RecordTask::set_prompt_limit() {
  prompt_limit_ = config_.max_prompt_tokens;
  if (prompt_limit_ > 0 || max_positions_ == 0) return;
  // The released rule leaves room for the answer by itself.
  prompt_limit_ = max_positions_ - (truncation_ == Truncation::released ? 0 : info_.generation_tokens);
  if (max_positions_ - info_.generation_tokens < 2) {
    throw ConfigError(
        format_text("{}: answers of {} tokens leave no room for a prompt in the model's {} positions",
                    info_.name, info_.generation_tokens, max_positions_));
  }
}

std::optional<int64_t> RecordTask::count(Split split) const {
  return std::ssize(splits_[static_cast<size_t>(split)]);
}

Sample RecordTask::sample(Split split, int64_t id, const TokenCodec& codec) const {
  const std::vector<int64_t>& members = splits_[static_cast<size_t>(split)];
  if (id < 0 || id >= std::ssize(members)) {
    throw ConfigError(format_text("{}: the {} split has {} samples, sample {} does not exist{}", info_.name,
                                  split_name(split), members.size(), id,
                                  members.empty() ? "; see the setting record_splits" : ""));
  }
  const nlohmann::json record = records_->read(members[static_cast<size_t>(id)]);

  Sample sample;
  sample.id = id;
  sample.split = split;
  sample.record_id = id_of(record);
  sample.length = length_of(record);

  TruncatedPrompt prompt =
      truncate_prompt(codec, prompt_of(record), prompt_limit_, truncation_, info_.generation_tokens);
  sample.context = std::move(prompt.text);
  sample.truncated = prompt.truncated;
  sample.original_tokens = prompt.original_tokens;
  sample.context_ids = codec.prefix();
  sample.prefix_tokens = std::ssize(sample.context_ids);
  const std::vector<int64_t> ids = codec.encode(sample.context);
  sample.context_ids.insert(sample.context_ids.end(), ids.begin(), ids.end());

  Question question = question_of(record);
  question.generation_tokens = info_.generation_tokens;
  const bool ends_in_space = ends_in_space_or_nothing(sample.context);
  question.target = (ends_in_space ? "" : " ") + question.answers.front();
  question.target_ids =
      ends_in_space ? codec.encode_continued(question.target) : encode_continuation(codec, question.target);
  sample.questions.push_back(std::move(question));
  return sample;
}

}  // namespace namm::tasks
