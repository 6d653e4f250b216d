#include "experiments/table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/task_list.h"

namespace namm::experiments {

namespace {

constexpr double kEqualCacheTolerance = 0.02;
constexpr double kPercent = 100;

const char* const kMean = "mean";
const char* const kMeanEvolved = "mean of evolved";
const char* const kMeanTransfer = "mean of transfer";
const char* const kNormalized = "normalised (full = 1)";

template <class T>
bool contains(const std::vector<T>& list, const T& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

double mean_over(const TaskResult& task, const std::function<double(const ContextResult&)>& get) {
  double sum = 0;
  for (const auto& context : task.contexts) sum += get(context);
  return sum / static_cast<double>(task.contexts.size());
}

std::vector<double> scores_of(const TaskResult& task) {
  std::vector<double> scores;
  for (const auto& context : task.contexts) scores.push_back(kPercent * context.score());
  return scores;
}

/// Scores of the contexts that both have, by sample id.
std::pair<std::vector<double>, std::vector<double>> paired_scores(const TaskResult& a, const TaskResult& b) {
  std::map<int64_t, double> other;
  for (const auto& context : b.contexts) other[context.sample] = kPercent * context.score();
  std::pair<std::vector<double>, std::vector<double>> pairs;
  for (const auto& context : a.contexts) {
    if (const auto found = other.find(context.sample); found != other.end()) {
      pairs.first.push_back(kPercent * context.score());
      pairs.second.push_back(found->second);
    }
  }
  return pairs;
}

/// A mean over tasks; those of a mean of means have different weights.
struct MeanColumn {
  std::string name;
  std::vector<std::string> tasks;
  std::vector<double> weights;  // one a task; empty: all the same
};

MeanColumn mean_of_means(const std::string& name, const std::vector<std::vector<std::string>>& parts) {
  MeanColumn column{name, {}, {}};
  for (const auto& tasks : parts) {
    for (const auto& task : tasks) {
      column.tasks.push_back(task);
      column.weights.push_back(1.0 / static_cast<double>(parts.size() * tasks.size()));
    }
  }
  return column;
}

struct Source {
  const RunResults* run;
  const StageResult* stage;
  const PolicyResult* policy;
};

std::vector<Source> sources_of(const std::vector<RunResults>& runs) {
  std::vector<Source> sources;
  for (const auto& run : runs) {
    for (const auto& stage : run.stages) {
      for (const auto& policy : stage.policies) sources.push_back({&run, &stage, &policy});
    }
  }
  return sources;
}

std::string label_of(const Source& source, const std::vector<RunResults>& runs) {
  std::string label;
  if (runs.size() > 1) label += source.run->name + ": ";
  if (source.run->stages.size() > 1) label += source.stage->stage + ": ";
  return label + source.policy->policy;
}

void check_names(const std::vector<std::string>& wanted, const std::vector<std::string>& known,
                 const char* key) {
  for (const auto& name : wanted) {
    if (contains(known, name)) continue;
    throw ConfigError(
        format_text("layout: {}: the results have no \"{}\"; there are: {}", key, name, join(known, ", ")));
  }
}

/// Means of the layout whose tasks are not all among `tasks` go to `left_out`.
std::vector<MeanColumn> mean_columns_of(const std::vector<TableColumn>& columns, const TableLayout& layout,
                                        const std::vector<std::string>& tasks,
                                        std::vector<std::string>& left_out) {
  MeanColumn all{kMean, {}, {}};
  MeanColumn evolved{kMeanEvolved, {}, {}};
  MeanColumn transfer{kMeanTransfer, {}, {}};
  for (const auto& column : columns) {
    all.tasks.push_back(column.task);
    if (column.evolved) evolved.tasks.push_back(column.task);
    if (column.transfer) transfer.tasks.push_back(column.task);
  }
  std::vector<MeanColumn> means;
  const auto add = [&](MeanColumn column) {
    const bool complete =
        std::ranges::all_of(column.tasks, [&](const auto& task) { return contains(tasks, task); });
    if (complete) {
      means.push_back(std::move(column));
    } else {
      left_out.push_back(column.name);
    }
  };
  for (const auto& [name, members] : layout.groups) add({name, members, {}});
  for (const auto& [name, parts] : layout.averages) add(mean_of_means(name, parts));
  // Where the memory was evolved on all tasks or on none, the parts would repeat the whole.
  if (!evolved.tasks.empty() && !transfer.tasks.empty()) {
    means.push_back(evolved);
    means.push_back(transfer);
  }
  if (all.tasks.size() > 1) means.push_back(all);
  return means;
}

/// Marks the columns where all memories among the rows were evolved on the same of them; else, and where it
/// is not known what one was evolved on, says it memory by memory.
void mark_transfer(const std::vector<RunResults>& runs, const std::vector<std::string>& rows, Table& table) {
  std::set<std::set<std::string>> evolved;
  bool known = true;
  for (const auto& run : runs) {
    for (const auto& stage : run.stages) {
      const bool shown =
          std::any_of(rows.begin(), rows.end(), [&](auto& row) { return stage.find(row) != nullptr; });
      if (!shown || stage.memory.empty()) continue;
      known = known && !stage.evolved_on.empty();
      std::set<std::string> of_columns;
      for (const auto& column : table.columns) {
        if (contains(stage.evolved_on, column.task)) of_columns.insert(column.task);
      }
      evolved.insert(std::move(of_columns));
      table.memories.push_back(format_text(
          "{}: {}: {}", run.name, stage.stage,
          stage.evolved_on.empty() ? "not known, its file does not say" : join(stage.evolved_on, ", ")));
    }
  }
  table.has_memory = !table.memories.empty();
  if (!known || evolved.size() != 1) return;
  table.memories.clear();
  for (auto& column : table.columns) {
    column.evolved = evolved.begin()->contains(column.task);
    column.transfer = !column.evolved;
  }
}

/// Scores and cache of a row over the tasks of a mean column; nothing where the row lacks one of them.
std::optional<TableMean> make_mean(const PolicyResult& policy, const MeanColumn& column) {
  std::vector<std::vector<double>> groups;
  TableMean mean;
  for (size_t i = 0; i < column.tasks.size(); ++i) {
    const TaskResult* task = policy.find(column.tasks[i]);
    if (task == nullptr || task->contexts.empty()) return std::nullopt;
    groups.push_back(scores_of(*task));
    const double weight =
        column.weights.empty() ? 1 / static_cast<double>(column.tasks.size()) : column.weights[i];
    mean.cache_fraction += weight * mean_over(*task, [](auto& c) { return c.cache_fraction(); });
  }
  mean.score = estimate_mean_of_groups(groups, column.weights);
  return mean;
}

/// Means of published scores, where all of a mean's tasks are among them.
std::map<std::string, double> published_means(const PublishedRow& row, const std::vector<MeanColumn>& means) {
  std::map<std::string, double> result;
  for (const auto& column : means) {
    double sum = 0;
    size_t found = 0;
    for (size_t i = 0; i < column.tasks.size(); ++i) {
      const auto score = row.scores.find(column.tasks[i]);
      if (score == row.scores.end()) break;
      sum += score->second *
             (column.weights.empty() ? 1 / static_cast<double>(column.tasks.size()) : column.weights[i]);
      ++found;
    }
    if (found == column.tasks.size()) result[column.name] = sum;
  }
  return result;
}

const PolicyResult* subject_of(const StageResult& stage, const TableLayout& layout) {
  if (!layout.subject.empty()) return stage.find(layout.subject);
  const PolicyResult* namm = stage.find("namm");
  return namm != nullptr ? namm : stage.find("namm-mix");
}

/// Whose cache size the other rows of a stage must match.
const PolicyResult* equal_to(const StageResult& stage, const TableLayout& layout) {
  const PolicyResult* subject = subject_of(stage, layout);
  if (subject != nullptr || !layout.subject.empty()) return subject;
  const auto budgeted = std::ranges::find_if(stage.policies, [&](const PolicyResult& policy) {
    return !stage.budget.empty() && policy.policy != layout.full;
  });
  return budgeted != stage.policies.end() ? &*budgeted : nullptr;
}

TableRow make_row(const Source& source, const std::vector<RunResults>& runs,
                  const std::vector<TableColumn>& columns, const std::vector<MeanColumn>& means,
                  const TableLayout& layout) {
  TableRow row;
  row.label = label_of(source, runs);
  row.policy = source.policy->policy;
  row.heads = source.policy->heads;
  const PolicyResult* measure = equal_to(*source.stage, layout);
  const PolicyResult* full = source.stage->find(layout.full);
  double ratios = 0;
  size_t ratio_count = 0;
  for (const auto& column : columns) {
    const TaskResult* task = source.policy->find(column.task);
    if (task == nullptr || task->contexts.empty()) continue;
    TableCell cell;
    cell.score = estimate_mean(scores_of(*task));
    cell.cache_fraction = mean_over(*task, [](auto& c) { return c.cache_fraction(); });
    cell.cache_tokens = mean_over(*task, [](auto& c) { return c.mean_cached_tokens(); });
    cell.cache_bytes = mean_over(*task, [](auto& c) { return static_cast<double>(c.cache_bytes); });
    cell.excess_tokens = mean_over(*task, [](auto& c) {
      return static_cast<double>(c.excess_tokens) / static_cast<double>(c.cached_tokens.size());
    });
    const TaskResult* other = measure != nullptr ? measure->find(column.task) : nullptr;
    if (other != nullptr && row.policy != layout.full) {
      const double bytes = mean_over(*other, [](auto& c) { return static_cast<double>(c.cache_bytes); });
      cell.cache_differs = std::abs(cell.cache_bytes - bytes) > kEqualCacheTolerance * bytes;
    }
    row.cells[column.task] = cell;
    const TaskResult* reference = full != nullptr ? full->find(column.task) : nullptr;
    if (reference != nullptr) {
      const double base = estimate_mean(scores_of(*reference)).mean;
      if (base > 0) {
        ratios += cell.score.mean / base;
        ++ratio_count;
      }
    }
  }
  if (ratio_count == columns.size()) row.normalized_average = ratios / static_cast<double>(ratio_count);
  for (const auto& column : means) {
    if (const auto mean = make_mean(*source.policy, column)) row.means[column.name] = *mean;
  }
  return row;
}

std::optional<TableDifference> make_difference(const Source& subject, const PolicyResult& against,
                                               const std::string& against_label,
                                               const std::vector<RunResults>& runs,
                                               const std::vector<TableColumn>& columns,
                                               const std::vector<MeanColumn>& means) {
  TableDifference difference{label_of(subject, runs), against_label, {}, {}};
  std::map<std::string, std::vector<double>> gains;
  for (const auto& task : subject.policy->tasks) {
    const TaskResult* other = against.find(task.task);
    if (other == nullptr) continue;
    const auto [first, second] = paired_scores(task, *other);
    for (size_t i = 0; i < first.size(); ++i) gains[task.task].push_back(first[i] - second[i]);
  }
  for (const auto& column : columns) {
    if (const auto found = gains.find(column.task); found != gains.end())
      difference.cells[column.task] = estimate_mean(found->second);
  }
  for (const auto& column : means) {
    std::vector<std::vector<double>> groups;
    for (const auto& name : column.tasks) {
      if (const auto found = gains.find(name); found != gains.end()) groups.push_back(found->second);
    }
    if (groups.size() == column.tasks.size())
      difference.means[column.name] = estimate_mean_of_groups(groups, column.weights);
  }
  if (difference.cells.empty()) return std::nullopt;
  return difference;
}

std::string number(double value, int64_t decimals) {
  if (!std::isfinite(value)) return "?";
  std::ostringstream out;
  out.setf(std::ios::fixed);
  out.precision(static_cast<int>(decimals));
  out << (value == 0 ? 0.0 : value);
  return out.str();
}

std::string score_text(const Estimate& estimate, int64_t decimals, bool sign = false) {
  std::string text = sign && estimate.mean > 0 ? "+" : "";
  text += number(estimate.mean, decimals);
  return estimate.has_interval() ? text + " ± " + number(estimate.half_width(), decimals) : text;
}

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

std::string ratio_text(const std::optional<double>& ratio) {
  return ratio ? number(*ratio, 3) : "-";
}

std::string entry_text(const std::map<std::string, double>& entries, const std::string& key,
                       int64_t decimals) {
  const auto found = entries.find(key);
  return found == entries.end() ? "-" : number(found->second, decimals);
}

std::string row_name(const TableRow& row) {
  return row.heads.empty() ? row.label : row.label + " (" + row.heads + ")";
}

/// Columns of text padded to one width; the width counts code points.
class Grid {
 public:
  void add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }

  std::string markdown() const {
    std::vector<size_t> widths;
    for (const auto& line : lines_) {
      widths.resize(std::max(widths.size(), line.size()), 3);
      for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
    }
    std::string text;
    for (size_t row = 0; row < lines_.size(); ++row) {
      for (size_t i = 0; i < widths.size(); ++i) {
        const std::string cell = i < lines_[row].size() ? lines_[row][i] : "";
        text += "| " + cell + std::string(widths[i] - width(cell) + 1, ' ');
      }
      text += "|\n";
      if (row == 0) {
        for (const size_t w : widths) text += "|" + std::string(w + 2, '-');
        text += "|\n";
      }
    }
    return text;
  }

 private:
  static size_t width(const std::string& cell) {
    return static_cast<size_t>(std::count_if(
        cell.begin(), cell.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  }

  std::vector<std::vector<std::string>> lines_;
};

nlohmann::ordered_json estimate_json(const Estimate& estimate) {
  return {{"score", estimate.mean}, {"low", estimate.low}, {"high", estimate.high}, {"n", estimate.n}};
}

nlohmann::ordered_json difference_json(const Estimate& estimate) {
  return {{"difference", estimate.mean}, {"low", estimate.low}, {"high", estimate.high}, {"n", estimate.n}};
}

std::string latex_escape(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("&%$#_{}").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

Table make_table(const std::vector<RunResults>& runs, const TableLayout& layout) {
  const auto sources = sources_of(runs);
  std::vector<std::string> tasks;
  std::vector<std::string> policies;
  Table table;
  table.decimals = layout.decimals;
  for (const auto& source : sources) {
    if (!contains(policies, source.policy->policy)) policies.push_back(source.policy->policy);
    for (const auto& task : source.policy->tasks) {
      if (!contains(tasks, task.task)) tasks.push_back(task.task);
    }
  }
  if (sources.empty() || tasks.empty()) {
    throw ConfigError("there are no results to show: no evaluate stage of this run is complete");
  }
  check_names(layout.rows, policies, "rows");
  table.normalized = layout.normalized;
  for (const auto& run : runs) {
    for (const auto& stage : run.stages) {
      table.skipped_records += stage.skipped_records;
      table.has_validation = table.has_validation || stage.split == "validation";
      for (const auto& note : stage.notes) {
        if (!contains(table.notes, note)) table.notes.push_back(note);
      }
      if (!contains(table.budgets, stage.budget)) table.budgets.push_back(stage.budget);
      if (!stage.policies.empty()) {
        for (const auto& task : stage.policies.front().tasks) {
          for (const auto& context : task.contexts) table.truncated_prompts += context.truncated ? 1 : 0;
        }
      }
      for (const auto& policy : stage.policies) {
        for (const auto& task : policy.tasks) {
          for (const auto& context : task.contexts) table.unscored += context.unscored;
        }
      }
    }
  }
  for (const auto& task : layout.columns.empty() ? tasks : layout.columns) {
    if (contains(tasks, task)) {
      table.columns.push_back({task});
    } else {
      table.left_out.push_back(task);
    }
  }
  if (table.columns.empty()) {
    throw ConfigError(
        format_text("layout: columns: none of them has a result; there are: {}", join(tasks, ", ")));
  }
  const auto& order = layout.rows.empty() ? policies : layout.rows;
  mark_transfer(runs, order, table);
  const auto means = mean_columns_of(table.columns, layout, tasks, table.left_out);
  for (const auto& mean : means) {
    table.mean_columns.push_back(mean.name);
    if (!mean.weights.empty()) table.averages.push_back(mean.name);
  }

  for (const auto& run : runs) {
    for (const auto& stage : run.stages) {
      for (const auto& name : order) {
        const PolicyResult* policy = stage.find(name);
        if (policy != nullptr)
          table.rows.push_back(make_row({&run, &stage, policy}, runs, table.columns, means, layout));
      }
      const PolicyResult* subject = subject_of(stage, layout);
      if (subject == nullptr) continue;
      const Source source{&run, &stage, subject};
      for (const auto& name : layout.differences) {
        const PolicyResult* against = stage.find(name);
        if (against == nullptr || against == subject) continue;
        auto difference = make_difference(source, *against, label_of({&run, &stage, against}, runs), runs,
                                          table.columns, means);
        if (difference) table.differences.push_back(std::move(*difference));
      }
    }
  }
  for (const auto& row : layout.published) {
    const auto shown = [&](const TableColumn& column) { return row.scores.contains(column.task); };
    if (std::ranges::none_of(table.columns, shown)) continue;
    table.published.push_back(row);
    table.published_means.push_back(published_means(row, means));
  }
  return table;
}

void TableLayout::check(const ConfigNode& node) const {
  const std::vector<std::string> known = tasks::task_names();
  const auto check_task = [&](const ConfigNode& place, const std::string& key, const std::string& task) {
    if (contains(known, task)) return;
    const auto near = nearest(task, known);
    place.fail_entry(key, task,
                     "the name of a task" + (near ? format_text(" (did you mean {}?)", *near) : ""));
  };
  for (const auto& task : columns) check_task(node, "columns", task);
  for (const auto& [name, members] : groups) {
    for (const auto& task : members) check_task(node.at("groups"), name, task);
  }
  for (const auto& [name, parts] : averages) {
    const ConfigNode place = node.at("averages");
    if (parts.empty()) place.fail_entry(name, "[]", "one list of tasks at least");
    for (const auto& part : parts) {
      if (part.empty()) place.fail_entry(name, "[]", "one task at least in each list");
      for (const auto& task : part) check_task(place, name, task);
    }
  }
  for (size_t i = 0; i < published.size(); ++i) {
    const ConfigNode place = node.at("published").item(i);
    if (published[i].method.empty()) place.fail_entry("method", "", "what was measured");
    if (published[i].source.empty()) place.fail_entry("source", "", "where the numbers stand");
    for (const auto& [task, score] : published[i].scores) {
      check_task(place, "scores", task);
    }
  }
  const auto check_name = [&](const char* key, const std::string& name, bool taken) {
    if (taken || name == kMean || name == kMeanEvolved || name == kMeanTransfer || contains(known, name)) {
      node.at(key).fail_entry(name, "[...]", "another name: the table has a column of this one");
    }
  };
  for (const auto& [name, tasks] : groups) {
    check_name("groups", name, false);
    if (tasks.empty()) node.at("groups").fail_entry(name, "[]", "one task at least");
  }
  for (const auto& [name, parts] : averages) check_name("averages", name, groups.contains(name));
}

std::string to_markdown(const Table& table) {
  const int64_t decimals = table.decimals;
  Grid scores;
  std::vector<std::string> header{"method", ""};
  for (const auto& column : table.columns) {
    header.push_back(column.task + (column.transfer ? " (transfer)" : ""));
  }
  header.insert(header.end(), table.mean_columns.begin(), table.mean_columns.end());
  if (table.normalized) header.emplace_back(kNormalized);
  scores.add(header);
  bool any_mark = false;
  double most_excess = 0;
  for (const auto& row : table.rows) {
    std::vector<std::string> first{row_name(row), "score"};
    std::vector<std::string> second{"", "cache"};
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      if (found == row.cells.end()) {
        first.emplace_back("-");
        second.emplace_back("-");
        continue;
      }
      const TableCell& cell = found->second;
      any_mark = any_mark || cell.cache_differs;
      first.push_back(score_text(cell.score, decimals) + " (n " + std::to_string(cell.score.n) + ")");
      second.push_back(number(kPercent * cell.cache_fraction, 1) + " %, " + number(cell.cache_tokens, 0) +
                       " tok, " + format_bytes(static_cast<uint64_t>(std::llround(cell.cache_bytes))) +
                       (cell.cache_differs ? " †" : "") + (cell.excess_tokens > 0 ? " ‡" : ""));
      most_excess = std::max(most_excess, cell.excess_tokens);
    }
    for (const auto& name : table.mean_columns) {
      const auto found = row.means.find(name);
      first.push_back(found == row.means.end() ? "-" : score_text(found->second.score, decimals));
      second.push_back(found == row.means.end() ? "-"
                                                : number(kPercent * found->second.cache_fraction, 1) + " %");
    }
    if (table.normalized) first.push_back(ratio_text(row.normalized_average));
    scores.add(std::move(first));
    scores.add(std::move(second));
  }
  for (size_t i = 0; i < table.published.size(); ++i) {
    std::vector<std::string> line{format_text("{} [{}]", table.published[i].method, i + 1), "published"};
    for (const auto& column : table.columns) {
      line.push_back(entry_text(table.published[i].scores, column.task, decimals));
    }
    for (const auto& name : table.mean_columns) {
      line.push_back(entry_text(table.published_means[i], name, decimals));
    }
    scores.add(std::move(line));
  }
  std::string text = scores.markdown();
  text +=
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
  if (any_mark)
    text +=
        "† cache size differs by more than 2 % from the memory's, or without one from the first row's with a "
        "budget: not an equal-cache comparison.\n";
  if (most_excess > 0) {
    text += format_text(
        "‡ protected tokens (memory.protect) alone are more than the budget: up to {} tokens a head beyond "
        "it.\n",
        number(most_excess, 1));
  }
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

  if (!table.differences.empty()) {
    Grid grid;
    std::vector<std::string> columns{"difference, paired over contexts"};
    columns.insert(columns.end(), header.begin() + 2, header.end() - (table.normalized ? 1 : 0));
    grid.add(columns);
    for (const auto& difference : table.differences) {
      std::vector<std::string> line{difference.subject + " − " + difference.against};
      for (const auto& column : table.columns) {
        const auto found = difference.cells.find(column.task);
        line.push_back(found == difference.cells.end() ? "-" : score_text(found->second, decimals, true));
      }
      for (const auto& name : table.mean_columns) {
        const auto found = difference.means.find(name);
        line.push_back(found == difference.means.end() ? "-" : score_text(found->second, decimals, true));
      }
      grid.add(std::move(line));
    }
    text += "\n" + grid.markdown();
  }

  std::vector<std::string> evolved;
  std::vector<std::string> transfer;
  for (const auto& column : table.columns) (column.evolved ? evolved : transfer).push_back(column.task);
  if (!table.memories.empty()) {
    text += "\nThe memories were evolved on:\n";
    for (const auto& memory : table.memories) text += "- " + memory + "\n";
  } else if (table.has_memory) {
    text +=
        "\nThe memory was evolved on: " + (evolved.empty() ? "none of these tasks" : join(evolved, ", ")) +
        ". Transfer (never seen in evolution): " + (transfer.empty() ? "none" : join(transfer, ", ")) + ".\n";
  }
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

std::string to_csv(const Table& table) {
  std::string text =
      "method,policy,heads,task,score,low,high,n,cache_fraction,cache_tokens,cache_bytes,excess_tokens,equal_"
      "cache\n";
  const auto precise = [](double value) { return std::isfinite(value) ? number(value, 6) : std::string(); };
  for (const auto& row : table.rows) {
    const std::string start = csv_field(row.label) + "," + csv_field(row.policy) + "," + row.heads + ",";
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      if (found == row.cells.end()) continue;
      const TableCell& cell = found->second;
      text += start + csv_field(column.task) + "," + precise(cell.score.mean) + "," +
              precise(cell.score.low) + "," + precise(cell.score.high) + "," + std::to_string(cell.score.n) +
              "," + precise(cell.cache_fraction) + "," + precise(cell.cache_tokens) + "," +
              precise(cell.cache_bytes) + "," + precise(cell.excess_tokens) + "," +
              (cell.cache_differs ? "false" : "true") + "\n";
    }
    for (const auto& name : table.mean_columns) {
      const auto found = row.means.find(name);
      if (found == row.means.end()) continue;
      const TableMean& mean = found->second;
      text += start + csv_field(name) + "," + precise(mean.score.mean) + "," + precise(mean.score.low) + "," +
              precise(mean.score.high) + "," + std::to_string(mean.score.n) + "," +
              precise(mean.cache_fraction) + ",,,,\n";
    }
  }
  for (const auto& row : table.published) {
    const std::string start = csv_field(row.method) + ",published,,";
    for (const auto& column : table.columns) {
      if (const auto found = row.scores.find(column.task); found != row.scores.end())
        text += start + csv_field(column.task) + "," + precise(found->second) + ",,,,,,,,\n";
    }
  }
  return text;
}

std::string to_latex(const Table& table) {
  const auto cell_text = [&](const Estimate& estimate) {
    std::string text = "$" + number(estimate.mean, table.decimals);
    if (estimate.has_interval()) text += " \\pm " + number(estimate.half_width(), table.decimals);
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
  if (table.normalized) text += std::string(" & ") + kNormalized;
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
      sizes += "\\footnotesize " + number(kPercent * found->second.cache_fraction, 1) + "\\,\\%, " +
               number(found->second.cache_tokens, 0) + " tokens, " +
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
      sizes += "\\footnotesize " + number(kPercent * found->second.cache_fraction, 1) + "\\,\\%";
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

nlohmann::ordered_json to_json(const Table& table) {
  nlohmann::ordered_json document;
  document["columns"] = nlohmann::ordered_json::array();
  document["evolved_on"] = nlohmann::ordered_json::array();
  for (const auto& column : table.columns) {
    document["columns"].push_back(column.task);
    if (column.evolved) document["evolved_on"].push_back(column.task);
  }
  document["rows"] = nlohmann::ordered_json::array();
  for (const auto& row : table.rows) {
    nlohmann::ordered_json entry{{"method", row.label}, {"policy", row.policy}};
    entry["heads"] = row.heads.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(row.heads);
    entry["cells"] = nlohmann::ordered_json::object();
    for (const auto& column : table.columns) {
      const auto found = row.cells.find(column.task);
      if (found == row.cells.end()) continue;
      auto cell = estimate_json(found->second.score);
      cell["cache_fraction"] = found->second.cache_fraction;
      cell["cache_tokens"] = found->second.cache_tokens;
      cell["cache_bytes"] = found->second.cache_bytes;
      cell["excess_tokens"] = found->second.excess_tokens;
      cell["equal_cache"] = !found->second.cache_differs;
      entry["cells"][column.task] = cell;
    }
    entry["means"] = nlohmann::ordered_json::object();
    for (const auto& [name, mean] : row.means) {
      entry["means"][name] = estimate_json(mean.score);
      entry["means"][name]["cache_fraction"] = mean.cache_fraction;
    }
    // With a single task its own score is the average.
    double sum = 0;
    for (const auto& [task, cell] : row.cells) sum += cell.score.mean;
    entry["average"] = row.cells.size() == table.columns.size()
                           ? nlohmann::ordered_json(sum / static_cast<double>(row.cells.size()))
                           : nlohmann::ordered_json();
    entry["normalized_average"] =
        row.normalized_average ? nlohmann::ordered_json(*row.normalized_average) : nlohmann::ordered_json();
    document["rows"].push_back(entry);
  }
  document["differences"] = nlohmann::ordered_json::array();
  for (const auto& difference : table.differences) {
    nlohmann::ordered_json entry{{"method", difference.subject}, {"against", difference.against}};
    entry["cells"] = nlohmann::ordered_json::object();
    for (const auto& [task, estimate] : difference.cells) entry["cells"][task] = difference_json(estimate);
    entry["means"] = nlohmann::ordered_json::object();
    for (const auto& [name, estimate] : difference.means) entry["means"][name] = difference_json(estimate);
    document["differences"].push_back(entry);
  }
  document["budgets"] = table.budgets;
  document["truncated_prompts"] = table.truncated_prompts;
  document["skipped_records"] = table.skipped_records;
  document["unscored"] = table.unscored;
  document["left_out"] = table.left_out;
  document["published"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < table.published.size(); ++i) {
    document["published"].push_back({{"method", table.published[i].method},
                                     {"source", table.published[i].source},
                                     {"scores", table.published[i].scores},
                                     {"means", table.published_means[i]}});
  }
  document["memories"] = table.memories;
  document["held_out"] = !table.has_validation;
  document["notes"] = table.notes;
  return document;
}

std::string explain_cell(const std::vector<RunResults>& runs, const std::string& cell) {
  const size_t colon = cell.find(':');
  if (colon == std::string::npos) {
    throw ConfigError("--explain " + cell + ": a cell is named POLICY:TASK, for example namm:needle/hop");
  }
  const std::string policy_name = cell.substr(0, colon);
  const std::string task_name = cell.substr(colon + 1);
  std::string text;
  std::vector<std::string> known;
  for (const auto& source : sources_of(runs)) {
    for (const auto& task : source.policy->tasks) {
      if (const std::string name = source.policy->policy + ":" + task.task; !contains(known, name))
        known.push_back(name);
    }
    if (source.policy->policy != policy_name) continue;
    const TaskResult* task = source.policy->find(task_name);
    if (task == nullptr) continue;
    const Estimate estimate = estimate_mean(scores_of(*task));
    text += format_text("{}, {}, {}: {} over {} contexts\n", source.run->name, source.stage->stage, cell,
                        score_text(estimate, 2), estimate.n);
    Grid grid;
    grid.add({"sample", "score", "questions", "prompt tokens", "cached tokens", "cache bytes", "prefill s",
              "decode s"});
    for (const auto& context : task->contexts) {
      std::string questions;
      for (const double score : context.scores)
        questions += (questions.empty() ? "" : " ") + number(score, 2);
      grid.add({std::to_string(context.sample), number(kPercent * context.score(), 1), questions,
                std::to_string(context.prompt_tokens) + (context.truncated ? " (cut)" : ""),
                number(context.mean_cached_tokens(), 1), std::to_string(context.cache_bytes),
                number(context.prefill_seconds, 2), number(context.decode_seconds, 2)});
    }
    text += grid.markdown();
    text += format_text("Predictions: predictions/{}/{}/\n", source.stage->stage, policy_name);
  }
  if (text.empty()) {
    throw ConfigError(format_text("--explain {}: no such cell; there are: {}", cell, join(known, ", ")));
  }
  return text;
}

}  // namespace namm::experiments
