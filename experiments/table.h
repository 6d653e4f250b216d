#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/config.h"
#include "experiments/results.h"
#include "experiments/statistics.h"

namespace namm::experiments {

/// Scores that somebody published, as a row beside ours.
struct PublishedRow {
  std::string method;
  std::string source;                    ///< paper, table, repository, date
  std::map<std::string, double> scores;  ///< by task, 0 to 100

  bool operator==(const PublishedRow&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("method", self.method, non_empty(), "what was measured: method and model");
    visit("source", self.source, non_empty(), "where the numbers stand");
    visit("scores", self.scores, non_empty(), "task and score, 0 to 100");
  }
};

/// `configs/table/*.yaml`: what of the results is shown, in which order. Empty lists mean everything, as
/// evaluated.
struct TableLayout {
  std::vector<std::string> columns;                        ///< tasks
  std::vector<std::string> rows;                           ///< policies
  std::map<std::string, std::vector<std::string>> groups;  ///< further mean columns: name -> tasks
  /// Further columns with the mean of several means (LongBench's official average over its categories):
  /// name -> lists of tasks.
  std::map<std::string, std::vector<std::vector<std::string>>> averages;
  bool normalized = false;              ///< a column with the mean over tasks of score / full cache's score
  std::vector<PublishedRow> published;  ///< rows below ours
  std::vector<std::string> differences = {"full", "namm-counts-random"};
  std::string subject;        ///< row that the differences and equal cache sizes refer to; none: namm, and
                              ///< where that is not there namm-mix
  std::string full = "full";  ///< row that normalised averages divide by
  int64_t decimals = 1;

  bool operator==(const TableLayout&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor& visit) {
    visit("columns", self.columns, "tasks in this order; empty: all");
    visit("rows", self.rows, "policies in this order; empty: all");
    visit("groups", self.groups, non_empty(), "further mean columns: name and its tasks");
    visit("averages", self.averages,
          "further columns with a mean of means: name and lists of tasks (LongBench's average of its "
          "categories)");
    visit("normalized", self.normalized,
          "also the mean over tasks of a row's score divided by the full cache's (1: as good)");
    visit("published", self.published, "rows of published scores: method, source, scores");
    visit("differences", self.differences,
          "policies that the subject is compared with, paired over contexts");
    visit("subject", self.subject,
          "policy whose differences are shown and whose cache size the others must match; none: namm, else "
          "namm-mix");
    visit("full", self.full, "policy that normalised averages divide by");
    visit("decimals", self.decimals, between(0, 6), "digits after the point of scores");
  }
  void check(const ConfigNode& node) const;
};

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

/// With differences, notes and what the marks mean below.
std::string to_markdown(const Table& table);
std::string to_csv(const Table& table);
std::string to_latex(const Table& table);
/// The document of design 4, with "differences", "means" and "notes" beside it.
nlohmann::ordered_json to_json(const Table& table);

/// The samples behind one number: `cell` is "POLICY:TASK". Throws ConfigError with the list of what there is.
std::string explain_cell(const std::vector<RunResults>& runs, const std::string& cell);

}  // namespace namm::experiments
