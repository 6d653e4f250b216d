// Thousands of damaged documents, the same ones every time: each must give a value or an error of ours, never
// a crash, and in bounded time.

#include <chrono>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "core/config.h"
#include "core/errors.h"
#include "core/files.h"
#include "core/hdf5.h"
#include "core/journal.h"
#include "core/json_lines.h"
#include "core/random.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

class Mutator {
 public:
  Mutator(std::string_view purpose, uint64_t number)
      : random_({.seed = 1, .purpose = purpose, .sample = number}) {}

  std::string operator()(std::string text, const std::vector<std::string>& pieces) {
    for (uint64_t i = 0, steps = 1 + random_.uniform_int(6); i < steps; ++i) {
      const std::size_t place = random_.uniform_int(text.size() + 1);
      const std::size_t length = random_.uniform_int(std::min<std::size_t>(20, text.size() - place) + 1);
      switch (random_.uniform_int(6)) {
        case 0:
          text.erase(place, length);
          break;
        case 1:
          text.insert(place, text.substr(random_.uniform_int(text.size() + 1), 30));
          break;
        case 2:
          text.insert(place, pieces[random_.uniform_int(pieces.size())]);
          break;
        case 3:
          text.replace(place, length, pieces[random_.uniform_int(pieces.size())]);
          break;
        case 4:
          text.insert(place, 1, static_cast<char>(random_.uniform_int(256)));
          break;
        default:
          text.resize(place);
          break;
      }
    }
    return text;
  }

 private:
  RandomStream random_;
};

struct Item {
  double rate = 0.5;
  std::vector<int64_t> sizes;
  bool operator==(const Item&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("rate", self.rate, "a rate");
    visit("sizes", self.sizes, at_least(0), "sizes");
  }
};

struct Document {
  std::string name;
  std::map<std::string, std::string> data;
  std::vector<Item> items;
  std::optional<Item> item;
  float single = 0;
  bool flag = false;
  ConfigPath path;
  bool operator==(const Document&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("name", self.name, "a name");
    visit("data", self.data, "texts");
    visit("items", self.items, "items");
    visit("item", self.item, "an item");
    visit("single", self.single, "single");
    visit("flag", self.flag, "flag");
    visit("path", self.path, "path");
  }
};

const std::string yaml_seed = R"(name: "a \"quoted\" text"  # comment
data: {a: b, "c d": 'e', f: >
  folded}
items:
  - &first {rate: 1e-1, sizes: [1, 0x2, 010]}
  - *first
  - rate: .inf
    sizes:
      - 3
item: ~
single: -0.25
flag: true
path: ../x
text: |
  literal
)";

const std::vector<std::string> yaml_pieces = {"{",
                                              "}",
                                              "[",
                                              "]",
                                              ": ",
                                              "- ",
                                              "\n",
                                              "\n  ",
                                              "*first",
                                              "&first ",
                                              "!!tag ",
                                              "? ",
                                              "|\n",
                                              ">\n",
                                              "\"",
                                              "'",
                                              "#",
                                              "---\n",
                                              "...\n",
                                              "%YAML 1.1\n",
                                              "\t",
                                              "base: x.yaml\n",
                                              "<<: ",
                                              ".nan",
                                              "-.inf",
                                              "1e999",
                                              "0x",
                                              "null",
                                              "\xFF",
                                              "\xC3",
                                              "\xEF\xBB\xBF",
                                              "\r",
                                              "name: ",
                                              "items: ",
                                              "@",
                                              "`",
                                              ",",
                                              "\\",
                                              "\\x",
                                              "\\U00110000",
                                              "0o9"};

TEST(Fuzz, DamagedYamlGivesAConfigOrAnErrorOfOurs) {
  int read = 0, refused = 0;
  for (uint64_t i = 0; i < 6000; ++i) {
    const std::string text = Mutator("yaml", i)(yaml_seed, yaml_pieces);
    try {
      const ConfigDocument document = ConfigDocument::from_text(text, "x.yaml", {"item.rate=3"});
      // The tree is written as text that reads back as the same tree.
      const std::string written = to_yaml(document.root().value());
      ASSERT_EQ(to_yaml(ConfigDocument::from_text(written, "y.yaml").root().value()), written) << text;
      ++read;
      const auto value = read_config<Document>(document);
      ASSERT_EQ(read_config<Document>(ConfigDocument::from_text(to_yaml(value), "z.yaml")), value) << text;
    } catch (const ConfigError& error) {
      ASSERT_GT(std::string(error.what()).size(), 5U);
      ++refused;
    }
  }
  EXPECT_GT(read, 200);
  EXPECT_GT(refused, 200);
}

TEST(Fuzz, DamagedOverridesGiveAnErrorOfOurs) {
  const std::string seed = "items.0.sizes=[1, {a: b}]";
  for (uint64_t i = 0; i < 2000; ++i) {
    try {
      ConfigDocument::from_text("items: [{sizes: [1]}]\n", "x.yaml",
                                {Mutator("override", i)(seed, yaml_pieces)});
    } catch (const ConfigError&) {
    }
  }
}

TEST(Fuzz, DamagedJsonLinesGiveRecordsOrErrors) {
  const std::string seed =
      "{\"input\": \"a \\u00e9 text\", \"answers\": [\"x\", null, 1e3], \"n\": {\"a\": true}}\n"
      "{\"input\": \"\xC3\xA9\", \"answers\": []}\r\n";
  const std::vector<std::string> pieces = {"{",
                                           "}",
                                           "[",
                                           "]",
                                           "\"",
                                           "\\",
                                           ",",
                                           ":",
                                           "\n",
                                           "\r",
                                           "NaN",
                                           "-Infinity",
                                           "1e999",
                                           "\\ud800",
                                           "\\u12",
                                           "\xFF",
                                           "\xED\xA0\x80",
                                           "null",
                                           std::string(1, '\0'),
                                           "\xEF\xBB\xBF",
                                           std::string(300, '['),
                                           "123456789012345678901234567890"};
  uint64_t records = 0, skipped = 0;
  for (uint64_t i = 0; i < 6000; ++i) {
    JsonLinesReader reader(std::make_unique<std::istringstream>(Mutator("json", i)(seed, pieces)), "x.jsonl",
                           BadRecords::skip);
    while (const auto record = reader.next()) {
      ASSERT_TRUE(record->is_object());
      ASSERT_NO_THROW(parse_json(to_json_text(*record), "again"));
      ++records;
    }
    skipped += reader.skipped();
  }
  EXPECT_GT(records, 1000U);
  EXPECT_GT(skipped, 1000U);
}

TEST(Fuzz, DamagedJournalsGiveAPrefixOrAnError) {
  const testing::TemporaryDirectory directory;
  const std::filesystem::path path = directory / "journal";
  std::vector<std::string> records;
  {
    Journal journal = Journal::open(path, "key");
    for (int i = 0; i < 6; ++i) {
      records.push_back("record " + std::string(static_cast<std::size_t>(i) * 7, 'r'));
      journal.append(records.back());
    }
  }
  const std::string whole = read_file(path);
  for (uint64_t i = 0; i < 300; ++i) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        << Mutator("journal", i)(whole, {std::string(4, '\0'), "\xFF\xFF\xFF\xFF", "NAMMJRNL"});
    try {
      const JournalContents contents = Journal::read(path, "key");
      ASSERT_LE(contents.records.size(), records.size());
      for (std::size_t record = 0; record < contents.records.size(); ++record) {
        ASSERT_EQ(contents.records[record], records[record]);
      }
    } catch (const DataError&) {
    }
  }
}

TEST(Fuzz, DamagedHdf5FilesAreRefused) {
  const testing::TemporaryDirectory directory;
  const std::filesystem::path path = directory / "x.h5";
  Hdf5File file = Hdf5File::create(path);
  file.write<float>("x", {100}, std::vector<float>(100, 1.0F));
  file.write_text("t", "text");
  file.commit();
  const std::string whole = read_file(path);
  for (uint64_t i = 0; i < 200; ++i) {
    const std::string damaged =
        Mutator("hdf5", i)(whole, {"\x89HDF\r\n\x1a\n", std::string(8, '\xFF'), "namm"});
    if (damaged == whole) {
      continue;
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
    ASSERT_THROW(Hdf5File::open(path), DataError) << i;
  }
}

}  // namespace
}  // namespace namm
