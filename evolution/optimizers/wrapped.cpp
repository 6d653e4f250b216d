#include "evolution/optimizers/wrapped.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"
#include "core/text.h"

namespace namm::evolution {
namespace {

NamedArray& array_of(NamedArrays& arrays, const std::string& name) {
  const auto found =
      std::find_if(arrays.begin(), arrays.end(), [&](const NamedArray& array) { return array.name == name; });
  if (found == arrays.end()) {
    throw DataError(format_text("saved optimiser state has no array \"{}\"", name));
  }
  return *found;
}

}  // namespace

WrappedOptimizer::WrappedOptimizer(std::unique_ptr<Optimizer> inner) : inner_(std::move(inner)) {}

void mark_kind(OptimizerState& state, const std::string& word) {
  state.kind += ", " + word;
}

OptimizerState without_mark(OptimizerState state, const std::string& word) {
  const std::string ending = ", " + word;
  if (!state.kind.ends_with(ending)) {
    throw DataError(
        format_text("saved state is of optimiser \"{}\", expected one with \"{}\" around it: termination, "
                    "restarts, average_mean or reevaluations differ",
                    state.kind, word));
  }
  state.kind.resize(state.kind.size() - ending.size());
  return state;
}

void put_answer(OptimizerState& state, const std::string& name, std::span<const double> answer) {
  array_of(state.arrays, "mean").name = name;
  state.arrays.push_back(vector_array("mean", std::vector<double>(answer.begin(), answer.end())));
}

OptimizerState without_answer(OptimizerState state, const std::string& name) {
  std::erase_if(state.arrays, [](const NamedArray& array) { return array.name == "mean"; });
  array_of(state.arrays, name).name = "mean";
  return state;
}

NamedArray list_array(std::string name, const std::vector<double>& values) {
  std::vector<double> list{static_cast<double>(values.size())};
  list.insert(list.end(), values.begin(), values.end());
  return vector_array(std::move(name), std::move(list));
}

std::vector<double> list_of(const NamedArrays& arrays, const std::string& name) {
  const std::vector<double>& list = doubles_of(arrays, name);
  if (list.empty() || list.front() != static_cast<double>(list.size() - 1)) {
    throw DataError(format_text("saved optimiser state: array \"{}\" has another length than it says", name));
  }
  return {list.begin() + 1, list.end()};
}

}  // namespace namm::evolution
