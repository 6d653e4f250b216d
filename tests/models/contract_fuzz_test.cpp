// Contracts and tokenizers that nobody wrote, by themselves and inside archives whose checksums are right.
// NAMM_LONG=1 asks for a hundred times as many.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "models/archive.h"
#include "models/contract.h"
#include "models/package_file.h"
#include "tests/models/rewrite_archive.h"
#include "tests/support/long_run.h"
#include "tests/support/temporary_directory.h"

namespace namm::models {
namespace {

using nlohmann::json;
using Random = std::mt19937_64;

constexpr const char* kContract = "extra/namm_contract.json";
constexpr const char* kTokenizer = "extra/namm_tokenizer.json";

std::filesystem::path fixture() {
  return std::filesystem::path(NAMM_TEST_DATA) / "archives" / "torch-2.11.0.pt";
}

int rounds(int short_run) {
  return testing::is_long_run() ? 100 * short_run : short_run;
}

// Bytes changed, left out, doubled or moved.
std::string damaged(std::string text, Random& random) {
  for (auto changes = 1 + random() % 4; changes > 0 && !text.empty(); --changes) {
    const std::size_t at = random() % text.size();
    const std::size_t count = std::min<std::size_t>(1 + random() % 12, text.size() - at);
    switch (random() % 4) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, count);
        break;
      case 2:
        text.insert(random() % text.size(), text.substr(at, count));
        break;
      default:
        text[at] = "{}[]\",:0-9eE.\\"[random() % 14];
        break;
    }
  }
  return text;
}

json any_value(Random& random) {
  const std::vector<json> values = {nullptr,
                                    true,
                                    0,
                                    -1,
                                    1,
                                    3,
                                    8,
                                    64,
                                    4096,
                                    4097,
                                    1LL << 31,
                                    1LL << 40,
                                    std::numeric_limits<int64_t>::max(),
                                    std::numeric_limits<uint64_t>::max(),
                                    0.5,
                                    -1e300,
                                    "",
                                    "llama",
                                    "float32",
                                    "bfloat16",
                                    "words",
                                    "none",
                                    std::string(3000, 'x'),
                                    "\xff",
                                    json::array(),
                                    json::object(),
                                    json::array({1, 2, 3}),
                                    json::array({-1}),
                                    json{{"kind", "words"}},
                                    json{{"kind", 3}},
                                    json{{"rule", "plain"}}};
  return values[random() % values.size()];
}

// One place or several of a document with another value, or without it.
json changed(json document, Random& random) {
  for (auto changes = 1 + random() % 2; changes > 0; --changes) {
    json* place = &document;
    while (place->is_structured() && !place->empty() && (place == &document || random() % 3 != 0)) {
      auto child = place->begin();
      std::advance(child, static_cast<std::ptrdiff_t>(random() % place->size()));
      if (place->is_object() && random() % 8 == 0) {
        place->erase(child);
        place = nullptr;
        break;
      }
      place = &*child;
    }
    if (place != nullptr) *place = any_value(random);
  }
  return document;
}

std::string text_of(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Whether `act` refused with a DataError that names `file`; every other exception fails the test.
template <class Act>
bool refused(const Act& act, const std::string& file) {
  try {
    act();
    return false;
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(file));
    return true;
  }
}

TEST(ContractFuzz, IsReadOrRefused) {
  const std::string contract = *PackageFile(fixture()).read(kContract);
  const json document = json::parse(contract);
  Random random(17);
  int found = 0;
  const int all = rounds(5000);
  for (int round = 0; round < all; ++round) {
    const std::string text = round % 2 == 0 ? damaged(contract, random) : text_of(changed(document, random));
    SCOPED_TRACE("round " + std::to_string(round) + ": " + text);
    found += refused([&] { Contract::parse(text, "model.pt"); }, "model.pt");
    if (::testing::Test::HasFailure()) return;
  }
  std::printf("%d of %d contracts refused\n", found, all);
  EXPECT_GT(found, all / 2);
}

// The archive around it is whole: it runs as the contract says, or is refused before it is used.
TEST(ContractFuzz, AnArchiveIsLoadedOrRefused) {
  const testing::TemporaryDirectory directory;
  const PackageFile file(fixture());
  const json contract = json::parse(*file.read(kContract)), tokenizer = json::parse(*file.read(kTokenizer));
  Random random(23);
  int found = 0;
  const int all = rounds(400);
  for (int round = 0; round < all; ++round) {
    const std::string name = round % 2 == 0 ? kContract : kTokenizer;
    const std::string text = text_of(changed(round % 2 == 0 ? contract : tokenizer, random));
    SCOPED_TRACE("round " + std::to_string(round) + ": " + text.substr(0, 1000));
    const auto replace = [&](const std::string& entry, std::string& content) {
      if (entry == name) content = text;
    };
    testing::rewrite_archive(file, directory / "changed.pt", replace);
    found += refused([&] { Archive::load(directory / "changed.pt"); }, "changed.pt");
    if (::testing::Test::HasFailure()) return;
  }
  std::printf("%d of %d archives refused\n", found, all);
  EXPECT_GT(found, all / 4);
}

}  // namespace
}  // namespace namm::models
