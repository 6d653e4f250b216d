#include "tasks/data_check.h"

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/choubun.h"
#include "tasks/infinitebench.h"
#include "tasks/infinitebench_tasks.h"
#include "tasks/longbench.h"
#include "tasks/longbench_tasks.h"
#include "tasks/records/benchmark_folder.h"
#include "tasks/records/record_task.h"
#include "tasks/task_list.h"

namespace namm::tasks {
namespace {

using nlohmann::ordered_json;

struct OfficialFile {
  std::string task;
  std::string file;
  int64_t records;
};

struct Benchmark {
  std::string name;
  std::string origin;
  std::vector<OfficialFile> files;
};

std::vector<Benchmark> benchmarks() {
  Benchmark longbench{"longbench", longbench_origin, {}}, longbench_e{"longbench-e", longbench_origin, {}};
  for (const LongBenchTask& row : longbench_tasks()) {
    const auto add = [&](Benchmark& benchmark, int64_t records) {
      const std::string task = benchmark.name + "/" + std::string(row.name);
      if (records > 0) benchmark.files.push_back({task, longbench_file(task), records});
    };
    add(longbench, row.records);
    add(longbench_e, row.e_records);
  }
  Benchmark infinitebench{"infinitebench", infinitebench_origin, {}}, choubun{"choubun", choubun_origin, {}};
  for (const InfiniteBenchTask& row : infinitebench_tasks()) {
    const std::string task = "infinitebench/" + std::string(row.name);
    infinitebench.files.push_back({task, infinitebench_file(task), row.records});
  }
  for (const LongBenchTask& row : choubun_tasks()) {
    const std::string task = "choubun/" + std::string(row.name);
    choubun.files.push_back({task, choubun_file(task), row.records});
  }
  return {longbench, longbench_e, infinitebench, choubun};
}

ordered_json check_file(const OfficialFile& official, const std::string& place,
                        const std::filesystem::path& path) {
  ordered_json entry{{"file", place},    {"task", official.task},
                     {"records", 0},     {"official_records", official.records},
                     {"bad_records", 0}, {"bad", ordered_json::array()},
                     {"error", nullptr}};
  try {
    const TaskConfig config{.record_splits = "test", .skip_bad_records = true};
    const DataConfig data{.longbench = {path}, .infinitebench = {path}, .choubun = {path}};
    const auto task = make_task(official.task, config, data);
    const RecordIndex& records = dynamic_cast<const RecordTask&>(*task).records();
    entry["records"] = records.count();
    entry["bad_records"] = records.bad_records();
    entry["bad"] = records.named_bad_records();
  } catch (const DataError& error) {
    entry["error"] = error.what();
  }
  return entry;
}

}  // namespace

ordered_json check_data(const std::filesystem::path& path) {
  const auto folder = BenchmarkFolder::open(path);
  ordered_json document{{"path", path.string()}, {"benchmarks", ordered_json::array()}};
  for (const Benchmark& benchmark : benchmarks()) {
    ordered_json entry{{"benchmark", benchmark.name},
                       {"origin", benchmark.origin},
                       {"files", ordered_json::array()},
                       {"missing", ordered_json::array()}};
    for (const OfficialFile& official : benchmark.files) {
      const std::string place = folder->find(official.file);
      if (place.empty()) {
        entry["missing"].push_back(official.file);
      } else {
        entry["files"].push_back(check_file(official, folder->name_of(place), path));
      }
    }
    if (!entry["files"].empty()) document["benchmarks"].push_back(std::move(entry));
  }
  if (document["benchmarks"].empty()) {
    std::string origins;
    for (const Benchmark& benchmark : benchmarks()) {
      if (benchmark.name != "longbench-e")
        origins += format_text("\n  {}: {}", benchmark.name, benchmark.origin);
    }
    throw DataError(
        format_text("{}: holds no file of a benchmark that namm knows:{}", path.string(), origins));
  }
  return document;
}

}  // namespace namm::tasks
