// Seeds for the fuzzers beside this file, one folder a fuzzer: make_corpus FOLDER.

#include <filesystem>
#include <fstream>
#include <string>

#include "core/files.h"
#include "core/journal.h"
#include "evolution/checkpoint.h"
#include "evolution/named_array.h"
#include "evolution/queues/wire.h"
#include "evolution/run_announcement.h"

namespace {

using namespace namm;
using namespace namm::evolution;

std::filesystem::path folder;

void write(const std::string& fuzzer, const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(folder / fuzzer);
  std::ofstream(folder / fuzzer / name, std::ios::binary | std::ios::trunc) << bytes;
}

WorkResult result_of(bool failed) {
  WorkResult result;
  result.id = {0, Purpose::population, 3, 0, 1};
  result.content_hash = std::string(32, 'h');
  result.rows = 2;
  result.samples = 1;
  result.worker = "worker";
  if (failed) {
    result.failure = "out of memory";
    result.failure_code = ExitCode::data;
  } else {
    result.records = {{{0.5, 1.0}, "text"}, {{-0.25}, ""}};
  }
  return result;
}

WorkResult calibration() {
  WorkResult result = result_of(false);
  result.records.clear();
  result.bytes =
      encode(NamedArrays{scalar_array("count", 3.0), vector_array("sum", std::vector<double>{1, 2})});
  return result;
}

void write_items() {
  WorkItem item;
  item.id = {0, Purpose::population, 3, 0, 1};
  item.members = {0, 2};
  item.samples = {{0, 1}, {1, -7}};
  item.candidates = make_candidates(3, 2, {1, 2, 3, 4, 5, 6});
  item.payload = "payload";
  write("item", "members", wire::encode_item(item));
  write("item", "sealed", wire::seal(wire::Kind::item, "config", wire::encode_item(item)));
  item.members.clear();
  item.candidates = nullptr;
  write("item", "no-members", wire::encode_item(item));
  write("item", "candidate", wire::seal(wire::Kind::candidate, "config", std::string(8, '\x3F')));
}

void write_results() {
  write("result", "records", encode(result_of(false)));
  write("result", "failure", encode(result_of(true)));
  write("result", "calibration", encode(calibration()));
  write("result", "arrays",
        encode(
            NamedArrays{scalar_array("n", int64_t{3}), {"matrix", {2, 2}, std::vector<double>{1, 2, 3, 4}}}));
}

void write_announcements() {
  RunAnnouncement run;
  run.run = "smoke-0a1b2c3d";
  run.name = "smoke";
  run.state = "running";
  run.config = "name: smoke\n";
  run.config_sha256 = std::string(64, '0');
  run.requirements = {{"build", "1"}, {"device", "cpu"}};
  write("announcement", "running", to_json_text(run));
  run.state = "stopped";
  run.requirements.clear();
  write("announcement", "stopped", to_json_text(run));
}

void write_journals() {
  const auto path = folder / "journal.tmp";
  std::filesystem::remove(path);
  Journal::open(path, "key");
  const std::string head = read_file(path);
  Journal::open(path, "key").append(encode(result_of(false)));
  Journal::open(path, "key").append("");
  const std::string whole = read_file(path);
  std::filesystem::remove(path);
  write("journal", "whole", std::string(1, '\0') + whole);
  write("journal", "records", "\x01" + whole.substr(head.size()));
  write("journal", "torn", "\x01" + whole.substr(head.size(), 40));
}

void write_checkpoints() {
  Checkpoint checkpoint;
  checkpoint.config_sha256 = "config";
  checkpoint.optimizer = {"cr-fm-nes", {scalar_array("sigma", 0.5)}};
  checkpoint.samples = {{0, 1}};
  const auto path = folder / "checkpoint.tmp";
  write_checkpoint(path, checkpoint);
  write("checkpoint", "file", "\x01" + read_file(path));
  std::filesystem::remove(path);
  // Numbers that the fuzzer builds a file from.
  write("checkpoint", "parts", std::string(200, '\x02'));
  write("checkpoint", "other-parts",
        std::string(1, '\0') + std::string(100, '\x05') + std::string(100, '\x43'));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  folder = argv[1];
  std::filesystem::create_directories(folder);
  write_items();
  write_results();
  write_announcements();
  write_journals();
  write_checkpoints();
  return 0;
}
