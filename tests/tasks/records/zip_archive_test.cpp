#include "tasks/records/zip_archive.h"

#include <algorithm>
#include <istream>
#include <iterator>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "tasks/records/record_index.h"
#include "tests/support/temporary_directory.h"

namespace namm::tasks {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct File {
  std::string name;
  std::string text;
  zip_int32_t method = ZIP_CM_DEFLATE;
};

class ZipArchives : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::vector<File>& files, const char* password = nullptr) {
    const std::filesystem::path path = folder_ / "data.zip";
    int code = 0;
    zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
    for (const File& file : files) {
      zip_source_t* source = zip_source_buffer(archive, file.text.data(), file.text.size(), 0);
      const auto index = static_cast<zip_uint64_t>(zip_file_add(archive, file.name.c_str(), source, 0));
      zip_set_file_compression(archive, index, file.method, 9);
      if (password) zip_file_set_encryption(archive, index, ZIP_EM_AES_256, password);
    }
    EXPECT_EQ(zip_close(archive), 0);
    return path;
  }

  std::string error_of(const std::filesystem::path& path) {
    try {
      BenchmarkFolder::open(path);
    } catch (const DataError& error) {
      return error.what();
    }
    ADD_FAILURE() << "no DataError";
    return "";
  }

  testing::TemporaryDirectory folder_;
};

std::string text_of(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Text that hardly shrinks.
std::string noise(size_t bytes) {
  std::mt19937 random(1);
  std::string text(bytes, ' ');
  for (char& c : text) c = static_cast<char>('!' + random() % 90);
  return text;
}

TEST_F(ZipArchives, FilesAreFoundAndRead) {
  const std::string big = noise(300'000);
  const auto archive = BenchmarkFolder::open(
      write({{"data/trec.jsonl", "abc\n"}, {"data/lcc.jsonl", big}, {"README.md", "x", ZIP_CM_STORE}}));
  EXPECT_THAT(archive->files(), ElementsAre("README.md", "data/lcc.jsonl", "data/trec.jsonl"));
  EXPECT_EQ(archive->find("trec.jsonl"), "data/trec.jsonl");
  EXPECT_EQ(archive->find("none.jsonl"), "");
  EXPECT_THAT(archive->name_of("data/trec.jsonl"), HasSubstr("data.zip/data/trec.jsonl"));
  EXPECT_EQ(text_of(*archive->read("data/trec.jsonl")), "abc\n");
  EXPECT_EQ(text_of(*archive->read("README.md")), "x");
  EXPECT_EQ(text_of(*archive->read("data/lcc.jsonl")), big);
}

TEST_F(ZipArchives, StreamsSeekInBothDirections) {
  const std::string text = noise(300'000);
  const auto archive = BenchmarkFolder::open(write({{"a", text}}));
  const auto stream = archive->read("a");
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    const size_t place = random() % text.size();
    const size_t length = std::min<size_t>(random() % 70'000, text.size() - place);
    stream->clear();
    ASSERT_TRUE(stream->seekg(static_cast<std::streamoff>(place)));
    std::string read(length, '\0');
    ASSERT_TRUE(stream->read(read.data(), static_cast<std::streamsize>(length)));
    ASSERT_EQ(read, text.substr(place, length)) << place;
    ASSERT_EQ(stream->tellg(), static_cast<std::streamoff>(place + length));
  }
  EXPECT_FALSE(stream->seekg(static_cast<std::streamoff>(text.size() + 1)));
}

TEST_F(ZipArchives, HostileArchivesAreRefused) {
  EXPECT_THAT(error_of(write({{"a.jsonl", std::string(20'000'000, ' ')}})), HasSubstr("zip bomb"));
  for (const char* name : {"../a.jsonl", "data/../../a", "/etc/a", "a\\..\\b", ".."}) {
    EXPECT_THAT(error_of(write({{name, "x"}})), HasSubstr("outside")) << name;
  }
  EXPECT_THAT(error_of(write({{"a.jsonl", "x"}}, "secret")), HasSubstr("encrypted"));
  EXPECT_THAT(error_of(write({{"a.jsonl", std::string(1000, 'x'), ZIP_CM_BZIP2}})),
              HasSubstr("only deflate"));
  write_atomically(folder_ / "text.zip", "no archive");
  EXPECT_THAT(error_of(folder_ / "text.zip"), HasSubstr("zip archive"));
  EXPECT_THAT(error_of(folder_ / "none.zip"), HasSubstr("not there"));
}

TEST_F(ZipArchives, DamagedBytesAreAnErrorAndNotText) {
  const std::string intact = read_file(write({{"a.jsonl", noise(200'000)}}));
  std::mt19937 random(3);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    std::string damaged = intact;
    const size_t place = i < 100 ? intact.size() - 1 - random() % 200 : random() % intact.size();
    damaged[place] = static_cast<char>(damaged[place] ^ (1 << random() % 8));
    if (i % 10 == 0) damaged.resize(random() % damaged.size());
    write_atomically(folder_ / "damaged.zip", damaged);
    try {
      const auto archive = BenchmarkFolder::open(folder_ / "damaged.zip");
      for (const std::string& file : archive->files()) {
        EXPECT_EQ(text_of(*archive->read(file)), noise(200'000)) << "damage that was not seen";
      }
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
}

TEST_F(ZipArchives, DamageWithinALongRecordEndsTheReading) {
  std::string text = noise(300'000);
  std::ranges::replace_if(
      text, [](char c) { return c == '"' || c == '\\'; }, '-');
  const std::string intact =
      read_file(write({{"a.jsonl", "{\"text\": \"" + text + "\"}\n{\"text\": \"b\"}\n"}}));
  for (const size_t place : {intact.size() / 4, intact.size() / 2, intact.size() * 3 / 4}) {
    std::string damaged = intact;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x55);
    write_atomically(folder_ / "damaged.zip", damaged);
    const std::shared_ptr<const BenchmarkFolder> archive = BenchmarkFolder::open(folder_ / "damaged.zip");
    EXPECT_THROW(RecordIndex(archive, "a.jsonl", "id", BadRecords::skip,
                             [](const std::string&, const nlohmann::json&) {}),
                 DataError);
  }
}

TEST_F(ZipArchives, RecordsComeFromWithin) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "{\"n\": " + std::to_string(i) + "}\n";
  const auto archive = BenchmarkFolder::open(write({{"data/a.jsonl", text}}));
  JsonLinesReader reader(archive->read("data/a.jsonl"), archive->name_of("data/a.jsonl"));
  std::vector<JsonLinesReader::Place> places;
  while (true) {
    places.push_back(reader.place());
    if (!reader.next()) break;
  }
  for (const size_t i : {999, 3, 500, 0}) {
    reader.go_to(places[i]);
    EXPECT_EQ(reader.next()->at("n"), i);
    EXPECT_EQ(reader.line(), i + 1);
  }
}

}  // namespace
}  // namespace namm::tasks
