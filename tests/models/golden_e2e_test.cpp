#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "core/hdf5.h"
#include "memory/policies/full.h"
#include "memory/policies/namm.h"
#include "memory/selection.h"
#include "memory/session.h"
#include "models/archive.h"
#include "models/generator.h"
#include "tests/support/compare_tensors.h"
#include "tests/support/golden_files.h"
#include "tests/support/golden_tensors.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tolerances.h"

namespace namm::models {
namespace {

using memory::FeatureStatistics;
using memory::KeepDecision;
using memory::LayerView;
using memory::NammConfig;
using memory::NammPolicy;
using memory::RowId;
using memory::Session;
using memory::SessionOptions;
using memory::UpdateView;
using namm::testing::Comparison;
using namm::testing::floats;
using namm::testing::integers;
namespace limit = tolerances::end_to_end;

std::string numbered(const std::string& name, int64_t index) {
  return name + std::to_string(index);
}

std::string update_group(const std::string& name, int64_t update) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "/updates/%02d", static_cast<int>(update));
  return name + text.data();
}

struct Case {
  std::string name;
  std::vector<int64_t> prompt;
  int64_t generated = 0;
};

// A recording, and the archive that the real exporter made from its weights.
struct Recording {
  explicit Recording(const std::filesystem::path& path)
      : file(Hdf5File::open_foreign(path)), archive_path(directory / "model.pt") {
    config.heads = "parity";
    config.period_tokens = file.read_attribute<int64_t>("/", "period");
    chunk_tokens = file.read_attribute<int64_t>("/", "chunk");
    theta = namm::testing::recorded_theta(file);
    statistics = namm::testing::recorded_statistics(file);
    for (int64_t i = 0; file.exists(numbered("case", i)); ++i) {
      const std::string name = numbered("case", i);
      cases.push_back({name, file.read<int64_t>(name + "/input_ids").values,
                       file.read_attribute<int64_t>(name, "generated")});
    }
    const std::string command =
        "cd '" NAMM_SOURCE_DIR "' && PYTHONPATH=. .venv/bin/python tests/models/golden_model.py '" +
        std::filesystem::absolute(path).string() + "' '" + archive_path.string() + "'";
    exported = std::system(command.c_str()) == 0;
    if (exported) archive = Archive::load(archive_path);
  }

  testing::TemporaryDirectory directory;
  Hdf5File file;
  std::filesystem::path archive_path;
  NammConfig config;
  int64_t chunk_tokens = 0;
  at::Tensor theta;
  FeatureStatistics statistics;
  std::vector<Case> cases;
  bool exported = false;
  std::shared_ptr<const Archive> archive;

  Session session(std::shared_ptr<const memory::EvictionPolicy> policy, memory::Backend backend) const {
    SessionOptions options;
    options.backend = backend;
    options.shape = archive->contract().shape;
    options.policy = std::move(policy);
    return Session(options);
  }
};

// Running statistics of the full cache, update by update, layer by layer.
void check_calibration(const Recording& recording, memory::Backend backend, Comparison& compared) {
  SessionOptions options;
  options.backend = backend;
  options.shape = recording.archive->contract().shape;
  options.policy = std::make_shared<memory::FullPolicy>();
  options.extra_needs.spectrogram = recording.config.spectrogram;
  options.extra_period_tokens = recording.config.period_tokens;
  Session session(options);
  FeatureStatistics statistics;
  std::vector<double> means, variances, counts;
  session.set_observer([&](const UpdateView& view) {
    for (const LayerView& layer : view.layers) {
      statistics.accumulate(layer.ema);
      const std::vector<double> variance = statistics.variance();
      means.insert(means.end(), statistics.mean.begin(), statistics.mean.end());
      variances.insert(variances.end(), variance.begin(), variance.end());
      counts.push_back(static_cast<double>(statistics.count));
    }
  });
  const std::vector<RowId> rows = {session.add_row()};
  const std::vector<std::vector<int64_t>> ids = {
      recording.file.read<int64_t>("calibration/input_ids").values};
  Generator(recording.archive, session, {recording.chunk_tokens}).prefill(rows, ids);

  const auto check = [&](const std::vector<double>& ours, const std::string& name) {
    const at::Tensor theirs = floats(recording.file, "calibration/" + name).to(at::kDouble);
    ASSERT_EQ(static_cast<int64_t>(ours.size()), theirs.numel()) << name;
    const at::Tensor ratio = at::tensor(ours, at::kDouble).view(theirs.sizes()) / theirs;
    compared.absolute(ratio, at::ones_like(ratio), limit::statistics,
                      "calibration " + name + ", ours / theirs");
  };
  check(means, "running_mean");
  check(variances, "running_var");
  check(counts, "running_count");
}

// Compares one update of one layer of one row with what was recorded.
void check_update(const Recording& recording, const NammPolicy& policy, const UpdateView& view,
                  const KeepDecision& decision, const LayerView& layer, const at::Tensor& scores,
                  const at::Tensor& above, std::size_t row, const Case& of, Comparison& compared) {
  const Hdf5File& file = recording.file;
  const auto heads = view.shape.kv_heads;
  const std::string group = update_group(of.name, view.rows[row].update) + numbered("/layer", layer.layer);
  const auto first_segment = static_cast<int64_t>(row) * heads;
  const int64_t begin = layer.offsets[static_cast<std::size_t>(first_segment)];
  const int64_t end = layer.offsets[static_cast<std::size_t>(first_segment + heads)];
  ASSERT_EQ(view.rows[row].tokens_processed,
            file.read_attribute<int64_t>(update_group(of.name, view.rows[row].update), "tokens_processed"));
  const auto mine = [&](const at::Tensor& packed) {
    return packed.slice(0, begin, end).unflatten(0, {heads, -1});
  };

  const at::Tensor expected = floats(file, group + "/scores");
  const at::Tensor ours = mine(scores);
  compared.near(ours, expected, limit::scores, true, group + " scores");
  const at::Tensor near_zero = expected.abs() < limit::score_near_zero;
  compared.absolute(ours.masked_select(near_zero), expected.masked_select(near_zero), limit::scores_near_zero,
                    group + " scores near zero");

  // A score within rounding of zero may fall on the other side; K would then show whether it mattered.
  const at::Tensor open = (expected.abs() < limit::scores_near_zero).sum(1);
  const at::Tensor difference = (above[static_cast<int64_t>(row)] - integers(file, group + "/above")).abs();
  compared.values += heads;
  EXPECT_TRUE((difference <= open).all().item<bool>()) << group << " above";

  const int64_t k = file.read_attribute<int64_t>(group, "K");
  compared.equal(decision.lengths[static_cast<int64_t>(row)], at::full({heads}, k, at::kInt),
                 group + " kept lengths");
  const at::Tensor kept = mine(decision.keep).nonzero().select(1, 1).view({heads, -1});
  compared.equal(kept, integers(file, group + "/kept"), group + " kept");
  compared.equal(mine(layer.positions).gather(1, kept), integers(file, group + "/kept_positions"),
                 group + " kept positions");
  if (file.exists(group + "/ema")) {
    compared.absolute(mine(layer.ema), floats(file, group + "/ema"), limit::ema, group + " moving average");
    compared.absolute(mine(policy.features(view, layer)), floats(file, group + "/features"), limit::features,
                      group + " features");
  }
}

struct Run {
  std::vector<std::vector<int64_t>> ids;
  std::vector<at::Tensor> logits;  // [G, vocabulary] of each row
  std::vector<RowId> rows;
};

Run generate(const Recording& recording, Session& session, const std::vector<Case>& cases,
             int64_t chunk_tokens) {
  Run run;
  std::vector<std::vector<int64_t>> prompts;
  std::vector<int64_t> limits;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    run.rows.push_back(session.add_row(0, static_cast<int64_t>(i)));
    prompts.push_back(cases[i].prompt);
    limits.push_back(cases[i].generated);
  }
  std::vector<std::vector<at::Tensor>> logits(cases.size());
  Generator generator(recording.archive, session, {chunk_tokens});
  const at::Tensor first = generator.prefill(run.rows, prompts);
  run.ids =
      generator.greedy(run.rows, first, limits, {}, [&](std::size_t row, int64_t, const at::Tensor& scores) {
        logits[row].push_back(scores);
        return true;
      });
  for (const auto& row : logits) run.logits.push_back(at::stack(row));
  return run;
}

void check_output(const Recording& recording, const Run& run, std::size_t row, const std::string& group,
                  Comparison& compared) {
  compared.equal(at::tensor(run.ids[row], at::kLong), integers(recording.file, group + "/generated_ids"),
                 group + " generated ids");
  compared.absolute(run.logits[row], floats(recording.file, group + "/logits"), limit::logits,
                    group + " logits");
}

// Every number of `cases`, read and continued together as rows of one session.
void check_cases(const Recording& recording, const std::vector<Case>& cases, int64_t chunk_tokens,
                 memory::Backend backend, Comparison& compared) {
  const auto policy = std::make_shared<NammPolicy>(recording.config, recording.theta, recording.statistics);
  Session session = recording.session(policy, backend);
  session.set_decision_observer([&](const UpdateView& view, const std::vector<KeepDecision>& decisions) {
    for (std::size_t l = 0; l < view.layers.size(); ++l) {
      const LayerView& layer = view.layers[l];
      const at::Tensor scores = policy->scores(view, layer);
      const at::Tensor above = memory::count_above(scores, layer.offsets, view.shape.kv_heads);
      for (std::size_t r = 0; r < view.rows.size(); ++r) {
        check_update(recording, *policy, view, decisions[l], layer, scores, above, r,
                     cases[static_cast<std::size_t>(view.rows[r].tag)], compared);
      }
    }
  });
  const Run run = generate(recording, session, cases, chunk_tokens);
  Session full_session = recording.session(std::make_shared<memory::FullPolicy>(), backend);
  const Run full = generate(recording, full_session, cases, chunk_tokens);

  const memory::TransformerShape& shape = session.options().shape;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string& name = cases[i].name;
    check_output(recording, run, i, name, compared);
    check_output(recording, full, i, name + "/full_cache", compared);

    std::vector<int64_t> lengths;
    for (const auto& update : session.kept_history(run.rows[i])) {
      for (int64_t l = 0; l < shape.layers; ++l)
        lengths.push_back(update[static_cast<std::size_t>(l * shape.kv_heads)]);
    }
    compared.equal(at::tensor(lengths, at::kLong).view({-1, shape.layers}),
                   integers(recording.file, name + "/cache_length"), name + " cache lengths");
    if (!recording.file.exists(name + "/cache_end")) continue;
    for (int64_t l = 0; l < shape.layers; ++l) {
      std::vector<at::Tensor> keys, values;
      for (int64_t h = 0; h < shape.kv_heads; ++h) {
        const Session::Segment segment = session.segment(run.rows[i], l, h);
        keys.push_back(segment.keys);
        values.push_back(segment.values);
      }
      const std::string group = name + "/cache_end";
      compared.absolute(at::stack(keys), floats(recording.file, numbered(group + "/keys", l)),
                        limit::keys_values, numbered(group + " keys", l));
      compared.absolute(at::stack(values), floats(recording.file, numbered(group + "/values", l)),
                        limit::keys_values, numbered(group + " values", l));
    }
  }
}

TEST(GoldenEndToEnd, EveryCaseOfEveryRecording) {
  const std::vector<std::filesystem::path> files = testing::golden_files("e2e_");
  ASSERT_FALSE(files.empty()) << "no e2e_*.h5 in " << testing::golden_directory();
  Comparison compared;
  std::size_t cases = 0;
  for (const std::filesystem::path& path : files) {
    SCOPED_TRACE(path.filename().string());
    const Recording recording(path);
    ASSERT_TRUE(recording.exported) << "the exporter failed on " << path;
    ASSERT_FALSE(recording.cases.empty()) << "no case in " << path;
    for (const memory::Backend backend : {memory::Backend::reference, memory::Backend::cpu}) {
      SCOPED_TRACE("backend " + to_string(backend));
      check_calibration(recording, backend, compared);
      for (const int64_t chunk_tokens : {recording.chunk_tokens, recording.config.period_tokens}) {
        SCOPED_TRACE("chunk of " + std::to_string(chunk_tokens));
        for (const Case& single : recording.cases)
          check_cases(recording, {single}, chunk_tokens, backend, compared);
        std::vector<Case> together = recording.cases;
        together.push_back(recording.cases.front());
        check_cases(recording, together, chunk_tokens, backend, compared);
      }
    }
    if (HasFatalFailure()) return;
    cases += recording.cases.size();
  }
  std::printf(
      "golden_e2e: %zu files, %zu cases (alone and together, two chunk sizes, two backends), %lld numbers "
      "compared, "
      "largest deviation %.2f of its tolerance\n",
      files.size(), cases, static_cast<long long>(compared.values), compared.worst);
}

}  // namespace
}  // namespace namm::models
