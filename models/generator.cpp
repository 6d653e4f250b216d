#include "models/generator.h"

#include <algorithm>

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>

namespace namm::models {
namespace {

// Hidden states that are turned into logits at once when answers are scored: bounds the [n, vocabulary]
// scores.
constexpr int64_t kScoredTogether = 256;

at::Tensor as_tensor(const std::vector<int64_t>& ids) {
  return at::tensor(at::ArrayRef<int64_t>(ids), at::TensorOptions().dtype(at::kLong));
}

bool contains(std::span<const int64_t> ids, int64_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// First of the largest entries of each row, on the CPU.
at::Tensor greedy_ids(const at::Tensor& logits) {
  return logits.argmax(1).to(at::kCPU);
}

}  // namespace

Generator::Generator(std::shared_ptr<const Archive> archive, memory::Session& session,
                     GeneratorOptions options)
    : archive_(std::move(archive)), session_(session), options_(options) {
  TORCH_CHECK(options_.chunk_tokens > 0, "[generator] chunk_tokens must be positive, got ",
              options_.chunk_tokens);
}

at::Tensor Generator::step(std::span<const memory::RowId> rows, std::span<const int64_t> lengths,
                           const std::vector<int64_t>& ids) {
  session_.begin_step(rows, lengths);
  const at::Tensor x = archive_->embed(as_tensor(ids));
  return archive_->step(x, session_.positions(), session_.handle());
}

void Generator::read(std::span<const memory::RowId> rows, std::span<const std::vector<int64_t>> ids,
                     const ReadObserver& observe, bool leaves_last_update, const PrefillProgress& progress) {
  TORCH_CHECK(rows.size() == ids.size(), "[generator] ", rows.size(), " rows, but ", ids.size(),
              " lists of ids");
  std::vector<std::size_t> done(rows.size(), 0);
  int64_t read = 0, total = 0;
  for (const auto& row : ids) {
    TORCH_CHECK(!row.empty(), "[generator] a row has no ids to read");
    total += static_cast<int64_t>(row.size());
  }
  while (read < total) {
    std::vector<memory::RowId> step_rows;
    std::vector<std::size_t> indices;
    std::vector<int64_t> lengths, step_ids;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto left = static_cast<int64_t>(ids[i].size() - done[i]);
      if (left == 0) continue;
      // Cut at the row's own multiples of both chunk and period: what else is in the step has no influence.
      const int64_t to_chunk =
          options_.chunk_tokens - session_.tokens_processed(rows[i]) % options_.chunk_tokens;
      const int64_t length = std::min({left, to_chunk, session_.tokens_until_update(rows[i])});
      const auto begin = ids[i].begin() + static_cast<std::ptrdiff_t>(done[i]);
      step_ids.insert(step_ids.end(), begin, begin + length);
      step_rows.push_back(rows[i]);
      indices.push_back(i);
      lengths.push_back(length);
    }
    const at::Tensor hidden = step(step_rows, lengths, step_ids);
    int64_t place = 0;
    for (std::size_t k = 0; k < indices.size(); ++k) {
      observe(indices[k], static_cast<int64_t>(done[indices[k]]), hidden.narrow(0, place, lengths[k]));
      place += lengths[k];
      done[indices[k]] += static_cast<std::size_t>(lengths[k]);
    }
    read += place;
    if (read < total || !leaves_last_update) session_.update();
    if (progress) progress(read, total);
  }
}

at::Tensor Generator::prefill(std::span<const memory::RowId> rows, std::span<const std::vector<int64_t>> ids,
                              const PrefillProgress& progress) {
  return prefill(rows, ids, /*leaves_last_update=*/false, progress);
}

at::Tensor Generator::prefill_until_update(std::span<const memory::RowId> rows,
                                           std::span<const std::vector<int64_t>> ids) {
  return prefill(rows, ids, /*leaves_last_update=*/true, {});
}

at::Tensor Generator::prefill(std::span<const memory::RowId> rows, std::span<const std::vector<int64_t>> ids,
                              bool leaves_last_update, const PrefillProgress& progress) {
  const c10::InferenceMode inference;
  std::vector<at::Tensor> last(rows.size());
  read(
      rows, ids,
      [&](std::size_t row, int64_t begin, const at::Tensor& hidden) {
        if (begin + hidden.size(0) == static_cast<int64_t>(ids[row].size()))
          last[row] = hidden.slice(0, -1).clone();
      },
      leaves_last_update, progress);
  return archive_->logits(at::cat(last));
}

std::vector<std::vector<int64_t>> Generator::greedy(std::span<const memory::RowId> rows, at::Tensor logits,
                                                    std::span<const int64_t> max_new_tokens,
                                                    std::span<const int64_t> stop_ids,
                                                    const TokenObserver& on_token) {
  return generate(rows, std::move(logits), max_new_tokens, stop_ids, Sampler(), on_token);
}

std::vector<std::vector<int64_t>> Generator::generate(std::span<const memory::RowId> rows, at::Tensor logits,
                                                      std::span<const int64_t> max_new_tokens,
                                                      std::span<const int64_t> stop_ids,
                                                      const Sampler& sampler, const TokenObserver& on_token) {
  const c10::InferenceMode inference;
  TORCH_CHECK(logits.dim() == 2 && logits.size(0) == static_cast<int64_t>(rows.size()) &&
                  rows.size() == max_new_tokens.size(),
              "[generator] logits ", logits.sizes(), " and ", max_new_tokens.size(), " limits for ",
              rows.size(), " rows");
  std::vector<std::vector<int64_t>> generated(rows.size());
  std::vector<std::size_t> active;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (max_new_tokens[i] > 0) active.push_back(i);
  }
  if (active.size() < rows.size()) {
    logits = logits.index_select(0, as_tensor({active.begin(), active.end()}).to(logits.device()));
  }
  while (!active.empty()) {
    std::vector<DrawPlace> places;
    for (const std::size_t i : active)
      places.push_back({static_cast<int64_t>(i), static_cast<int64_t>(generated[i].size())});
    const std::vector<int64_t> chosen = sampler.choose(logits, places);
    std::vector<std::size_t> going_on;
    std::vector<memory::RowId> step_rows;
    std::vector<int64_t> step_ids;
    for (std::size_t k = 0; k < active.size(); ++k) {
      const std::size_t i = active[k];
      const int64_t id = chosen[k];
      generated[i].push_back(id);
      const bool wanted = !on_token || on_token(i, id, logits[static_cast<int64_t>(k)]);
      if (!wanted || static_cast<int64_t>(generated[i].size()) >= max_new_tokens[i] || contains(stop_ids, id))
        continue;
      going_on.push_back(i);
      step_rows.push_back(rows[i]);
      step_ids.push_back(id);
    }
    active = std::move(going_on);
    if (active.empty()) break;
    const std::vector<int64_t> lengths(active.size(), 1);
    logits = archive_->logits(step(step_rows, lengths, step_ids));
    session_.update();
  }
  return generated;
}

std::vector<Scored> Generator::score(std::span<const memory::RowId> rows,
                                     std::span<const std::vector<int64_t>> prompts,
                                     std::span<const std::vector<int64_t>> targets) {
  const c10::InferenceMode inference;
  TORCH_CHECK(rows.size() == prompts.size() && rows.size() == targets.size(), "[generator] ", rows.size(),
              " rows, ", prompts.size(), " prompts, ", targets.size(), " targets");
  // The last token of a target is scored, not read: as in decoding, where it would never be fed.
  std::vector<std::vector<int64_t>> ids(prompts.begin(), prompts.end());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    TORCH_CHECK(!prompts[i].empty() && !targets[i].empty(), "[generator] prompt or target of row ", i,
                " is empty");
    ids[i].insert(ids[i].end(), targets[i].begin(), targets[i].end() - 1);
  }

  std::vector<Scored> result(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    result[i].tokens = static_cast<int64_t>(targets[i].size());
    result[i].greedy_match = true;
  }
  struct Expected {
    std::size_t row;
    int64_t id;
  };
  std::vector<Expected> expected;
  std::vector<at::Tensor> waiting;
  const auto add_scores = [&] {
    if (waiting.empty()) return;
    const at::Tensor logits = archive_->logits(at::cat(waiting));
    std::vector<int64_t> wanted;
    for (const Expected& token : expected) wanted.push_back(token.id);
    const at::Tensor index = as_tensor(wanted).to(logits.device());
    const at::Tensor log_likelihood =
        at::log_softmax(logits, 1).gather(1, index.unsqueeze(1)).squeeze(1).to(at::kCPU, at::kDouble);
    const at::Tensor best = greedy_ids(logits);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      Scored& scored = result[expected[k].row];
      scored.log_likelihood += log_likelihood.const_data_ptr<double>()[k];
      scored.greedy_match = scored.greedy_match && best.const_data_ptr<int64_t>()[k] == expected[k].id;
    }
    expected.clear();
    waiting.clear();
  };
  read(
      rows, ids,
      [&](std::size_t row, int64_t begin, const at::Tensor& hidden) {
        // The hidden state of token t predicts token t + 1; the first of interest is the prompt's last.
        const auto first = static_cast<int64_t>(prompts[row].size()) - 1;
        const int64_t from = std::max(first, begin), end = begin + hidden.size(0);
        if (from >= end) return;
        waiting.push_back(hidden.slice(0, from - begin).clone());
        for (int64_t place = from; place < end; ++place) {
          expected.push_back({row, targets[row][static_cast<std::size_t>(place - first)]});
        }
        if (static_cast<int64_t>(expected.size()) >= kScoredTogether) add_scores();
      },
      /*leaves_last_update=*/false);
  add_scores();
  return result;
}

}  // namespace namm::models
