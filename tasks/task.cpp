#include "tasks/task.h"

#include <nlohmann/json.hpp>

#include "core/sha256.h"
#include "core/text.h"

namespace namm::tasks {

std::string_view split_name(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::validation:
      return "validation";
    case Split::test:
      return "test";
  }
  return "";
}

std::string prompt_sha256(const Sample& sample, const Question& question) {
  return sha256_hex(sample.context + question.text);
}

nlohmann::ordered_json prediction_record(const Sample& sample, size_t question, const std::string& prediction,
                                         double score) {
  const Question& asked = sample.questions.at(question);
  nlohmann::ordered_json record;
  record["pred"] = replace_invalid_utf8(prediction);
  record["answers"] = asked.answers;
  record["all_classes"] =
      asked.all_classes.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(asked.all_classes);
  record["length"] = sample.length;
  if (!sample.record_id.empty()) record["_id"] = sample.record_id;
  record["split"] = split_name(sample.split);
  record["sample"] = sample.id;
  record["question"] = question;
  record["score"] = score;
  record["prompt_sha256"] = prompt_sha256(sample, asked);
  record["truncated"] = sample.truncated;
  return record;
}

}  // namespace namm::tasks
