#include "memory/memory_file.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/hdf5.h"
#include "tests/support/temporary_directory.h"

namespace namm::memory {
namespace {

MemoryFile some_memory() {
  MemoryFile memory;
  memory.config.period_tokens = 128;
  memory.config.heads = "parity";
  memory.config.spectrogram.ema_coefficient = 0.987654321;
  for (int64_t i = 0; i < memory.config.parameters(); ++i)
    memory.parameters.push_back(1.f / static_cast<float>(i + 3));
  at::manual_seed(1);
  memory.statistics.accumulate(at::rand({100, 17}));
  memory.provenance = {{"run", "quickstart"}, {"note", std::string(100000, 'x')}, {"", "empty key"}};
  return memory;
}

// The text of the DataError that `action` throws.
std::string data_error(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no DataError";
  return "";
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

class MemoryFileTest : public ::testing::Test {
 protected:
  std::string load_error(const std::filesystem::path& path) {
    const std::string text = data_error([&] { MemoryFile::load(path); });
    EXPECT_NE(text.find(path.filename().string()), std::string::npos) << text;
    return text;
  }

  namm::testing::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "memory.h5";
};

TEST_F(MemoryFileTest, ComesBackAsItWas) {
  const MemoryFile memory = some_memory();
  memory.save(path_);
  const MemoryFile loaded = MemoryFile::load(path_);
  EXPECT_EQ(loaded.config, memory.config);
  EXPECT_EQ(loaded.parameters, memory.parameters);
  EXPECT_EQ(loaded.statistics, memory.statistics);
  EXPECT_EQ(loaded.provenance, memory.provenance);
  EXPECT_EQ(loaded.sha256(), memory.sha256());
  EXPECT_EQ(loaded.theta().sizes(), (std::vector<int64_t>{1, 4172}));
  EXPECT_EQ(loaded.theta()[0][5].item<float>(), memory.parameters[5]);
  MemoryFile plain = memory;
  plain.provenance.clear();
  plain.statistics = {};
  plain.save(path_);
  EXPECT_EQ(MemoryFile::load(path_).statistics, FeatureStatistics{});
  EXPECT_LT(std::filesystem::file_size(path_), 60000u);
}

TEST_F(MemoryFileTest, TheHashSpeaksOfTheMemoryAlone) {
  MemoryFile memory = some_memory();
  const std::string before = memory.sha256();
  memory.provenance["host"] = "another";
  EXPECT_EQ(memory.sha256(), before);
  memory.parameters[7] += 1;
  EXPECT_NE(memory.sha256(), before);
  memory = some_memory();
  memory.config.heads = "ragged";
  EXPECT_NE(memory.sha256(), before);
}

// The memory that the quickstart evolved before the family had other members.
TEST_F(MemoryFileTest, TheShippedMemoryIsReadAndHashesAsBefore) {
  const MemoryFile shipped = MemoryFile::load(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/namm.h5");
  EXPECT_EQ(shipped.config.scorer, "bam");
  shipped.save(path_);
  EXPECT_EQ(MemoryFile::load(path_).sha256(), shipped.sha256());
  EXPECT_EQ(bytes_of(path_), bytes_of(std::filesystem::path(NAMM_SOURCE_DIR) / "models/tiny/namm.h5"));
}

TEST_F(MemoryFileTest, EveryMemberOfTheFamilyComesBackAsItWas) {
  for (const std::string text :
       {"features: log_magnitude", "features: complex", "features: dc_only", "scorer: linear",
        "{scorer: mlp, mlp: {hidden_dim: 5}}",
        "{scorer: linear, parameters: per_layer, transformer: {layers: 3}}",
        "{bam: {hidden_dim: 4}, parameters: per_head, transformer: {layers: 3, kv_heads: 2}}",
        "{scorer: mix, features: log_magnitude, mix: {rank: 2, keep_fraction: 0.5}, transformer: {layers: 3, "
        "kv_heads: 2}}"}) {
    MemoryFile memory;
    memory.config = read_config<NammConfig>(ConfigDocument::from_text(text, "memory.yaml"));
    memory.parameters.assign(static_cast<size_t>(memory.config.parameters()), 0.25f);
    memory.statistics.accumulate(at::rand({50, memory.config.spectral_count()}));
    memory.save(path_);
    const MemoryFile loaded = MemoryFile::load(path_);
    EXPECT_EQ(loaded.config, memory.config) << text;
    EXPECT_EQ(loaded.parameters, memory.parameters) << text;
    EXPECT_EQ(loaded.statistics, memory.statistics) << text;
    EXPECT_EQ(loaded.sha256(), memory.sha256()) << text;
  }
}

TEST_F(MemoryFileTest, MissingForeignAndTornFiles) {
  load_error(directory_ / "nothing.h5");
  write_bytes(path_, "this is not HDF5\n");
  load_error(path_);
  write_bytes(path_, "");
  load_error(path_);
  some_memory().save(path_);
  const std::string whole = bytes_of(path_);
  for (const size_t size : {whole.size() - 1, whole.size() / 2, size_t{600}, size_t{9}}) {
    write_bytes(path_, whole.substr(0, size));
    load_error(path_);
  }
  for (const size_t place : {size_t{700}, whole.size() / 2, whole.size() - 3}) {
    std::string damaged = whole;
    damaged[place] = static_cast<char>(damaged[place] ^ 0x55);
    write_bytes(path_, damaged);
    load_error(path_);
  }
}

TEST_F(MemoryFileTest, OtherHdf5FilesAreNoMemories) {
  Hdf5File other = Hdf5File::create(path_);
  other.write_scalar<int64_t>("x", 1);
  other.commit();
  EXPECT_NE(load_error(path_).find("no memory file"), std::string::npos);
}

TEST_F(MemoryFileTest, AnotherFormatVersionIsNamed) {
  Hdf5File newer = Hdf5File::create(path_);
  newer.write_attribute("/", "format", "namm-memory");
  newer.write_attribute("/", "format_version", 2);
  newer.commit();
  EXPECT_NE(load_error(path_).find("version 2"), std::string::npos);
}

// A file as save() writes it, with one part replaced.
void save_with(const std::filesystem::path& path, const std::string& constants,
               const std::vector<float>& parameters) {
  const MemoryFile memory = some_memory();
  Hdf5File file = Hdf5File::create(path);
  file.write_attribute("/", "format", "namm-memory");
  file.write_attribute("/", "format_version", 1);
  file.write_text("constants", constants);
  file.write<float>("parameters/values", {static_cast<int64_t>(parameters.size())}, parameters);
  file.write_texts("parameters/names", {"qkv.weight"});
  file.write<int64_t>("parameters/offset_rows_cols", {1, 3}, std::vector<int64_t>{0, 25, 96});
  file.write_scalar<int64_t>("statistics/count", 100);
  file.write<double>("statistics/mean", {17}, memory.statistics.mean);
  file.write<double>("statistics/m2", {17}, memory.statistics.m2);
  file.write_texts("provenance/keys", {});
  file.write_texts("provenance/values", {});
  file.write_text("sha256", "0");
  file.commit();
}

TEST_F(MemoryFileTest, PartsThatDoNotFitTogether) {
  const std::vector<float> parameters(4172, 0.5f);
  save_with(path_, "bam: {hidden_dim: 16}", parameters);
  EXPECT_NE(load_error(path_).find("4172 parameters"), std::string::npos);
  save_with(path_, "spectrogram: {n_fft: 16, hop_length: 8}\nbam: {hidden_dim: 44}", parameters);
  load_error(path_);
  save_with(path_, "unheard_of: 1", parameters);
  EXPECT_NE(load_error(path_).find("unheard_of"), std::string::npos);
  save_with(path_, "{", parameters);
  load_error(path_);
  save_with(path_, "{}", parameters);
  EXPECT_NE(load_error(path_).find("parameter table"), std::string::npos);
}

TEST_F(MemoryFileTest, WhatCannotBeAMemoryIsNotSaved) {
  MemoryFile memory = some_memory();
  memory.parameters.pop_back();
  data_error([&] { memory.save(path_); });
  memory = some_memory();
  memory.statistics = {};
  memory.statistics.accumulate(at::rand({4, 9}));
  data_error([&] { memory.save(path_); });
  EXPECT_FALSE(std::filesystem::exists(path_));

  memory = some_memory();
  memory.parameters[3] = std::numeric_limits<float>::quiet_NaN();
  memory.save(path_);
  EXPECT_NE(load_error(path_).find("not finite"), std::string::npos);
}

TEST_F(MemoryFileTest, StatisticsThatCannotBeAreRefused) {
  for (const int64_t count : {int64_t{-1}, int64_t{0}, int64_t{1} << 60}) {
    MemoryFile memory = some_memory();
    memory.statistics.count = count;
    memory.save(path_);
    EXPECT_NE(load_error(path_).find("statistics of"), std::string::npos) << count;
  }
}

TEST_F(MemoryFileTest, PositionsAreAConstant) {
  MemoryFile memory = some_memory();
  const std::string original = memory.sha256();
  memory.config.positions = "compacted";
  EXPECT_NE(memory.sha256(), original);
  memory.save(path_);
  EXPECT_EQ(MemoryFile::load(path_).config.positions, "compacted");
  // Written before there was a choice.
  EXPECT_EQ(MemoryFile::load(NAMM_SOURCE_DIR "/models/tiny/namm.h5").config.positions, "original");
}

TEST_F(MemoryFileTest, AMemoryForOtherFeaturesIsRefused) {
  const MemoryFile memory = some_memory();
  NammConfig wanted = memory.config;
  wanted.period_tokens = 512;
  wanted.heads = "ragged";
  wanted.cache_cap = 100;
  wanted.positions = "compacted";
  EXPECT_NO_THROW(memory.require_same_network(wanted, "memory.h5"));
  wanted.spectrogram.n_fft = 64;
  const std::string text = data_error([&] { memory.require_same_network(wanted, "memory.h5"); });
  EXPECT_NE(text.find("memory.h5"), std::string::npos) << text;
  EXPECT_NE(text.find("spectrogram"), std::string::npos) << text;
  wanted = memory.config;
  wanted.bam.mult = false;
  EXPECT_NE(data_error([&] { memory.require_same_network(wanted, "x"); }).find("memory.bam"),
            std::string::npos);
  wanted = memory.config;
  wanted.scorer = "linear";
  EXPECT_NE(data_error([&] { memory.require_same_network(wanted, "x"); }).find("memory.scorer"),
            std::string::npos);
  MemoryFile mix = memory;
  mix.config.scorer = "mix";
  mix.config.transformer.layers = 3;
  mix.config.transformer.kv_heads = 2;
  wanted = mix.config;
  wanted.mix.keep_fraction = 0.25;
  wanted.mix.sinks = 0;
  wanted.bam.hidden_dim = 8;
  EXPECT_NO_THROW(mix.require_same_network(wanted, "x")) << "how many, and what it has no scorer for";
  wanted.transformer.layers = 4;
  EXPECT_NE(data_error([&] { mix.require_same_network(wanted, "x"); }).find("memory.transformer"),
            std::string::npos);
}

}  // namespace
}  // namespace namm::memory
