#include "tests/repository/include_graph.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(IncludeGraph, ThisTreeKeepsItsFloors) {
  EXPECT_THAT(testing::include_violations(NAMM_SOURCE_DIR), IsEmpty());
  EXPECT_GT(testing::source_file_count(NAMM_SOURCE_DIR), 30U) << "the sources were not found";
}

class BadTree : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;

  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::vector<std::string> violations() const { return testing::include_violations(directory_.path()); }
};

TEST_F(BadTree, UpwardArrowsAreFound) {
  write("core/a.h", "#pragma once\n#include \"memory/b.h\"\n");
  write("memory/b.h", "#pragma once\n#include <vector>\n");
  write("tasks/c.cpp", "#include \"evolution/d.h\"\n  #  include \"core/a.h\"  // fine\n");
  write("evolution/d.h", "");
  EXPECT_THAT(violations(),
              ElementsAre("core/a.h:2 includes memory/b.h: core stands below or beside memory",
                          "tasks/c.cpp:1 includes evolution/d.h: tasks stands below or beside evolution"));
}

TEST_F(BadTree, CyclesBetweenFilesAreFound) {
  write("core/a.h", "#include \"core/b.h\"\n");
  write("core/b.h", "#include \"core/c.h\"\n");
  write("core/c.h", "#include \"core/a.h\"\n");
  EXPECT_THAT(violations(), ElementsAre("cycle: core/a.h -> core/b.h -> core/c.h -> core/a.h"));
}

TEST_F(BadTree, LibrariesInTheWrongPlaceAreFound) {
  write("core/log.cpp", "#include <spdlog/spdlog.h>\n");
  write("core/text.cpp", "#include <spdlog/spdlog.h>\n");
  write("evolution/a.cpp", "#include <ATen/ATen.h>\n");
  write("memory/b.cpp", "#include <torch/script.h>\n#include <hdf5.h>\n");
  write("evolution/queues/nats_client.h", "#include <nats/nats.h>\n");
  write("experiments/c.cpp", "#include <nats/nats.h>\n#include \"evolution/queues/nats_client.h\"\n");
  EXPECT_THAT(
      violations(),
      ElementsAre(
          "core/text.cpp:1 includes spdlog/spdlog.h: spdlog and fmt appear in core/log.cpp only",
          "evolution/a.cpp:1 includes ATen/ATen.h: evolution includes no Torch",
          "experiments/c.cpp:1 includes nats/nats.h: the C library of NATS appears in evolution only",
          "experiments/c.cpp:2 includes evolution/queues/nats_client.h: the C library of NATS appears in "
          "evolution only",
          "memory/b.cpp:2 includes hdf5.h: yaml-cpp and HDF5 appear in core only"));
}

TEST_F(BadTree, IncludesThatNameNoFileOfTheRootAreFound) {
  write("models/a.cpp", "#include \"neighbour.h\"\n#include \"core/gone.h\"\n");
  EXPECT_THAT(
      violations(),
      ElementsAre("models/a.cpp:1 includes neighbour.h: includes in quotes start with a folder of the root",
                  "models/a.cpp:2 includes core/gone.h: there is no such file"));
}

TEST_F(BadTree, AGoodTreePasses) {
  write("core/a.h", "");
  write("memory/b.h", "#include \"core/a.h\"\n");
  write("models/c.cpp", "#include \"memory/b.h\"\n#include <torch/script.h>\n");
  write("experiments/d.cpp", "#include \"memory/b.h\"\n#include \"core/a.h\"\n");
  EXPECT_THAT(violations(), IsEmpty());
  EXPECT_EQ(testing::source_file_count(directory_.path()), 4U);
}

}  // namespace
}  // namespace namm
