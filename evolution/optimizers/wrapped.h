#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evolution/optimizer.h"

namespace namm::evolution {

/// An optimiser around another one: does all that the inner one does, for classes that change a part. Its
/// state is the inner one's with further arrays and a further word in its kind ("cma-es, averaged"), so that
/// one is not taken for the other.
class WrappedOptimizer : public Optimizer {
 public:
  explicit WrappedOptimizer(std::unique_ptr<Optimizer> inner);

  std::string kind() const override { return inner_->kind(); }
  int64_t dimension() const override { return inner_->dimension(); }
  int64_t population() const override { return inner_->population(); }
  int64_t generation() const override { return inner_->generation(); }
  double sigma() const override { return inner_->sigma(); }
  std::span<const double> mean() const override { return inner_->mean(); }
  std::vector<double> ask() override { return inner_->ask(); }
  TellReport tell(std::span<const double> fitness) override { return inner_->tell(fitness); }
  OptimizerState state() const override { return inner_->state(); }
  void restore(const OptimizerState& state) override { inner_->restore(state); }
  std::optional<std::string> stop() const override { return inner_->stop(); }
  std::optional<std::string> alarm() const override { return inner_->alarm(); }
  SearchDistribution distribution(int64_t axis) const override { return inner_->distribution(axis); }
  void scale_sigma(double factor) override { inner_->scale_sigma(factor); }

 protected:
  Optimizer& inner() { return *inner_; }
  const Optimizer& inner() const { return *inner_; }
  void replace_inner(std::unique_ptr<Optimizer> inner) { inner_ = std::move(inner); }

 private:
  std::unique_ptr<Optimizer> inner_;
};

/// Adds the word to the kind of a state.
void mark_kind(OptimizerState& state, const std::string& word);
/// The inner state: the last word of the kind taken off. Throws DataError when it is another one.
OptimizerState without_mark(OptimizerState state, const std::string& word);

/// In a saved state "mean" is the answer. A wrapper whose answer is another than the inner mean keeps the
/// inner one under `name`.
void put_answer(OptimizerState& state, const std::string& name, std::span<const double> answer);
/// The inner state back: undoes `put_answer`. Throws DataError when there is no array `name`.
OptimizerState without_answer(OptimizerState state, const std::string& name);

/// A list of any length as an array that shows its own length, so that another one is not taken for it.
NamedArray list_array(std::string name, const std::vector<double>& values);
/// Throws DataError.
std::vector<double> list_of(const NamedArrays& arrays, const std::string& name);

}  // namespace namm::evolution
