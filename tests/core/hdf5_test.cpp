#include "core/hdf5.h"

#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/files.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temporary_directory.h"

namespace namm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

class Hdf5Test : public ::testing::Test {
 protected:
  testing::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "file.h5";

  Hdf5File write_and_open(const std::function<void(Hdf5File&)>& write) {
    Hdf5File file = Hdf5File::create(path_);
    write(file);
    file.commit();
    return Hdf5File::open(path_);
  }
};

template <class T>
std::vector<T> numbers(std::size_t count) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = static_cast<T>(static_cast<double>(i % 100) * 1.0);
  }
  values[0] = std::numeric_limits<T>::lowest();
  values[1] = std::numeric_limits<T>::max();
  return values;
}

template <class T>
void expect_round_trip(Hdf5File& written, const std::filesystem::path& path) {
  const std::vector<T> small = numbers<T>(6), large = numbers<T>(70'000);
  written.write<T>("group/small", {2, 3}, small);
  written.write<T>("group/large", {70, 1000}, large);
  written.write<T>("empty", {0, 5}, std::vector<T>{});
  written.write_scalar<T>("scalar", 3);
  written.commit();
  const Hdf5File file = Hdf5File::open(path);
  EXPECT_THAT(file.read<T>("/group/small").shape, ElementsAre(2, 3));
  EXPECT_EQ(file.read<T>("group/small").values, small);
  EXPECT_EQ(file.read<T>("group/large", {70, -1}), large);
  EXPECT_THAT(file.shape("empty"), ElementsAre(0, 5));
  EXPECT_THAT(file.read<T>("empty").values, IsEmpty());
  EXPECT_EQ(file.read_scalar<T>("scalar"), T{3});
}

TEST_F(Hdf5Test, EveryTypeComesBackExactly) {
  const auto check = [&]<class T>(T) {
    Hdf5File file = Hdf5File::create(path_);
    expect_round_trip<T>(file, path_);
  };
  check(float{});
  check(double{});
  check(int8_t{});
  check(uint8_t{});
  check(int16_t{});
  check(int32_t{});
  check(int64_t{});
  check(uint64_t{});
}

TEST_F(Hdf5Test, SpecialFloatsComeBack) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Hdf5File file = write_and_open([&](Hdf5File& out) {
    out.write<float>("x", {3}, {std::numeric_limits<float>::quiet_NaN(), -infinity, 1.5F});
  });
  const std::vector<double> values = file.read<double>("x").values;
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], -infinity);
  EXPECT_EQ(values[2], 1.5);
}

TEST_F(Hdf5Test, NumbersConvertOrAreRefused) {
  const Hdf5File file = write_and_open([](Hdf5File& out) {
    out.write<int64_t>("integers", {2}, {1, int64_t{1} << 40U});
    out.write<double>("fractions", {2}, {1.0, 2.5});
    out.write<double>("whole", {2}, {1.0, -2.0});
    out.write<double>("huge", {1}, {1e300});
    out.write<uint64_t>("unsigned", {1}, {std::numeric_limits<uint64_t>::max()});
  });
  EXPECT_EQ(file.read<double>("integers").values[1], std::ldexp(1.0, 40));
  EXPECT_THAT([&] { file.read<int32_t>("integers"); },
              ThrowsMessage<DataError>(EndsWith(
                  "file.h5: integers: the value 1099511627776 does not fit the type that is needed")));
  EXPECT_THAT([&] { file.read<int32_t>("fractions"); },
              ThrowsMessage<DataError>(HasSubstr("the value 2.5 does not fit")));
  EXPECT_THAT(file.read<int32_t>("whole").values, ElementsAre(1, -2));
  EXPECT_THROW(file.read<uint64_t>("whole"), DataError);
  EXPECT_THROW(file.read<float>("huge"), DataError);
  EXPECT_THROW(file.read<int64_t>("unsigned"), DataError);
}

TEST_F(Hdf5Test, TextsOfAnyLength) {
  std::string yaml = "# " + std::string(70'000, 'c') + "\nname: \xC3\xA9\n";  // attributes end at 64 KiB
  const std::string odd("\xFF\0 a\0", 5);
  const std::vector<std::string> list = {"", "one", std::string(100'000, 'x'), "\xE2\x82\xAC"};
  const Hdf5File file = write_and_open([&](Hdf5File& out) {
    out.write_text("config", yaml);
    out.write_text("deep/odd", odd);
    out.write_text("empty", "");
    out.write_texts("list", list);
    out.write_texts("none", {});
  });
  EXPECT_EQ(file.read_text("config"), yaml);
  EXPECT_EQ(file.read_text("deep/odd"), odd);
  EXPECT_EQ(file.read_text("empty"), "");
  EXPECT_EQ(file.read_texts("list"), list);
  EXPECT_THAT(file.read_texts("none"), IsEmpty());
  EXPECT_EQ(file.kind("config"), Hdf5Kind::text);
  Hdf5File other = Hdf5File::create(directory_ / "other.h5");
  EXPECT_THROW(other.write_texts("x", {std::string("a\0b", 3)}), std::invalid_argument);
}

TEST_F(Hdf5Test, Attributes) {
  const Hdf5File file = write_and_open([](Hdf5File& out) {
    out.make_group("policy/x");
    out.write_attribute("/", "version", 1);
    out.write_attribute("/", "seed", int64_t{-5});
    out.write_attribute("/", "sigma", 0.065);
    out.write_attribute("/", "shared", true);
    out.write_attribute("/policy/x", "name", "namm \xC3\xA9");
    out.write_attribute("/policy/x", "empty", "");
  });
  EXPECT_EQ(file.read_attribute<int64_t>("/", "version"), 1);
  EXPECT_EQ(file.read_attribute<int64_t>("", "seed"), -5);
  EXPECT_EQ(file.read_attribute<double>("/", "sigma"), 0.065);
  EXPECT_EQ(file.read_attribute<double>("/", "version"), 1.0);
  EXPECT_TRUE(file.read_attribute<bool>("/", "shared"));
  EXPECT_EQ(file.read_attribute<int64_t>("/", "shared"), 1);
  EXPECT_EQ(file.read_attribute<std::string>("policy/x", "name"), "namm \xC3\xA9");
  EXPECT_EQ(file.read_attribute<std::string>("policy/x", "empty"), "");
  EXPECT_THAT(file.attributes("/"), ElementsAre("seed", "shared", "sigma", "version"));
  EXPECT_TRUE(file.has_attribute("/", "sigma"));
  EXPECT_FALSE(file.has_attribute("/", "other"));
  EXPECT_THAT([&] { file.read_attribute<int64_t>("policy", "size"); },
              ThrowsMessage<DataError>(EndsWith("file.h5: policy: the attribute 'size' is missing")));
  EXPECT_THAT([&] { file.read_attribute<int64_t>("policy/x", "name"); },
              ThrowsMessage<DataError>(EndsWith("policy/x@name: holds a text, a number is needed")));
  EXPECT_THAT([&] { file.read_attribute<int64_t>("/", "sigma"); },
              ThrowsMessage<DataError>(EndsWith("holds a fraction, an integer is needed")));
  EXPECT_THAT([&] { file.read_attribute<std::string>("/", "seed"); },
              ThrowsMessage<DataError>(EndsWith("holds a number, a text is needed")));
  Hdf5File other = Hdf5File::create(directory_ / "other.h5");
  EXPECT_THROW(other.write_attribute("/", "long", std::string(70'000, 'x')), std::invalid_argument);
}

TEST_F(Hdf5Test, ListsAndFindsObjects) {
  const Hdf5File file = write_and_open([](Hdf5File& out) {
    out.write_scalar<float>("b/y", 1);
    out.write_scalar<int64_t>("b/x", 1);
    out.make_group("a");
  });
  EXPECT_THAT(file.children(), ElementsAre("a", "b"));
  EXPECT_THAT(file.children("b"), ElementsAre("x", "y"));
  EXPECT_THAT(file.children("/a"), IsEmpty());
  EXPECT_TRUE(file.exists("/b/x"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_FALSE(file.exists("b/z"));
  EXPECT_FALSE(file.exists("c/z/w"));
  EXPECT_FALSE(file.exists("b/x/y"));
  EXPECT_EQ(file.kind("b"), Hdf5Kind::group);
  EXPECT_EQ(file.kind("b/x"), Hdf5Kind::integers);
  EXPECT_EQ(file.kind("b/y"), Hdf5Kind::floats);
}

TEST_F(Hdf5Test, ErrorsNameFileAndObject) {
  const Hdf5File file = write_and_open([](Hdf5File& out) {
    out.write<float>("g/x", {2, 3}, std::vector<float>(6));
    out.write_text("t", "text");
  });
  const std::string name = path_.string();
  EXPECT_THAT([&] { file.read<float>("g/y"); },
              ThrowsMessage<DataError>(name + ": g/y: the data set is missing"));
  EXPECT_THAT([&] { file.read<float>("g"); },
              ThrowsMessage<DataError>(name + ": g: is a group, a data set is needed"));
  EXPECT_THAT(
      [&] {
        file.read<float>("g/x", {3, 2});
      },
      ThrowsMessage<DataError>(name + ": g/x: has shape [2, 3], expected [3, 2]"));
  EXPECT_THAT([&] { file.read<float>("g/x", {-1}); },
              ThrowsMessage<DataError>(name + ": g/x: has shape [2, 3], expected [any]"));
  EXPECT_THAT([&] { file.read<float>("t"); },
              ThrowsMessage<DataError>(name + ": t: holds text, numbers are needed"));
  EXPECT_THAT([&] { file.read_text("g/x"); },
              ThrowsMessage<DataError>(name + ": g/x: holds 6 values, one text is needed"));
  EXPECT_THAT([&] { file.children("g/x"); },
              ThrowsMessage<DataError>(HasSubstr("is a data set, a group is needed")));
  EXPECT_THAT([&] { file.children("nowhere"); }, ThrowsMessage<DataError>(name + ": nowhere: is missing"));
  EXPECT_THROW(file.read<float>(std::string_view("g\0x", 3)), DataError);
  Hdf5File other = Hdf5File::create(directory_ / "other.h5");
  other.write_scalar<float>("x", 1);
  EXPECT_THAT([&] { other.write_scalar<float>("x", 2); },
              ThrowsMessage<DataError>(EndsWith("other.h5: x: exists already")));
  EXPECT_THROW(other.write_scalar<float>("x/y", 2), DataError);
  EXPECT_THROW(other.write_scalar<float>("/", 2), DataError);
  EXPECT_THROW(other.write<float>("y", {3}, std::vector<float>(2)), std::invalid_argument);
}

TEST_F(Hdf5Test, NothingIsThereBeforeCommit) {
  {
    Hdf5File file = Hdf5File::create(path_);
    file.write_scalar<float>("x", 1);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  Hdf5File file = Hdf5File::create(path_);
  file.commit();
  EXPECT_THROW(file.commit(), std::logic_error);
  EXPECT_THROW(file.write_scalar<float>("x", 1), std::logic_error);
  EXPECT_THROW(file.exists("x"), std::logic_error);
}

TEST_F(Hdf5Test, SameContentSameBytes) {
  std::vector<std::string> files;
  for (int i = 0; i < 2; ++i) {
    write_and_open([](Hdf5File& out) {
      out.write<float>("x", {5000}, std::vector<float>(5000, 1.0F));
      out.write_attribute("x", "meaning", "ones");
      out.write_texts("t", {"a", "bc"});
    });
    files.push_back(read_file(path_));
    if (i == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 would store the second of writing
    }
  }
  EXPECT_EQ(files[0], files[1]);
}

TEST_F(Hdf5Test, AFullDiskLeavesTheOldFile) {
  write_and_open([](Hdf5File& out) { out.write_scalar<float>("x", 1); });
  {
    const testing::FileSizeLimit limit(5000);
    Hdf5File file = Hdf5File::create(path_);
    file.write<double>("large", {10'000}, std::vector<double>(10'000, 0.1));
    EXPECT_NO_THROW(file.write<double>("random", {1000}, numbers<double>(1000)));
    EXPECT_THROW(file.commit(), InfrastructureError);
  }
  EXPECT_EQ(Hdf5File::open(path_).read_scalar<float>("x"), 1.0F);
}

TEST_F(Hdf5Test, EveryTruncationAndEveryFlipIsFound) {
  write_and_open([](Hdf5File& out) {
    out.write<float>("g/x", {2000}, std::vector<float>(2000, 0.5F));
    out.write_texts("t", {"a", "bc"});
    out.write_attribute("/", "version", 1);
  });
  const std::string whole = read_file(path_);
  EXPECT_TRUE(Hdf5File::intact(path_));
  const auto expect_refused = [&](const std::string& bytes, std::size_t place) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    EXPECT_FALSE(Hdf5File::intact(path_));
    EXPECT_THAT([&] { Hdf5File::open(path_); }, ThrowsMessage<DataError>(HasSubstr(path_.string()))) << place;
  };
  for (std::size_t length = 0; length < whole.size(); length += length < 600 ? 7 : 53) {
    expect_refused(whole.substr(0, length), length);
  }
  for (std::size_t i = 0; i < whole.size(); i += i < 600 ? 1 : 29) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    expect_refused(damaged, i);
  }
  expect_refused(whole + "x", whole.size());
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << whole;
  EXPECT_EQ(Hdf5File::open(path_).read_attribute<int64_t>("/", "version"), 1);
}

TEST_F(Hdf5Test, RefusesWhatIsNoHdf5) {
  const auto error_of = [&](const std::string& bytes) -> std::string {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    try {
      Hdf5File::open_foreign(path_);
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(error_of(""), HasSubstr("the file is empty"));
  EXPECT_THAT(error_of("PK\x03\x04 something"), HasSubstr("is no HDF5 file"));
  EXPECT_THAT(error_of("\x89HDF\r\n\x1a\n"), HasSubstr("truncated or damaged"));
  EXPECT_THAT(error_of("\x89HDF\r\n\x1a\n" + std::string(2000, '\0')), HasSubstr("truncated or damaged"));
  EXPECT_THROW(Hdf5File::open(directory_ / "missing.h5"), DataError);
  EXPECT_THROW(Hdf5File::open(directory_.path()), DataError);
  EXPECT_FALSE(Hdf5File::intact(directory_ / "missing.h5"));
}

TEST_F(Hdf5Test, AFileOfOthersIsReadOnRequestOnly) {
  const std::filesystem::path path = std::string(NAMM_TEST_DATA) + "/core/h5py.h5";
  EXPECT_THAT([&] { Hdf5File::open(path); }, ThrowsMessage<DataError>(HasSubstr("carries no checksum")));
}

// Written by h5py 3 without our checksum: old file format, chunks with shuffle and gzip, attributes of all
// kinds.
TEST_F(Hdf5Test, ReadsFilesOfOthers) {
  const Hdf5File file = Hdf5File::open_foreign(std::string(NAMM_TEST_DATA) + "/core/h5py.h5");
  EXPECT_THAT(file.children(),
              ElementsAre("bool", "float", "float16", "integers", "nested", "text", "texts", "vlen"));
  EXPECT_THAT(file.read<double>("float").shape, ElementsAre(30, 10));
  EXPECT_EQ(file.read<float>("float").values[299], 149.5F);
  EXPECT_EQ(file.read<float>("float16").values[1], 0.5F);
  EXPECT_THAT(file.read<int64_t>("integers").values, ElementsAre(-3, 0, 7));
  EXPECT_THAT(file.read<uint8_t>("bool").values, ElementsAre(1, 0, 1));
  EXPECT_EQ(file.read_text("text"), "h\xC3\xA9llo");
  EXPECT_THAT(file.read_texts("texts"), ElementsAre("ab", "c", ""));
  EXPECT_THAT(file.read_texts("vlen"), ElementsAre("x", "", "longer"));
  EXPECT_EQ(file.read_scalar<int64_t>("nested/deep/value"), 5);
  EXPECT_EQ(file.read_attribute<int64_t>("float", "count"), 300);
  EXPECT_EQ(file.read_attribute<double>("float", "step"), 0.5);
  EXPECT_EQ(file.read_attribute<std::string>("float", "meaning"), "half steps");
  EXPECT_TRUE(file.read_attribute<bool>("float", "yes"));
  EXPECT_FALSE(file.read_attribute<bool>("float", "no"));
  EXPECT_FALSE(Hdf5File::intact(file.path()));
}

TEST_F(Hdf5Test, ClaimsBeyondTheFileAreRefused) {
  // A data set of 2^40 doubles that were never written takes a few bytes only.
  const Hdf5File file = Hdf5File::open_foreign(std::string(NAMM_TEST_DATA) + "/core/huge_claim.h5");
  EXPECT_THAT([&] { file.read<double>("x"); },
              ThrowsMessage<DataError>(HasSubstr("more than the file can hold")));
}

TEST_F(Hdf5Test, ThreadsUseFilesAtOnce) {
  std::vector<std::jthread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 10; ++j) {
        const std::filesystem::path path = directory_ / (std::to_string(i) + ".h5");
        Hdf5File file = Hdf5File::create(path);
        file.write<int64_t>("x", {1000}, std::vector<int64_t>(1000, i * 100 + j));
        file.commit();
        right += Hdf5File::open(path).read<int64_t>("x").values[999] == i * 100 + j ? 1 : 0;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(right, 40);
}

}  // namespace
}  // namespace namm
