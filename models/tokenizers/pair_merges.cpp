#include "models/tokenizers/pair_merges.h"

#include <queue>
#include <stdexcept>
#include <string>

namespace namm::models {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

void PairMerges::add(int32_t left, int32_t right, int32_t rank, int32_t result) {
  merges_[pair_key(left, right)] = {rank, result};
}

void PairMerges::add_joined(const std::unordered_map<std::string, int32_t>& texts,
                            const std::function<std::optional<int32_t>(int32_t id)>& rank) {
  constexpr std::size_t kLongest = 1 << 14;  // the cuts of a text take time that grows with its square
  for (const auto& [text, id] : texts) {
    const std::optional<int32_t> own_rank = rank(id);
    if (!own_rank) continue;
    if (text.size() > kLongest) {
      throw std::invalid_argument("a token of " + std::to_string(text.size()) + " bytes; at most " +
                                  std::to_string(kLongest) + " are read");
    }
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = texts.find(text.substr(0, cut));
      if (left == texts.end()) continue;
      const auto right = texts.find(text.substr(cut));
      if (right != texts.end()) add(left->second, right->second, *own_rank, id);
    }
  }
}

const PairMerges::Merge* PairMerges::find(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void PairMerges::apply(std::vector<int32_t>& ids) const {
  struct Candidate {
    int32_t rank, place, result;
    bool operator<(const Candidate& other) const {  // std::priority_queue gives the largest first
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  const auto count = static_cast<int32_t>(ids.size());
  std::vector<Candidate> storage;
  for (int32_t place = 0; place + 1 < count; ++place) {
    const auto index = static_cast<std::size_t>(place);
    if (const Merge* found = find(ids[index], ids[index + 1]))
      storage.push_back({found->rank, place, found->result});
  }
  if (storage.empty()) return;

  std::vector<Symbol> symbols(ids.size());
  for (int32_t place = 0; place < count; ++place) {
    const auto index = static_cast<std::size_t>(place);
    symbols[index] = {ids[index], place - 1, place + 1 < count ? place + 1 : -1};
  }
  const auto candidate = [&](int32_t place) -> const Merge* {
    const Symbol& left = symbols[static_cast<std::size_t>(place)];
    return left.next < 0 ? nullptr : find(left.id, symbols[static_cast<std::size_t>(left.next)].id);
  };
  std::priority_queue<Candidate> queue({}, std::move(storage));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(best.place)];
    if (left.id < 0) continue;
    // Neighbours may have changed since; as in `tokenizers`, another pair that gives the same token still
    // counts.
    const Merge* now = candidate(best.place);
    if (now == nullptr || now->result != best.result) continue;
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) {
      symbols[static_cast<std::size_t>(left.next)].previous = best.place;
      if (const Merge* found = candidate(best.place)) queue.push({found->rank, best.place, found->result});
    }
    if (left.previous >= 0) {
      if (const Merge* found = candidate(left.previous))
        queue.push({found->rank, left.previous, found->result});
    }
  }
  ids.clear();
  for (const Symbol& symbol : symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

}  // namespace namm::models
