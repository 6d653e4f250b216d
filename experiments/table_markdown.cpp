#include <algorithm>
#include <cmath>

#include "core/text.h"
#include "experiments/table_formats.h"
#include "experiments/table_words.h"
#include "experiments/text_grid.h"

namespace namm::experiments {

namespace {

/// Whether a number of the table has no interval.
bool lacks_interval(const Table& table) {
  const auto of_cell = [](const auto& entry) { return !entry.second.score.has_interval(); };
  const auto of_gain = [](const auto& entry) { return !entry.second.has_interval(); };
  return std::any_of(table.rows.begin(), table.rows.end(),
                     [&](auto& row) {
                       return std::any_of(row.cells.begin(), row.cells.end(), of_cell) ||
                              std::any_of(row.means.begin(), row.means.end(), of_cell);
                     }) ||
         std::any_of(table.differences.begin(), table.differences.end(), [&](auto& difference) {
           return std::any_of(difference.cells.begin(), difference.cells.end(), of_gain) ||
                  std::any_of(difference.means.begin(), difference.means.end(), of_gain);
         });
}

std::vector<std::string> header_of(const Table& table) {
  std::vector<std::string> header{"method", ""};
  for (const auto& column : table.columns) {
    header.push_back(column.task + (column.transfer ? " (transfer)" : ""));
  }
  header.insert(header.end(), table.mean_columns.begin(), table.mean_columns.end());
  if (table.normalized) header.emplace_back(kNormalized);
  return header;
}

/// Two lines: scores, and below them the caches that they were reached with.
void add_row(const Table& table, const TableRow& row, TextGrid& grid) {
  std::vector<std::string> scores{row_name(row), "score"};
  std::vector<std::string> caches{"", "cache"};
  for (const auto& column : table.columns) {
    const auto found = row.cells.find(column.task);
    if (found == row.cells.end()) {
      scores.emplace_back("-");
      caches.emplace_back("-");
      continue;
    }
    const TableCell& cell = found->second;
    scores.push_back(score_text(cell.score, table.decimals) + " (n " + std::to_string(cell.score.n) + ")");
    caches.push_back(number_text(kPercent * cell.cache_fraction, 1) + " %, " +
                     number_text(cell.cache_tokens, 0) + " tok, " +
                     format_bytes(static_cast<uint64_t>(std::llround(cell.cache_bytes))) +
                     (cell.cache_differs ? " †" : "") + (cell.excess_tokens > 0 ? " ‡" : ""));
  }
  for (const auto& name : table.mean_columns) {
    const auto found = row.means.find(name);
    const bool there = found != row.means.end();
    scores.push_back(there ? score_text(found->second.score, table.decimals) : "-");
    caches.push_back(there ? number_text(kPercent * found->second.cache_fraction, 1) + " %" : "-");
  }
  if (table.normalized) scores.push_back(ratio_text(row.normalized_average));
  grid.add(std::move(scores));
  grid.add(std::move(caches));
}

std::string scores_of(const Table& table) {
  TextGrid grid;
  grid.add(header_of(table));
  for (const auto& row : table.rows) add_row(table, row, grid);
  for (size_t i = 0; i < table.published.size(); ++i) {
    std::vector<std::string> line{format_text("{} [{}]", table.published[i].method, i + 1), "published"};
    for (const auto& column : table.columns) {
      line.push_back(entry_text(table.published[i].scores, column.task, table.decimals));
    }
    for (const auto& name : table.mean_columns) {
      line.push_back(entry_text(table.published_means[i], name, table.decimals));
    }
    grid.add(std::move(line));
  }
  return grid.markdown();
}

/// What the marks in the cells mean, where there are any.
std::string marks_of(const Table& table) {
  bool differs = false;
  double most_excess = 0;
  for (const auto& row : table.rows) {
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      if (found == row.cells.end()) continue;
      differs = differs || found->second.cache_differs;
      most_excess = std::max(most_excess, found->second.excess_tokens);
    }
  }
  std::string text;
  if (differs)
    text +=
        "† cache size differs by more than 2 % from the memory's, or without one from the first row's with a "
        "budget: not an equal-cache comparison.\n";
  if (most_excess > 0) {
    text += format_text(
        "‡ protected tokens (memory.protect) alone are more than the budget: up to {} tokens a head beyond "
        "it.\n",
        number_text(most_excess, 1));
  }
  return text;
}

/// What holds for all scores, line by line below them.
std::string legend_of(const Table& table) {
  std::string text =
      "\nScores are means over contexts (n), 0 to 100, with 95 % t intervals; tokens are a mean over layers "
      "and heads at the end of the context; the mean columns weigh every task the same";
  text += table.averages.empty()
              ? ".\n"
              : format_text(", but {}: means over groups of tasks, each of which weighs the same.\n",
                            join(table.averages, ", "));
  for (size_t i = 0; i < table.published.size(); ++i) {
    text += format_text("[{}] {}.\n", i + 1, table.published[i].source);
  }
  if (table.normalized) {
    text +=
        "Normalised: mean over tasks of a row's score divided by the full cache's; none where the full cache "
        "has no point on a task.\n";
  }
  if (!table.left_out.empty()) {
    text += format_text("Left out, the results lack their tasks: {}.\n", join(table.left_out, ", "));
  }
  for (const auto& budget : table.budgets) {
    if (!budget.empty()) text += "Cache budget: " + budget + ".\n";
  }
  text += marks_of(table);
  if (table.truncated_prompts > 0) {
    text += format_text("{} prompts were longer than the limit and were cut in the middle.\n",
                        table.truncated_prompts);
  }
  if (lacks_interval(table)) {
    text +=
        "No interval (±): there is one context, or all contexts scored the same, or it is so for a task of a "
        "mean.\n";
  }
  if (table.skipped_records > 0)
    text += format_text("{} malformed records were left out.\n", table.skipped_records);

  if (table.unscored > 0) {
    text += format_text("The official scorer fails on {} answers, which count as 0.\n", table.unscored);
  }

  return text;
}

std::string differences_of(const Table& table) {
  if (table.differences.empty()) return "";
  TextGrid grid;
  std::vector<std::string> columns{"difference, paired over contexts"};
  const auto header = header_of(table);
  columns.insert(columns.end(), header.begin() + 2, header.end() - (table.normalized ? 1 : 0));
  grid.add(columns);
  for (const auto& difference : table.differences) {
    std::vector<std::string> line{difference.subject + " − " + difference.against};
    for (const auto& column : table.columns) {
      const auto found = difference.cells.find(column.task);
      line.push_back(found == difference.cells.end() ? "-" : score_text(found->second, table.decimals, true));
    }
    for (const auto& name : table.mean_columns) {
      const auto found = difference.means.find(name);
      line.push_back(found == difference.means.end() ? "-" : score_text(found->second, table.decimals, true));
    }
    grid.add(std::move(line));
  }
  return "\n" + grid.markdown();
}

std::string memories_of(const Table& table) {
  std::vector<std::string> evolved;
  std::vector<std::string> transfer;
  for (const auto& column : table.columns) (column.evolved ? evolved : transfer).push_back(column.task);
  std::string text;
  if (!table.memories.empty()) {
    text += "\nThe memories were evolved on:\n";
    for (const auto& memory : table.memories) text += "- " + memory + "\n";
  } else if (table.has_memory) {
    text +=
        "\nThe memory was evolved on: " + (evolved.empty() ? "none of these tasks" : join(evolved, ", ")) +
        ". Transfer (never seen in evolution): " + (transfer.empty() ? "none" : join(transfer, ", ")) + ".\n";
  }
  return text;
}

}  // namespace

std::string to_markdown(const Table& table) {
  std::string text = scores_of(table) + legend_of(table) + differences_of(table) + memories_of(table);
  if (table.has_validation) {
    text +=
        "\nMeasured on validation samples, of which some may have chosen the memory or the settings: these "
        "are not held-out scores.\n";
  }
  if (!table.notes.empty()) {
    text += "\nWhat this shows and what it does not:\n";
    for (const auto& note : table.notes) text += "- " + note + "\n";
  }
  return text;
}

}  // namespace namm::experiments
