#include "experiments/out_of_memory.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/log.h"
#include "core/text.h"
#include "models/torch_error.h"

namespace namm::experiments {

namespace {

using evolution::WorkItem;
using evolution::WorkResult;

template <class T>
std::pair<std::vector<T>, std::vector<T>> halves_of(const std::vector<T>& list) {
  const auto middle = list.begin() + static_cast<std::ptrdiff_t>(list.size() / 2);
  return {{list.begin(), middle}, {middle, list.end()}};
}

/// In the order of the records: members outermost. None for an item that is computed as a whole.
std::optional<std::array<WorkItem, 2>> halves_of(const WorkItem& item) {
  if (item.id.purpose == evolution::Purpose::calibrate) return std::nullopt;
  std::array<WorkItem, 2> halves{item, item};
  if (item.members.size() > 1) {
    std::tie(halves[0].members, halves[1].members) = halves_of(item.members);
  } else if (item.samples.size() > 1) {
    std::tie(halves[0].samples, halves[1].samples) = halves_of(item.samples);
  } else {
    return std::nullopt;
  }
  return halves;
}

[[noreturn]] void give_up(const std::exception& error) {
  throw InfrastructureError(models::is_out_of_memory(error) ? out_of_memory_advice(error)
                                                            : models::torch_reason(error));
}

}  // namespace

std::string out_of_memory_advice(const std::exception& error) {
  return "out of memory: lower --threads, with which a run can be resumed, or start anew with a smaller "
         "model.chunk_tokens (generate: --chunk-tokens), evolution.members_per_item or "
         "evolution.samples_per_item (" +
         models::torch_reason(error) + ")";
}

WorkResult evaluate_within_memory(const evolution::Evaluator& evaluate, const WorkItem& item) {
  std::optional<std::array<WorkItem, 2>> halves;
  try {
    return evaluate(item);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    if (models::is_out_of_memory(error)) halves = halves_of(item);
    if (!halves) give_up(error);
    log_warning(format_text("{}: out of memory, done in two halves: results may differ in their last digits",
                            evolution::describe(item.id)));
  }
  try {
    WorkResult whole = evaluate((*halves)[0]);
    WorkResult rest = evaluate((*halves)[1]);
    std::move(rest.records.begin(), rest.records.end(), std::back_inserter(whole.records));
    return whole;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    give_up(error);
  }
}

}  // namespace namm::experiments
