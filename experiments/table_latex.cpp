#include <cmath>
#include <string_view>

#include "core/text.h"
#include "experiments/table_formats.h"
#include "experiments/table_words.h"
#include "experiments/text_grid.h"

namespace namm::experiments {

namespace {

std::string latex_escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("&%$#_{}").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string to_latex(const Table& table) {
  const auto cell_text = [&](const Estimate& estimate) {
    std::string text = "$" + number_text(estimate.mean, table.decimals);
    if (estimate.has_interval()) text += " \\pm " + number_text(estimate.half_width(), table.decimals);
    return text + "$";
  };
  std::string text =
      "\\begin{tabular}{l" +
      std::string(table.columns.size() + table.mean_columns.size() + (table.normalized ? 1 : 0), 'r') +
      "}\n\\toprule\nmethod";
  for (const auto& column : table.columns) {
    text += " & " + latex_escape(column.task) + (column.transfer ? " (transfer)" : "");
  }
  for (const auto& name : table.mean_columns) text += " & " + latex_escape(name);
  if (table.normalized) text += " & " + kNormalized;
  text += " \\\\\n\\midrule\n";
  for (const auto& row : table.rows) {
    std::string scores = latex_escape(row_name(row));
    std::string sizes = "\\quad cache";
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      scores += " & ";
      sizes += " & ";
      if (found == row.cells.end()) continue;
      scores += cell_text(found->second.score);
      sizes += "\\footnotesize " + number_text(kPercent * found->second.cache_fraction, 1) + "\\,\\%, " +
               number_text(found->second.cache_tokens, 0) + " tokens, " +
               format_bytes(static_cast<uint64_t>(std::llround(found->second.cache_bytes))) +
               (found->second.cache_differs ? "$^\\dagger$" : "") +
               (found->second.excess_tokens > 0 ? "$^\\ddagger$" : "");
    }
    for (const auto& name : table.mean_columns) {
      const auto found = row.means.find(name);
      scores += " & ";
      sizes += " & ";
      if (found == row.means.end()) continue;
      scores += cell_text(found->second.score);
      sizes += "\\footnotesize " + number_text(kPercent * found->second.cache_fraction, 1) + "\\,\\%";
    }
    if (table.normalized) {
      scores += " & " + ratio_text(row.normalized_average);
      sizes += " & ";
    }
    text += scores + " \\\\\n" + sizes + " \\\\\n";
  }
  for (size_t i = 0; i < table.published.size(); ++i) {
    text += latex_escape(table.published[i].method) + " (published)";
    for (const auto& column : table.columns) {
      text += " & " + entry_text(table.published[i].scores, column.task, table.decimals);
    }
    for (const auto& name : table.mean_columns) {
      text += " & " + entry_text(table.published_means[i], name, table.decimals);
    }
    text += table.normalized ? " &  \\\\\n" : " \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace namm::experiments
