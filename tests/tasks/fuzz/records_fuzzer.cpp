#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <istream>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/log.h"
#include "tasks/records/benchmark_folder.h"
#include "tasks/scoring/scoring.h"
#include "tasks/task_list.h"
#include "tests/support/temporary_directory.h"
#include "tests/tasks/codecs.h"

namespace {

using namespace namm::tasks;

/// What a user's files may be taken for; the first byte chooses.
constexpr std::array tasks_with_records = {"longbench/trec",
                                           "longbench/passage_retrieval_en",
                                           "longbench/qasper",
                                           "longbench/lcc",
                                           "infinitebench/passkey",
                                           "infinitebench/code_debug",
                                           "infinitebench/math_calc",
                                           "infinitebench/math_find",
                                           "infinitebench/code_run",
                                           "infinitebench/kv_retrieval",
                                           "infinitebench/longbook_qa_eng"};
constexpr size_t kinds = tasks_with_records.size() + 5;

const std::filesystem::path& folder() {
  static const namm::testing::TemporaryDirectory directory;
  static const std::filesystem::path path = directory.path();
  return path;
}

std::filesystem::path write(const std::string& name, std::string_view bytes) {
  std::ofstream(folder() / name, std::ios::binary | std::ios::trunc) << bytes;
  return folder() / name;
}

void ask(const std::string& name, std::string_view bytes, bool skip_bad_records) {
  write(name.substr(name.find('/') + 1) + ".jsonl", bytes);
  static const namm::testing::PieceCodec codec;
  const auto task = make_task(
      name, {.max_prompt_tokens = 64, .record_splits = "test", .skip_bad_records = skip_bad_records},
      {.longbench = {folder()}, .infinitebench = {folder()}});
  const int64_t count = std::min<int64_t>(*task->count(Split::test), 3);
  for (int64_t i = 0; i < count; ++i) {
    const Sample sample = task->sample(Split::test, i, codec);
    for (const Question& question : sample.questions) {
      task->score(question.answers.front(), question);
      prediction_record(sample, 0, "A. 12", task->score("A. 12", question)).dump();
    }
  }
}

void read_archive(std::string_view bytes) {
  const auto archive = BenchmarkFolder::open(write("data.zip", bytes));
  for (const std::string& file : archive->files()) {
    const auto stream = archive->read(file);
    std::array<char, 4096> buffer;
    for (int i = 0; i < 256 && stream->read(buffer.data(), buffer.size()); ++i) {
    }
  }
}

}  // namespace

// Benchmark files, archives and stored predictions: read and scored, or refused with an error of ours.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    namm::set_log_level(namm::parse_log_level("off"));
    return true;
  }();
  if (size == 0 || !quiet) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t kind = data[0] % kinds;
  const bool skip = data[0] >= 128;
  ScoreSettings settings;
  settings.skip_bad_records = skip;
  try {
    if (kind < tasks_with_records.size()) {
      ask(tasks_with_records[kind], bytes, skip);
    } else if (kind == tasks_with_records.size()) {
      read_archive(bytes);
    } else if (kind == tasks_with_records.size() + 1) {
      score_predictions("longbench", write("trec.jsonl", bytes), std::nullopt, settings).dump();
    } else if (kind == tasks_with_records.size() + 2) {
      score_predictions("infinitebench", write("preds_math_find.jsonl", bytes), std::nullopt, settings)
          .dump();
    } else {
      score_cases(kind == tasks_with_records.size() + 3 ? "longbench" : "infinitebench",
                  write("cases.jsonl", bytes), settings)
          .dump();
    }
  } catch (const namm::Error&) {
  }
  return 0;
}
