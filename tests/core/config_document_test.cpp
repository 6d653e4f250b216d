#include "core/config_document.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/config.h"
#include "core/errors.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConfigDocumentTest : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;

  std::string write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  std::string load(const std::string& name, const std::vector<std::string>& overrides = {}) {
    return to_yaml(ConfigDocument::load(directory_ / name, overrides).root().value());
  }

  std::string error_of(const std::string& name, const std::vector<std::string>& overrides = {}) {
    try {
      load(name, overrides);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }
};

std::string text_error(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    ConfigDocument::from_text(text, "x.yaml", overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_F(ConfigDocumentTest, BasesMergeDeepAndTheOuterWins) {
  write("base/model.yaml", "layers: 2\nrope: {theta: 10000, factor: 4}\nlist: [1, 2, 3]\n");
  write("base/memory.yaml", "base: ../common.yaml\nwindow: 32\n");
  write("common.yaml", "heads: parity\nwindow: 1\nperiod: 512\n");
  write("run/x.yaml",
        "name: x\nmodel: {base: ../base/model.yaml, rope: {factor: 8}, list: [9]}\n"
        "memory: {base: ../base/memory.yaml, heads: ragged}\n");
  EXPECT_EQ(load("run/x.yaml"),
            "name: x\n"
            "model:\n  layers: 2\n  rope:\n    theta: 10000\n    factor: 8\n  list: [9]\n"
            "memory:\n  heads: ragged\n  window: 32\n  period: 512\n");
}

TEST_F(ConfigDocumentTest, BasesInListsAndAtTheRoot) {
  write("stage.yaml", "evolve: {generations: 3, tasks: [a]}\n");
  write("root.yaml", "seed: 1\nstages:\n  - base: stage.yaml\n    evolve: {generations: 5}\n");
  write("x.yaml", "base: root.yaml\nname: x\n");
  EXPECT_EQ(load("x.yaml"),
            "seed: 1\nstages:\n  - evolve:\n      generations: 5\n      tasks: [a]\nname: x\n");
}

TEST_F(ConfigDocumentTest, EveryValueKnowsItsPlace) {
  const std::string base = write("base.yaml", "a: 1\nb:\n  c: 2\n");
  const std::string file = write("x.yaml", "base: base.yaml\nb: {d: 3}\n");
  const ConfigDocument document = ConfigDocument::load(file, {"e=4"});
  EXPECT_EQ(document.root().at("a").where(), base + ":1:4");
  EXPECT_EQ(document.root().at("b").at("c").where(), base + ":3:6");
  EXPECT_EQ(document.root().at("b").at("d").where(), file + ":2:8");
  EXPECT_EQ(document.root().at("e").where(), "command line");
  EXPECT_EQ(document.root().at("b").at("d").path(), "b.d");
}

TEST_F(ConfigDocumentTest, PathsAreRelativeToTheFileThatNamesThem) {
  write("inner/base.yaml", "data: file.txt\nup: ../other.txt\n");
  write("x.yaml", "base: inner/base.yaml\nmine: here.txt\nabsolute: /etc/x\n");
  const ConfigNode root = ConfigDocument::load(directory_ / "x.yaml", {"line=there.txt"}).root();
  EXPECT_EQ(read_config<ConfigPath>(root.at("data")).value, directory_ / "inner/file.txt");
  EXPECT_EQ(read_config<ConfigPath>(root.at("up")).value, directory_ / "other.txt");
  EXPECT_EQ(read_config<ConfigPath>(root.at("mine")).value, directory_ / "here.txt");
  EXPECT_EQ(read_config<ConfigPath>(root.at("absolute")).value, "/etc/x");
  EXPECT_EQ(read_config<ConfigPath>(root.at("line")).value, std::filesystem::current_path() / "there.txt");
}

TEST_F(ConfigDocumentTest, CyclesAreRefusedWithTheChain) {
  const std::string a = write("a.yaml", "base: b.yaml\n");
  const std::string b = write("b.yaml", "x:\n  base: sub/../a.yaml\n");
  EXPECT_EQ(error_of("a.yaml"),
            b + ":2:9: x.base = sub/../a.yaml: bases run in a circle: " + a + " -> " + b + " -> " + a);
  const std::string self = write("self.yaml", "base: self.yaml\n");
  EXPECT_EQ(error_of("self.yaml"),
            self + ":1:7: base = self.yaml: bases run in a circle: " + self + " -> " + self);
  std::filesystem::create_symlink(self, directory_ / "link.yaml");
  EXPECT_THAT(error_of("link.yaml"), HasSubstr("bases run in a circle"));
  // The same file twice, but not inside itself, is no cycle.
  write("leaf.yaml", "v: 1\n");
  write("twice.yaml", "a: {base: leaf.yaml}\nb: {base: leaf.yaml}\n");
  EXPECT_EQ(load("twice.yaml"), "a:\n  v: 1\nb:\n  v: 1\n");
}

TEST_F(ConfigDocumentTest, BadBases) {
  const std::string x = write("x.yaml", "model:\n  base: none.yaml\n");
  EXPECT_EQ(error_of("x.yaml"), x + ":2:9: model.base = none.yaml: " + (directory_ / "none.yaml").string() +
                                    ": the file does not exist or cannot be read");
  write("x.yaml", "model: {layers: 2, base: b.yaml}\n");
  EXPECT_EQ(error_of("x.yaml"), x + ":1:26: model.base = b.yaml: must be the first key of its mapping");
  write("x.yaml", "base: [a]\n");
  EXPECT_EQ(error_of("x.yaml"), x + ":1:7: base = [a]: must be the name of a YAML file");
  const std::string list = write("list.yaml", "- 1\n");
  write("x.yaml", "base: list.yaml\n");
  EXPECT_EQ(error_of("x.yaml"), list + ":1:1: the document = [1]: must be a mapping (key: value)");
  write("x.yaml", "base: .\n");
  EXPECT_THAT(error_of("x.yaml"), HasSubstr("is a folder, a YAML file is needed"));
}

TEST_F(ConfigDocumentTest, ALadderOfBasesCannotExplode) {
  // Each file names the next one ten times: 10^20 values if it were followed to the end.
  for (int i = 0; i < 20; ++i) {
    std::string text;
    for (int j = 0; j < 10; ++j) {
      text += "k" + std::to_string(j) + ": {base: f" + std::to_string(i + 1) + ".yaml}\n";
    }
    write("f" + std::to_string(i) + ".yaml", text);
  }
  write("f20.yaml", "a: 1\n");
  EXPECT_THAT(error_of("f0.yaml"), HasSubstr("more than 1000 bases are read"));
  for (int i = 0; i < 80; ++i) {
    write("g" + std::to_string(i) + ".yaml", "base: g" + std::to_string(i + 1) + ".yaml\n");
  }
  write("g80.yaml", "a: 1\n");
  EXPECT_THAT(error_of("g0.yaml"), HasSubstr("bases nested deeper than 64 files"));
}

TEST_F(ConfigDocumentTest, OverridesReplaceAndAdd) {
  write("x.yaml", "a: {b: 1, c: 2}\nlist:\n  - evolve: {n: 1}\n  - evaluate: {n: 2}\nword: match\n");
  EXPECT_EQ(load("x.yaml",
                 {"a.b=5", "list.1.evaluate.n=[1, 2]", "word.tokens=3", "new.deep.key=x=y", "a.c={d: e}"}),
            "a:\n  b: 5\n  c:\n    d: e\nlist:\n  - evolve:\n      n: 1\n  - evaluate:\n      n: [1, 2]\n"
            "word:\n  tokens: 3\nnew:\n  deep:\n    key: \"x=y\"\n");
  EXPECT_EQ(load("x.yaml", {"a=null", "list=[]", "word="}), "a: null\nlist: []\nword: null\n");
}

TEST_F(ConfigDocumentTest, OverridesOfBases) {
  write("one.yaml", "v: 1\nw: 1\n");
  write("two.yaml", "v: 2\n");
  write("x.yaml", "model: {base: one.yaml, w: 5}\n");
  EXPECT_EQ(load("x.yaml", {"model.base=" + (directory_ / "two.yaml").string()}), "model:\n  v: 2\n  w: 5\n");
  EXPECT_EQ(load("x.yaml", {"memory.base=" + (directory_ / "two.yaml").string(), "memory.v=3"}),
            "model:\n  v: 1\n  w: 5\nmemory:\n  v: 3\n");
  EXPECT_EQ(load("x.yaml", {"model={base: " + (directory_ / "two.yaml").string() + "}"}), "model:\n  v: 2\n");
}

TEST(ConfigText, BadOverrides) {
  const std::string text = "a: {b: 1}\nlist: [1, 2]\nnone: []\n";
  EXPECT_EQ(text_error(text, {"a.b"}),
            "command line: 'a.b': must be key.path=value, e.g. evolution.population=8");
  EXPECT_EQ(text_error(text, {"=3"}),
            "command line: '=3': must be key.path=value, e.g. evolution.population=8");
  EXPECT_EQ(text_error(text, {"a..b=3"}), "command line: 'a..b=3': a key of the path is empty");
  EXPECT_EQ(text_error(text, {"list.2=3"}),
            "command line: list.2 = 3: list is a list of 2 items, numbered 0 to 1; there is no '2'");
  EXPECT_EQ(text_error(text, {"list.first=3"}),
            "command line: list.first = 3: list is a list of 2 items, numbered 0 to 1; there is no 'first'");
  EXPECT_EQ(text_error(text, {"none.0=3"}),
            "command line: none.0 = 3: none is a list of 0 items; there is no '0'");
  EXPECT_THAT(text_error(text, {"a.b=[1"}),
              AllOf(StartsWith("command line: a key must be a plain text (or a bracket is left open)"),
                    HasSubstr("(in a.b=[1)")));
}

struct Typed {
  int64_t population = 1;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("population", self.population, "");
  }
};

TEST(ConfigText, UnknownOverridesAreFoundByTheTypedRead) {
  try {
    read_config<Typed>(ConfigDocument::from_text("population: 3", "x.yaml", {"populaton=5"}));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(
        error.what(),
        "command line: populaton = 5: unknown key, did you mean 'population'? allowed are population");
  }
}

TEST(ConfigText, BadSyntax) {
  EXPECT_EQ(text_error("a: 1\nb: 2\na: 3\n"), "x.yaml:3:1: a: the key is given twice, first at x.yaml:1:1");
  EXPECT_EQ(text_error("l:\n  - {c: 1,\n     c: 2}\n"),
            "x.yaml:3:6: l.0.c: the key is given twice, first at x.yaml:2:6");
  EXPECT_THAT(text_error("a: [1, 2\n"), StartsWith("x.yaml:2:1: not valid YAML: "));
  EXPECT_THAT(text_error("a: 1\n\tb: 2\n"), StartsWith("x.yaml:2:1: not valid YAML: "));
  EXPECT_EQ(text_error(""), "x.yaml: the file is empty; a mapping (key: value) is needed");
  EXPECT_EQ(text_error("# nothing\n"), "x.yaml: the file is empty; a mapping (key: value) is needed");
  EXPECT_EQ(text_error("just words"),
            "x.yaml:1:1: the document = just words: must be a mapping (key: value)");
  EXPECT_EQ(text_error("a: 1\n---\nb: 2\n"), "x.yaml: holds more than one YAML document ('---'); keep one");
  EXPECT_EQ(text_error("a: \xFF"), "x.yaml:1:4: not UTF-8 text; save the file as UTF-8");
  EXPECT_EQ(text_error(std::string("a: 1\nb\0: 2", 10)), "x.yaml:2:2: a NUL byte; this is no text file");
  EXPECT_EQ(text_error("a: !!python/object x"),
            "x.yaml:1:4: the tag tag:yaml.org,2002:python/object is not used here; write "
            "the value without a tag");
  EXPECT_THAT(text_error("a: *unknown"), StartsWith("x.yaml:1:"));
  EXPECT_EQ(text_error("? [a]\n: 1"), "x.yaml:1:3: a key must be a plain text (or a bracket is left open)");
  EXPECT_EQ(text_error("a: &x [*x]"), "x.yaml:1:8: an alias of a value that contains it is not allowed");
  EXPECT_EQ(text_error(std::string(5 << 20, 'a')),
            "x.yaml: the file is larger than 4.0 MiB; a configuration is a short text");
}

TEST(ConfigText, BombsAreRefused) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 8; ++j) {
      bomb += ", " + before;
    }
    bomb += "]\n";
  }
  EXPECT_THAT(text_error(bomb), HasSubstr("more than 100000 values (aliases counted in full)"));
  EXPECT_THAT(text_error("a: " + std::string(120, '[') + std::string(120, ']')),
              HasSubstr("nested deeper than 100 levels"));
  EXPECT_THAT(text_error("a: " + std::string(100'000, '[')), StartsWith("x.yaml:1:"));
  EXPECT_THAT(text_error("a: " + std::string(100'000, '{')), StartsWith("x.yaml:1:"));
  std::string ladder = "a0: &a0 x\n";
  for (int i = 1; i < 200; ++i) {
    ladder += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  EXPECT_THAT(text_error(ladder), HasSubstr("nested deeper than 100 levels"));
}

TEST(ConfigText, NestedAnchorsCountInFull) {
  std::string values = "[";
  for (int i = 0; i < 30'000; ++i) {
    values += "x,";
  }
  values += "]";
  EXPECT_EQ(text_error("a: &a " + values), "");
  EXPECT_THAT(text_error("a: &a [&b [&c [&d " + values + "]]]"),
              HasSubstr("more than 100000 values have anchors"));
}

TEST(ConfigText, AliasesAreCopies) {
  const ConfigDocument document = ConfigDocument::from_text("a: &x {b: 1}\nc: *x\n", "x.yaml", {"c.b=2"});
  EXPECT_EQ(to_yaml(document.root().value()), "a:\n  b: 1\nc:\n  b: 2\n");
}

TEST(ConfigText, ByteOrderMarkAndWindowsLines) {
  const ConfigDocument document = ConfigDocument::from_text(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: two\r\n",
      "x.yaml");
  EXPECT_EQ(to_yaml(document.root().value()), "a: 1\nb: two\n");
}

TEST(ConfigText, MissingFile) {
  try {
    ConfigDocument::load("no/such/file.yaml");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "no/such/file.yaml: the file does not exist or cannot be read");
    EXPECT_EQ(error.code(), ExitCode::config);
  }
}

}  // namespace
}  // namespace namm
