#include "experiments/table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "core/errors.h"
#include "core/text.h"

namespace namm::experiments {

namespace {

constexpr double kEqualCacheTolerance = 0.02;

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

}  // namespace namm::experiments
