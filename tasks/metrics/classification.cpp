#include "tasks/metrics/classification.h"

#include <algorithm>

namespace namm::tasks {

double classification(TextView prediction, TextView gold, const std::vector<Text>& all_classes) {
  std::vector<TextView> found;
  for (const Text& name : all_classes) {
    if (prediction.find(name) != TextView::npos) found.emplace_back(name);
  }
  for (size_t i = 0; i < found.size(); ++i) {
    const TextView name = found[i];
    if (name != gold && gold.find(name) != TextView::npos) {
      // Python's list.remove takes the first equal element, and the loop then steps over the next one.
      found.erase(std::ranges::find(found, name));
    }
  }
  return std::ranges::find(found, gold) == found.end() ? 0.0 : 1.0 / static_cast<double>(found.size());
}

}  // namespace namm::tasks
