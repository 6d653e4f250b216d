#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/hdf5.h"
#include "evolution/optimizers/cma_es.h"
#include "tests/support/golden_files.h"
#include "tests/support/tolerances.h"

/// Trajectories recorded from the published code (tests/data/golden/README.md), replayed with `parity`. Every
/// size comes from the file; the recorded fitness ranks.
namespace namm::evolution {
namespace {

namespace fs = std::filesystem;

/// Compares and counts numbers, remembering the largest deviation of each kind.
class Comparison {
 public:
  Comparison(std::string where) : where_(std::move(where)) {}

  template <class Values>
  void absolute(const std::string& name, const Values& ours, const float* theirs, double limit) {
    for (std::size_t i = 0; i < ours.size(); ++i) {
      check(name, std::abs(ours[i] - static_cast<double>(theirs[i])), limit);
    }
  }
  template <class Values>
  void scaled(const std::string& name, const Values& ours, const float* theirs, double limit) {
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const auto expected = static_cast<double>(theirs[i]);
      check(name, std::abs(ours[i] - expected) / (1 + std::abs(expected)), limit);
    }
  }
  void relative(const std::string& name, double ours, double theirs, double limit) {
    check(name, std::abs(ours - theirs) / std::max(std::abs(theirs), 1e-300), limit);
  }
  void check(const std::string& name, double deviation, double limit) {
    ++count_;
    double& largest = largest_of(name);
    largest = std::max(largest, deviation);
    if (!(deviation <= limit) && ++failures_ <= 5) {
      ADD_FAILURE() << where_ << ": " << name << " deviates by " << deviation << ", limit " << limit;
    }
  }
  int64_t count() const { return count_; }
  void print() const {
    std::printf("  %s: %lld numbers", where_.c_str(), static_cast<long long>(count_));
    for (const auto& [name, value] : largest_) {
      std::printf(", %s %.1e", name.c_str(), value);
    }
    std::printf("\n");
  }

 private:
  double& largest_of(const std::string& name) {
    for (auto& [known, value] : largest_) {
      if (known == name) {
        return value;
      }
    }
    return largest_.emplace_back(name, 0).second;
  }

  std::string where_;
  int64_t count_ = 0;
  int64_t failures_ = 0;
  std::vector<std::pair<std::string, double>> largest_;
};

std::vector<double> doubles(const float* values, int64_t count) {
  return {values, values + count};
}

int64_t compare_case(const Hdf5File& file, const std::string& group) {
  const std::string name = file.path().filename().string() + "/" + group;
  Comparison compare(name);
  const auto n = file.read_attribute<int64_t>(group, "n");
  const auto lambda = file.read_attribute<int64_t>(group, "lambda");
  const auto sigma_0 = file.read_attribute<double>(group, "sigma0");
  const bool symmetric = file.read_attribute<std::string>(group, "sampling").starts_with("symmetric root");
  const double elite_ratio =
      file.has_attribute("/", "elite_ratio") ? file.read_attribute<double>("/", "elite_ratio") : 0.5;
  const auto read = [&](const std::string& data, const Hdf5Shape& shape) {
    return file.read<float>(group + "/" + data, shape);
  };
  const int64_t generations = file.shape(group + "/sigma").at(0);
  const auto x0 = read("x0", {n});
  CmaEs<float> optimizer({lambda, sigma_0, elite_ratio, true}, doubles(x0.data(), n), 0);

  const CmaConstants& constants = optimizer.constants();
  compare.absolute("weights", constants.weights, read("weights", {lambda}).data(), tolerances::cma::weights);
  const auto constant = [&](const char* attribute, double ours) {
    compare.relative("constants", ours, file.read_attribute<double>(group, attribute),
                     tolerances::cma::constants);
  };
  constant("mu_eff", constants.mu_eff);
  constant("c_1", constants.c_1);
  constant("c_mu", constants.c_mu);
  constant("c_sigma", constants.c_sigma);
  constant("d_sigma", constants.d_sigma);
  constant("c_c", constants.c_c);
  constant("chi", constants.chi);

  const int64_t block = lambda * n;
  const auto u = read("u", {generations, lambda, n}), y = read("y", {generations, lambda, n});
  const auto x = read("x", {generations, lambda, n}), fitness = read("fitness", {generations, lambda});
  const auto mean = read("mean", {generations, n}), p_sigma = read("p_sigma", {generations, n});
  const auto p_c = read("p_c", {generations, n}), h = read("h", {generations}),
             sigma = read("sigma", {generations});
  const auto roots = read("D", {generations, n});
  const bool full = file.exists(group + "/C");
  const auto covariance = full ? read("C", {generations, n, n}) : std::vector<float>();
  const auto diagonal = full ? std::vector<float>() : read("C_diag", {generations, n});
  const double limit = tolerances::cma::state;

  for (int64_t g = 0; g < generations; ++g) {
    const std::vector<double> ours =
        symmetric ? optimizer.ask_from(doubles(u.data() + g * block, block), CmaEs<float>::Root::symmetric)
                  : optimizer.ask_with_steps(doubles(y.data() + g * block, block));
    compare.absolute("x", ours, x.data() + g * block, limit);
    compare.scaled("y", optimizer.steps(), y.data() + g * block, tolerances::cma::steps);
    compare.scaled("D", optimizer.roots(), roots.data() + g * n, tolerances::cma::steps);
    optimizer.tell(doubles(fitness.data() + g * lambda, lambda));
    compare.absolute("mean", optimizer.mean(), mean.data() + g * n, limit);
    compare.absolute("p_sigma", optimizer.path_sigma(), p_sigma.data() + g * n, limit);
    compare.absolute("p_c", optimizer.path_c(), p_c.data() + g * n, limit);
    compare.relative("sigma", optimizer.sigma(), static_cast<double>(sigma[g]), tolerances::cma::sigma);
    compare.check("h", std::abs((optimizer.last_h() ? 1.0 : 0.0) - static_cast<double>(h[g])), 0);
    const std::vector<double> c = optimizer.covariance();
    if (full) {
      compare.absolute("C", c, covariance.data() + g * n * n, limit);
    } else {
      std::vector<double> c_diagonal;
      for (int64_t i = 0; i < n; ++i) {
        c_diagonal.push_back(c[i * n + i]);
      }
      compare.absolute("C", c_diagonal, diagonal.data() + g * n, limit);
    }
  }
  if (!full) {
    compare.absolute("C", optimizer.covariance(), read("C_last", {n, n}).data(), limit);
  }
  compare.print();
  return compare.count();
}

TEST(GoldenCma, TrajectoriesOfThePublishedCode) {
  const fs::path directory = namm::testing::golden_directory();
  ASSERT_TRUE(fs::is_directory(directory)) << directory;
  const std::vector<fs::path> files = namm::testing::golden_files("cma");
  ASSERT_FALSE(files.empty()) << "no cma*.h5 in " << directory;
  int64_t cases = 0, numbers = 0;
  for (const fs::path& path : files) {
    const Hdf5File file = Hdf5File::open_foreign(path);
    for (const std::string& group : file.children()) {
      if (file.kind(group) == Hdf5Kind::group && file.has_attribute(group, "lambda")) {
        numbers += compare_case(file, group);
        ++cases;
      }
    }
  }
  EXPECT_GT(cases, 0) << "the files hold no case";
  std::printf("golden_cma: %zu files, %lld cases, %lld numbers compared (%s)\n", files.size(),
              static_cast<long long>(cases), static_cast<long long>(numbers), directory.c_str());
}

}  // namespace
}  // namespace namm::evolution
