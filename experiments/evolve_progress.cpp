#include "experiments/evolve_progress.h"

#include <algorithm>
#include <utility>

#include "core/json_lines.h"
#include "core/log.h"
#include "core/terminal.h"
#include "core/text.h"
#include "experiments/generation_line.h"

namespace namm::experiments {

using evolution::Purpose;

EvolveProgress::EvolveProgress(StageWork work, int64_t first_generation, bool json_rows,
                               std::vector<nlohmann::json> rows)
    : work_(std::move(work)),
      first_generation_(first_generation),
      json_rows_(json_rows),
      progress_("evolve " + work_.name, static_cast<uint64_t>(work_.items()), "items"),
      rows_(std::move(rows)) {}

int64_t EvolveProgress::items() const {
  const int64_t open_generations = std::max<int64_t>(0, work_.generations - told_);
  return work_.items() + surplus_ + open_generations * generation_surplus_;
}

int64_t EvolveProgress::items_done(const evolution::ItemId& batch, int64_t done) const {
  const int64_t told = std::max<int64_t>(0, batch.generation - first_generation_);
  switch (batch.purpose) {
    case Purpose::calibrate:
      return done;
    case Purpose::population:
      return work_.items_told(told) + surplus_ + done;
    case Purpose::reference: {
      // Of the validation: computed before the first one, and numbered as the stage's first generation.
      const int64_t first_validation = std::min(work_.validate_every, work_.generations);
      return work_.items_told(first_validation - 1) + work_.generation_items(first_validation - 1) + done;
    }
    case Purpose::validation:
      if (batch.variant != 0) return items() - std::ssize(work_.shifts) + done;
      return work_.items_told(told + 1) + surplus_ + generation_surplus_ - std::ssize(work_.validation) +
             done;
    case Purpose::test:
      break;
  }
  return 0;
}

void EvolveProgress::learn_population(int64_t told, int64_t batch_items) {
  if (told > told_) surplus_ += (told - told_) * generation_surplus_;
  told_ = std::max(told, told_);
  generation_surplus_ = batch_items - work_.generation_items(told);
  progress_.set_total(static_cast<uint64_t>(items()));
}

void EvolveProgress::on_items(const evolution::ItemId& batch, int64_t done, int64_t total) {
  const int64_t told = std::max<int64_t>(0, batch.generation - first_generation_);
  if (batch.purpose == Purpose::population) learn_population(told, total);
  reached_ = std::max(reached_, items_done(batch, done));
  if (!begun_) progress_.start_at(static_cast<uint64_t>(reached_));
  begun_ = true;
  progress_.update(
      static_cast<uint64_t>(reached_),
      format_text("generation {}/{}, {} {}/{}{}{}", told, work_.generations,
                  evolution::to_string(batch.purpose), done, total, latest_.empty() ? "" : ", ", latest_));
}

nlohmann::json EvolveProgress::on_generation(const evolution::GenerationRow& row) {
  // A row without a checkpoint is dropped when its run is resumed.
  std::erase_if(rows_, [&](const nlohmann::json& known) {
    return number_of(known, "generation").value_or(-1) >= static_cast<double>(row.generation);
  });
  rows_.push_back(evolution::to_json(row));
  auto scores = scores_of(rows_.back());
  scores.sigma.reset();
  for (auto known = rows_.rbegin(); known != rows_.rend() && !scores.validation; ++known)
    scores.validation = number_of(*known, "validation");
  latest_ = join(words_of(scores), ", ");
  const int64_t told = row.generation - first_generation_ + 1;
  auto generation = generation_json(rows_.back(), work_.name, told, work_.generations, pace_of(rows_));
  if (json_rows_) {
    terminal_print_line(to_json_text(generation));
  } else {
    log_info(generation_line(generation, true));
  }
  return generation;
}

}  // namespace namm::experiments
