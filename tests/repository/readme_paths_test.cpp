#include "tests/repository/readme_paths.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ReadmePaths, EveryPathOfThisTreeExists) {
  EXPECT_THAT(testing::missing_readme_paths(NAMM_SOURCE_DIR), IsEmpty());
  EXPECT_GT(testing::readme_path_count(NAMM_SOURCE_DIR), 5U) << "the README files were not found";
}

TEST(ReadmePaths, MissingOnesAreFound) {
  const testing::TemporaryDirectory directory;
  std::filesystem::create_directories(directory / "core/inner");
  std::ofstream(directory / "core/a.h") << "";
  std::ofstream(directory / "run.sh") << "";
  std::ofstream(directory / "README.md")
      << "The file `core/a.h`, `core/gone.h` and the task `needle/hop`.\n"
         "`build/namm run runs/x`, `models/downloads/x.pt`, `core/{a,b}.h`, `core/*.h`.\n"
         "```\n./run.sh\n./gone.sh --flag   # `core/not-looked-at.h`\n```\n"
         "`other/gone.py --x`, `key.path=a/b.yaml`\n";
  std::ofstream(directory / "core/README.md") << "`inner/` is here, `inner/gone` is not; `./a.h` is.\n";
  EXPECT_THAT(testing::missing_readme_paths(directory.path()),
              ElementsAre("README.md:1: `core/gone.h`", "README.md:2: `core/b.h`", "README.md:5: `./gone.sh`",
                          "README.md:7: `other/gone.py`", "core/README.md:1: `inner/gone`"));
}

}  // namespace
}  // namespace namm
