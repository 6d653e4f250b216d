#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "tasks/choubun.h"
#include "tasks/infinitebench_tasks.h"

/// Records in the official schemas, with texts of our own, of the benchmarks whose records the project cannot
/// ship.
namespace namm::testing {

/// One record of an InfiniteBench data set. `context` is what it asks about, made longer by `filler`.
inline nlohmann::json infinitebench_record(const std::string& task, int id, const std::string& filler = "") {
  using nlohmann::json;
  const std::string number = std::to_string(1000 + id);
  json record{{"id", id},
              {"context", filler + "The number of box " + number + " is " + number + "."},
              {"input", "What is in box " + number + "?"},
              {"options", json::array()},
              {"answer", json::array({number})}};
  if (task == "passkey" || task == "number_string") record["answer"] = number;
  if (task == "kv_retrieval") record["answer"] = "key-" + number;
  if (task == "longbook_sum_eng") record["answer"] = {"A long walk by the sea.\nIt ends well."};
  if (task == "longbook_qa_eng") record["answer"] = {"the old mill", "mill"};
  if (task == "longbook_qa_chn") record["answer"] = {"老磨坊"};
  if (task == "longdialogue_qa_eng") record["answer"] = {"ANNA"};
  if (task == "longbook_choice_eng" || task == "code_debug") {
    record["options"] = {"load_rows", "parse_rows", "write_rows", "close_rows"};
    record["answer"] = json::array({record["options"][static_cast<size_t>(id % 4)]});
  }
  if (task == "code_run") {
    record["input"] = "Please give me the exact number of the return value of func_" + number + "(-3).";
    record["answer"] = id - 5;
  }
  if (task == "math_find") {
    record["input"] = "You should answer with only one number. The second smallest number of the list is";
    record["answer"] = id % 2 == 0 ? json(id) : json(id + 0.5);
  }
  if (task == "math_calc") {
    record["context"] = "1 + " + number + " - 4";
    record["answer"] = {1, 1001 + id, 997 + id};
  }
  return record;
}

inline nlohmann::json choubun_record(const std::string& task, int id) {
  const std::string number = std::to_string(id);
  return {{"_id", task + number},
          {"context", "第" + number + "期の売上高は" + number + "億円であった。"},
          {"input", "売上高はいくらか。"},
          {"answers", {number + "億円"}},
          {"length", 20},
          {"dataset", task},
          {"language", "ja"},
          {"all_classes", nullptr}};
}

/// Writes `records` records of every data set of InfiniteBench and ChouBun.
inline void write_benchmark_records(const std::filesystem::path& folder, int records) {
  const auto write = [&](std::string_view task, const auto& record) {
    std::ofstream file(folder / (std::string(task) + ".jsonl"));
    for (int id = 0; id < records; ++id) file << record(std::string(task), id).dump() << "\n";
  };
  for (const auto& task : tasks::infinitebench_tasks()) {
    write(task.name, [](const std::string& name, int id) { return infinitebench_record(name, id); });
  }
  for (const auto& task : tasks::choubun_tasks()) write(task.name, choubun_record);
}

}  // namespace namm::testing
