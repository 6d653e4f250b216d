#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config.h"

namespace namm::experiments {

/// Names of the mean columns that every table may have.
inline const std::string kMean = "mean";
inline const std::string kMeanEvolved = "mean of evolved";
inline const std::string kMeanTransfer = "mean of transfer";

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

}  // namespace namm::experiments
