#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "experiments/results.h"
#include "experiments/statistics.h"
#include "experiments/table_layout.h"

namespace namm::experiments {

/// Tables show scores and shares, which results hold as fractions, of a hundred.
inline constexpr double kPercent = 100;

/// One number of the table. Scores 0 to 100, fractions 0 to 1, tokens a head, bytes of keys and values.
struct TableCell {
  Estimate score;
  double cache_fraction = 0;
  double cache_tokens = 0;
  double cache_bytes = 0;
  double excess_tokens = 0;    ///< of `cache_tokens`, kept beyond the budget because they are protected
  bool cache_differs = false;  ///< bytes differ by more than 2 % from the subject's, or where the stage has
                               ///< no subject from those of its first policy with a budget
};

/// Mean over several tasks of a row, every task with the same weight.
struct TableMean {
  Estimate score;
  double cache_fraction = 0;
};

struct TableRow {
  std::string label;  ///< policy, with run and stage before it where several are shown
  std::string policy;
  std::string heads;
  std::map<std::string, TableCell> cells;    ///< by task
  std::map<std::string, TableMean> means;    ///< by mean column, only where the row has all its tasks
  std::optional<double> normalized_average;  ///< mean over tasks of score / full cache's score
};

/// Subject minus another row over the contexts that both saw.
struct TableDifference {
  std::string subject;  ///< labels of rows
  std::string against;
  std::map<std::string, Estimate> cells;
  std::map<std::string, Estimate> means;
};

struct TableColumn {
  std::string task;
  bool evolved = false;   ///< all memories shown were evolved on it
  bool transfer = false;  ///< none of them was
};

struct Table {
  std::vector<TableColumn> columns;
  std::vector<std::string>
      mean_columns;  ///< "mean of evolved", "mean of transfer", "mean"; groups of the layout
  std::vector<TableRow> rows;
  std::vector<TableDifference> differences;
  std::vector<PublishedRow> published;                         ///< with columns of the table only
  std::vector<std::map<std::string, double>> published_means;  ///< of each, by mean column
  std::vector<std::string> averages;  ///< those of mean_columns that are means of means
  bool normalized = false;
  std::vector<std::string> budgets;  ///< how cache sizes were set, one line a stage
  std::vector<std::string> notes;
  int64_t truncated_prompts = 0;
  int64_t skipped_records = 0;
  int64_t unscored = 0;               ///< answers on which the official function fails
  std::vector<std::string> left_out;  ///< columns of the layout that no result has
  /// What each memory shown was evolved on, one line a stage; empty where the columns' marks say it.
  std::vector<std::string> memories;
  bool has_memory = false;      ///< a memory is among the rows
  bool has_validation = false;  ///< a stage was evaluated on validation samples
  int64_t decimals = 1;
};

/// Results of one run; `name` tells runs apart where several are shown.
struct RunResults {
  std::string name;
  std::vector<StageResult> stages;
};

/// A column or mean of the layout whose tasks no result has is left out and named in the table. Throws
/// ConfigError when the layout names a policy that no result has, or nothing is left to show.
Table make_table(const std::vector<RunResults>& runs, const TableLayout& layout = {});

}  // namespace namm::experiments
