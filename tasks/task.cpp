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
                                         std::optional<double> score) {
  using nlohmann::ordered_json;
  const Question& asked = sample.questions.at(question);
  ordered_json record;
  if (!asked.label.empty()) {
    const bool is_number = !sample.record_id.empty() && sample.record_id.size() < 19 &&
                           sample.record_id.find_first_not_of("0123456789") == std::string::npos;
    record["id"] = is_number ? ordered_json(std::stoll(sample.record_id)) : ordered_json(sample.record_id);
    record["prediction"] = replace_invalid_utf8(prediction);
    record["ground_truth"] = ordered_json::parse(asked.label);
  } else {
    record["pred"] = replace_invalid_utf8(prediction);
    record["answers"] = asked.answers;
    record["all_classes"] = asked.all_classes.empty() ? ordered_json() : ordered_json(asked.all_classes);
    record["length"] = sample.length;
    if (!sample.record_id.empty()) record["_id"] = sample.record_id;
  }
  record["split"] = split_name(sample.split);
  record["sample"] = sample.id;
  record["question"] = question;
  record["score"] = score ? ordered_json(*score) : ordered_json();
  record["prompt_sha256"] = prompt_sha256(sample, asked);
  record["truncated"] = sample.truncated;
  return record;
}

}  // namespace namm::tasks
