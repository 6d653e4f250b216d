#include "core/run_directory.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/hdf5.h"
#include "core/json_lines.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class RunDirectoryTest : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "runs/quickstart";
};

void write_checkpoint(const std::filesystem::path& path, int64_t value) {
  Hdf5File file = Hdf5File::create(path);
  file.write_scalar<int64_t>("generation", value);
  file.commit();
}

TEST_F(RunDirectoryTest, RefusesAnExistingOneAndNamesTheWayOut) {
  RunDirectory::create(path_);
  EXPECT_THAT([&] { RunDirectory::create(path_); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr(path_.string() + ": exists already"),
                                               HasSubstr("`namm run --resume " + path_.string() + "`"),
                                               HasSubstr("--out"))));
}

TEST_F(RunDirectoryTest, NextFreeNameCountsFromTwo) {
  EXPECT_EQ(RunDirectory::next_free(path_), path_);
  RunDirectory::create(path_);
  EXPECT_EQ(RunDirectory::next_free(path_), directory_ / "runs/quickstart-2");
  EXPECT_EQ(RunDirectory::next_free(directory_ / "runs/quickstart/"), directory_ / "runs/quickstart-2");
  RunDirectory::create(directory_ / "runs/quickstart-2");
  EXPECT_EQ(RunDirectory::next_free(path_), directory_ / "runs/quickstart-3");
}

TEST_F(RunDirectoryTest, OpeningNeedsARun) {
  EXPECT_THAT([&] { RunDirectory::open(path_); },
              ThrowsMessage<DataError>(HasSubstr("there is no such run directory")));
  std::filesystem::create_directories(path_);
  EXPECT_THAT([&] { RunDirectory::open(path_); },
              ThrowsMessage<DataError>(HasSubstr("it holds no config.yaml")));
  EXPECT_TRUE(std::filesystem::is_empty(path_)) << "a folder that is no run was changed";
}

TEST_F(RunDirectoryTest, TwoProcessesNeverShareIt) {
  const RunDirectory first = RunDirectory::create(path_);
  write_atomically(first.config(), "name: x\n");
  EXPECT_THAT([&] { RunDirectory::open(path_); },
              ThrowsMessage<ConfigError>(HasSubstr("another process works in this run")));
  EXPECT_NO_THROW(RunDirectory::open_to_read(path_));
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      RunDirectory::open(path_);
      ::_exit(0);
    } catch (const ConfigError&) {
      ::_exit(2);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 2);
}

TEST_F(RunDirectoryTest, TheLockEndsWithItsHolder) {
  {
    RunDirectory first = RunDirectory::create(path_);
    write_atomically(first.config(), "name: x\n");
    const RunDirectory moved = std::move(first);
    EXPECT_THROW(RunDirectory::open(path_), ConfigError);
  }
  EXPECT_NO_THROW(RunDirectory::open(path_));
}

TEST_F(RunDirectoryTest, PathsAreThoseOfTheDesign) {
  const RunDirectory run = RunDirectory::create(path_);
  EXPECT_EQ(run.checkpoint(120), path_ / "checkpoints/generation_000120.h5");
  EXPECT_EQ(run.checkpoint(12345678), path_ / "checkpoints/generation_12345678.h5");
  EXPECT_EQ(run.predictions("evaluate", "namm", "needle/hop"),
            path_ / "predictions/evaluate/namm/needle-hop.jsonl");
  EXPECT_TRUE(std::filesystem::is_directory(path_ / "predictions/evaluate/namm"));
  EXPECT_EQ(run.journal("generation_000007"), path_ / "journal/generation_000007");
  EXPECT_EQ(run.results(), path_ / "results.h5");
  EXPECT_EQ(run.memory(), path_ / "memory.h5");
  EXPECT_EQ(run.table(), path_ / "table.md");
  EXPECT_EQ(run.journal("../../x"), path_ / "journal/..-..-x");
  EXPECT_THROW(run.journal(".."), ConfigError);
}

TEST_F(RunDirectoryTest, TheNewestWholeCheckpointCounts) {
  const RunDirectory run = RunDirectory::create(path_);
  EXPECT_EQ(run.newest_checkpoint(), std::nullopt);
  for (const int64_t generation : {1, 2, 10, 1000000}) {
    write_checkpoint(run.checkpoint(generation), generation);
  }
  std::ofstream(path_ / "checkpoints/generation_000011.h5.tmp-1-2") << "half";
  std::ofstream(path_ / "checkpoints/notes.txt") << "mine";
  EXPECT_EQ(run.checkpoints().size(), 4U);
  EXPECT_EQ(run.newest_checkpoint()->generation, 1000000);
  std::filesystem::resize_file(run.checkpoint(1000000),
                               std::filesystem::file_size(run.checkpoint(1000000)) - 1);
  EXPECT_EQ(run.newest_checkpoint()->generation, 10);
  run.remove_old_checkpoints(2);
  EXPECT_EQ(run.checkpoints().size(), 2U);
  EXPECT_FALSE(std::filesystem::exists(path_ / "checkpoints/generation_000011.h5.tmp-1-2"));
  EXPECT_TRUE(std::filesystem::exists(path_ / "checkpoints/notes.txt"));
}

TEST_F(RunDirectoryTest, LogDropsATornRow) {
  const RunDirectory run = RunDirectory::create(path_);
  EXPECT_TRUE(run.log_rows().empty());
  run.append_log_row({{"generation", 1}, {"best", 0.5}});
  run.append_log_row({{"generation", 2}, {"best", std::numeric_limits<double>::quiet_NaN()}});
  std::ofstream(run.log(), std::ios::app) << "{\"generation\": 3";
  ASSERT_EQ(run.log_rows().size(), 2U);
  EXPECT_TRUE(run.log_rows()[1]["best"].is_null());
  run.replace_log({run.log_rows()[0]});
  EXPECT_EQ(read_file(run.log()), "{\"best\":0.5,\"generation\":1}\n");
  std::ofstream(run.log(), std::ios::app) << "junk\n";
  EXPECT_THAT([&] { run.log_rows(); },
              ThrowsMessage<DataError>(HasSubstr("log.jsonl:2:1:1: not valid JSON")));
}

TEST_F(RunDirectoryTest, ProvenanceKeepsItsFirstEntry) {
  const RunDirectory run = RunDirectory::create(path_);
  run.write_provenance(build_info(), {{"seed", 7}}, {"namm", "run", "x.yaml"});
  run.write_provenance(build_info(), {{"seed", 8}}, {"namm", "run", "--resume"});
  const nlohmann::json document = read_json(run.provenance());
  EXPECT_EQ(document["seed"], 7);
  EXPECT_EQ(document["command_line"][2], "x.yaml");
  EXPECT_EQ(document["git_revision"], build_info().git_revision);
  EXPECT_EQ(document["resumed"][0]["seed"], 8);
}

TEST_F(RunDirectoryTest, ProvenanceOfAnotherShapeIsRefused) {
  const RunDirectory run = RunDirectory::create(path_);
  EXPECT_TRUE(run.read_provenance().is_null());
  for (const char* text : {"[]", "{\"resumed\": 3}", "7"}) {
    write_atomically(run.provenance(), text);
    EXPECT_THAT([&] { run.write_provenance(build_info(), {}, {}); },
                ThrowsMessage<DataError>(HasSubstr("provenance.json: must be an object")))
        << text;
  }
}

TEST_F(RunDirectoryTest, NameIsThatOfTheFolderHoweverThePathEnds) {
  RunDirectory::create(path_);
  write_atomically(path_ / "config.yaml", "name: x\n");
  for (const char* end : {"", "/", "/."}) {
    EXPECT_EQ(RunDirectory::open_to_read(path_.string() + end).name(), "quickstart") << end;
  }
}

TEST_F(RunDirectoryTest, WhatCannotBeReadIsAnErrorOfOurs) {
  // A file where a folder should be.
  std::filesystem::create_directories(path_.parent_path());
  std::ofstream(path_) << "no folder";
  EXPECT_THROW(RunDirectory::open(path_ / "run"), DataError);
  EXPECT_THROW(append_durably(path_ / "log.jsonl", "x"), InfrastructureError);
  std::filesystem::remove(path_);
  const RunDirectory run = RunDirectory::create(path_);
  std::filesystem::remove_all(path_ / "checkpoints");
  EXPECT_TRUE(run.checkpoints().empty());
  std::ofstream(path_ / "checkpoints") << "no folder";
  EXPECT_THROW(run.checkpoints(), InfrastructureError);
}

TEST(BuildInfo, SaysWhatWasBuilt) {
  EXPECT_FALSE(build_info().version.empty());
  EXPECT_FALSE(build_info().compiler.empty());
  EXPECT_TRUE(build_info().git_revision == "unknown" || build_info().git_revision.size() == 40)
      << build_info().git_revision;
}

}  // namespace
}  // namespace namm
