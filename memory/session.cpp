#include "memory/session.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include <c10/core/InferenceMode.h>

#include "memory/attention.h"
#include "memory/check.h"
#include "memory/held_tensor.h"
#include "memory/row_state.h"
#include "memory/session_table.h"

namespace namm::memory {
namespace {

// An update that frees so much has made as large a mess of temporaries.
constexpr int64_t kLargeReleaseBytes = 64 << 20;

// Whether two rows hold the same tokens and the same record of them, as forks do until one goes on.
bool is_shared(const LayerState& a, const LayerState& b) {
  const auto same = [](const at::Tensor& x, const at::Tensor& y) { return x.is_same(y); };
  return a.cache.segments() == b.cache.segments() && a.record.known == b.record.known &&
         same(a.record.ema, b.record.ema) && same(a.record.column_sums, b.record.column_sums) &&
         std::equal(a.record.blocks.begin(), a.record.blocks.end(), b.record.blocks.begin(),
                    b.record.blocks.end(), [&](const QueryBlock& x, const QueryBlock& y) {
                      return same(x.queries, y.queries) && same(x.log_sum_exp, y.log_sum_exp);
                    });
}

struct StepRow {
  RowState* row = nullptr;
  int64_t offset = 0;  // of its tokens among the packed tokens of the step
  int64_t length = 0;
};

void check_shape(const TransformerShape& shape) {
  TORCH_CHECK(shape.layers > 0 && shape.heads > 0 && shape.kv_heads > 0 && shape.head_dim > 0 &&
                  shape.heads % shape.kv_heads == 0,
              "[session] a Transformer of ", shape.layers, " layers, ", shape.heads, " query heads, ",
              shape.kv_heads, " KV heads, head dimension ", shape.head_dim,
              " cannot be: all must be positive and KV heads divide heads");
}

Needs merged(const Needs& a, const Needs& b) {
  TORCH_CHECK(!a.spectrogram || !b.spectrogram || *a.spectrogram == *b.spectrogram,
              "[session] policy and observer ask for different spectrograms; a session computes one");
  TORCH_CHECK(a.recent_queries == 0 || b.recent_queries == 0 || a.recent_queries == b.recent_queries,
              "[session] policy and observer ask for the attention of ", a.recent_queries, " and ",
              b.recent_queries, " last queries; a session computes one");
  return {.spectrogram = a.spectrogram ? a.spectrogram : b.spectrogram,
          .column_sums = a.column_sums || b.column_sums,
          .key_norms = a.key_norms || b.key_norms,
          .recent_queries = std::max(a.recent_queries, b.recent_queries),
          .key_similarity = a.key_similarity || b.key_similarity,
          .expected_attention = a.expected_attention || b.expected_attention};
}

}  // namespace

UpdateSchedule::UpdateSchedule(const SessionOptions& options) {
  check_shape(options.shape);
  TORCH_CHECK(options.policy, "[session] a policy is missing; `full` keeps everything");
  TORCH_CHECK(at::isFloatingType(options.dtype), "[session] keys and values cannot be stored as ",
              options.dtype);
  needs = merged(options.policy->needs(), options.extra_needs);
  const int64_t policy_period = options.policy->schedule().period_tokens;
  evicts = policy_period > 0;
  period_tokens = evicts ? policy_period : options.extra_period_tokens;
  TORCH_CHECK(period_tokens >= 0, "[session] a period of ", period_tokens, " tokens cannot be");
  if (!needs.spectrogram || period_tokens == 0) return;
  const SpectrogramConfig& config = *needs.spectrogram;
  TORCH_CHECK(
      config.hop_length > 0 && config.hop_length <= config.n_fft && period_tokens % config.hop_length == 0,
      "[session] the hop of ", config.hop_length, " queries must divide the period of ", period_tokens,
      " tokens and not exceed the window of ", config.n_fft);
}

int64_t token_bytes(const SessionOptions& options) {
  return (options.positions == PositionMode::compacted ? 3 : 2) * options.shape.head_dim *
         static_cast<int64_t>(c10::elementSize(options.dtype));
}

CacheMoves cache_moves(const SessionOptions& options) {
  if (options.positions == PositionMode::original) return {};
  const at::Tensor& frequencies = options.inverse_frequencies;
  TORCH_CHECK(frequencies.defined() && frequencies.scalar_type() == at::kFloat && frequencies.dim() == 1 &&
                  2 * frequencies.size(0) == options.shape.head_dim,
              "[session] compacted positions need the model's rotary frequencies, float32 [",
              options.shape.head_dim, " / 2]");
  const UpdateSchedule schedule(options);
  const int64_t context =
      schedule.records() && schedule.needs.spectrogram ? schedule.needs.spectrogram->context_queries() : 0;
  return {frequencies.to(options.device),
          context > 0 ? (context + schedule.period_tokens - 1) / schedule.period_tokens : 0};
}

struct Session::State {
  explicit State(const SessionOptions& o) : options(o), schedule(o), moves(cache_moves(o)) {}

  SessionOptions options;
  UpdateSchedule schedule;
  CacheMoves moves;
  at::Tensor handle;
  std::map<RowId, RowState> rows;
  RowId next_row = 0;
  std::vector<LayerAttention> attention;  // [L], as the model passed it last

  std::vector<StepRow> step;
  int64_t step_tokens = 0;
  int64_t next_layer = 0;
  bool attending = false;  // stays true where a layer failed half-way through its rows
  at::Tensor step_positions;

  Observer observer;
  DecisionObserver decision_observer;

  RowState& row(RowId id) {
    const auto it = rows.find(id);
    TORCH_CHECK(it != rows.end(), "[session] there is no row ", id);
    return it->second;
  }

  LayerCache empty_cache() const {
    return {options.shape, at::TensorOptions(options.dtype).device(options.device), moves};
  }
  bool due(const RowState& r) const {
    const int64_t period = schedule.period_tokens;
    return period > 0 && r.tokens > r.updated_tokens && r.tokens % period == 0;
  }
  bool in_step() const { return attending || (next_layer > 0 && next_layer < options.shape.layers); }
  void close_step();

  void check_tensor(const char* name, const at::Tensor& x, int64_t heads) const;
  void check_decision(const LayerView& layer, const KeepDecision& decision, int64_t segments) const;
  LayerView layer_view(const std::vector<RowState*>& due_rows, int64_t layer) const;
  struct Counts {
    std::vector<std::vector<int64_t>> kept;  // [L][rows * Hk]
    std::vector<int64_t> excess;             // [rows]
  };
  Counts counts_of(const UpdateView& view, const std::vector<KeepDecision>& decisions) const;
  void compact(const std::vector<RowState*>& due_rows, const UpdateView& view,
               const std::vector<KeepDecision>& decisions);
};

Session::Session(const SessionOptions& options) : state_(std::make_unique<State>(options)) {
  state_->attention.resize(options.shape.layers);
  state_->handle = at::full({1}, SessionTable::insert(this), at::kLong);
}

Session::~Session() {
  SessionTable::erase(*state_->handle.const_data_ptr<int64_t>());
}

at::Tensor Session::handle() const {
  return state_->handle;
}

RowId Session::add_row(int64_t member, int64_t tag) {
  State& s = *state_;
  RowState row;
  row.member = member;
  row.tag = tag;
  const LayerState empty{s.empty_cache(), {}};
  row.layers.assign(s.options.shape.layers, empty);
  s.rows.emplace(s.next_row, std::move(row));
  return s.next_row++;
}

RowId Session::fork(RowId id, int64_t member, int64_t tag) {
  State& s = *state_;
  TORCH_CHECK(!s.in_step() && !s.row(id).torn, "[session] row ", id,
              " cannot be forked in the middle of a step");
  RowState row = s.row(id);
  row.member = member;
  row.tag = tag;
  s.rows.emplace(s.next_row, std::move(row));
  return s.next_row++;
}

const RowState& Session::state(RowId id) const {
  const RowState& row = state_->row(id);
  TORCH_CHECK(!state_->in_step() && !row.torn, "[session] row ", id, " is in the middle of a step");
  return row;
}

RowId Session::adopt(RowState row) {
  State& s = *state_;
  TORCH_CHECK(!row.torn && static_cast<int64_t>(row.layers.size()) == s.options.shape.layers &&
                  !row.layers.empty() && row.layers[0].cache.kv_heads() == s.options.shape.kv_heads &&
                  row.layers[0].cache.head_dim() == s.options.shape.head_dim,
              "[session] a row of another session's shape cannot go on here");
  s.rows.emplace(s.next_row, std::move(row));
  return s.next_row++;
}

void Session::drop(RowId id) {
  State& s = *state_;
  RowState* row = &s.row(id);
  for (const StepRow& step : s.step) {
    if (step.row != row) continue;
    s.close_step();  // the packed tokens of a step cannot lose a row: it is over for all of them
    break;
  }
  s.rows.erase(id);
}

void Session::protect(RowId id, std::span<const TokenSpan> spans) {
  RowState& row = state_->row(id);
  for (const TokenSpan& span : spans) {
    TORCH_CHECK(span.begin >= 0 && span.begin <= span.end, "[session] tokens ", span.begin, " to ", span.end,
                " cannot be protected: positions rise from 0");
    if (span.begin < span.end) row.protected_spans.push_back(span);
  }
}

// Nothing may attend until the next step begins. Rows of a step that did not come to its end are lost, the
// session is not.
void Session::State::close_step() {
  if (in_step()) {
    for (const StepRow& r : step) r.row->torn = true;
  }
  step.clear();
  next_layer = options.shape.layers;
  attending = false;
}

void Session::begin_step(std::span<const RowId> rows, std::span<const int64_t> lengths) {
  State& s = *state_;
  TORCH_CHECK(!rows.empty() && rows.size() == lengths.size(), "[session] begin_step: ", rows.size(),
              " rows and ", lengths.size(), " lengths; one length a row and at least one row are expected");
  s.close_step();
  std::vector<StepRow> step;
  int64_t offset = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    RowState& row = s.row(rows[i]);
    TORCH_CHECK(!row.torn, "[session] begin_step: a step of row ", rows[i],
                " was given up before its end; drop the row and read it again");
    TORCH_CHECK(lengths[i] > 0, "[session] begin_step: row ", rows[i], " brings ", lengths[i], " tokens");
    for (const StepRow& other : step) {
      TORCH_CHECK(other.row != &row, "[session] begin_step: row ", rows[i], " is named twice");
    }
    TORCH_CHECK(!s.due(row), "[session] begin_step: row ", rows[i], " is due for update() after ", row.tokens,
                " tokens");
    if (s.schedule.period_tokens > 0) {
      TORCH_CHECK(row.tokens % s.schedule.period_tokens + lengths[i] <= s.schedule.period_tokens,
                  "[session] begin_step: ", lengths[i], " tokens after ", row.tokens, " carry row ", rows[i],
                  " across a multiple of the period of ", s.schedule.period_tokens,
                  "; tokens_until_update() says how many fit");
    }
    step.push_back({&row, offset, lengths[i]});
    offset += lengths[i];
  }
  const c10::InferenceMode guard;
  const auto positions = at::TensorOptions(at::kLong);
  std::vector<at::Tensor> pieces;
  for (const StepRow& r : step)
    pieces.push_back(at::arange(r.row->tokens, r.row->tokens + r.length, positions));
  s.step_positions = (pieces.size() == 1 ? pieces[0] : at::cat(pieces)).to(s.options.device);
  s.step = std::move(step);
  s.step_tokens = offset;
  s.next_layer = 0;
}

at::Tensor Session::positions() const {
  TORCH_CHECK(!state_->step.empty(), "[session] positions() before begin_step()");
  return state_->step_positions;
}

void Session::State::check_tensor(const char* name, const at::Tensor& x, int64_t heads) const {
  TORCH_CHECK(
      x.dim() == 3 && x.size(0) == step_tokens && x.size(1) == heads && x.size(2) == options.shape.head_dim,
      "[attend] ", name, " must be [", step_tokens, ", ", heads, ", ", options.shape.head_dim,
      "] (tokens of the step, heads, head dimension), got ", x.sizes());
  TORCH_CHECK(x.scalar_type() == options.dtype, "[attend] ", name, " must be ", options.dtype, ", got ",
              x.scalar_type());
  TORCH_CHECK(x.device().type() == options.device.type(), "[attend] ", name, " must be on ", options.device,
              ", got ", x.device());
}

at::Tensor Session::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t layer,
                           double scale, int64_t window_tokens) {
  State& s = *state_;
  TORCH_CHECK(!s.step.empty() && !s.attending && s.next_layer < s.options.shape.layers, "[attend] layer ",
              layer, ": no step is open; begin_step() comes before every pass through the layers");
  TORCH_CHECK(layer == s.next_layer, "[attend] layer ", layer, " attends where layer ", s.next_layer,
              " is next; layers 0 to ", s.options.shape.layers - 1, " attend in order, once a step");
  s.check_tensor("q", q, s.options.shape.heads);
  s.check_tensor("k", k, s.options.shape.kv_heads);
  s.check_tensor("v", v, s.options.shape.kv_heads);
  TORCH_CHECK(window_tokens >= 0, "[attend] a window of ", window_tokens, " tokens cannot be; 0 means none");

  const c10::InferenceMode guard;
  s.next_layer = layer + 1;
  s.attending = true;
  s.attention[layer] = {scale, window_tokens};
  const bool last_layer = s.next_layer == s.options.shape.layers;
  const bool records = s.schedule.records();
  at::Tensor output = at::empty_like(q, at::MemoryFormat::Contiguous);
  std::vector<AttentionRow> rows;
  for (const StepRow& r : s.step) {
    LayerCache& cache = r.row->layers[layer].cache;
    cache.append(k.narrow(0, r.offset, r.length), v.narrow(0, r.offset, r.length), r.row->tokens);
    rows.push_back({&cache, r.row->tokens, r.offset, r.length});
  }
  at::Tensor log_sum_exp;
  attention(q, rows, scale, window_tokens, output, &log_sum_exp, s.options.backend);
  if (s.options.backend == Backend::check) {
    const at::Tensor expected = at::empty_like(output);
    at::Tensor expected_sums;
    attention(q, rows, scale, window_tokens, expected, &expected_sums, Backend::reference);
    check_attention(layer, output, expected, log_sum_exp, expected_sums);
  }
  for (const StepRow& r : s.step) {
    if (records) {
      r.row->layers[layer].record.blocks.push_back({held_copy(q.narrow(0, r.offset, r.length)),
                                                    held_copy(log_sum_exp.narrow(1, r.offset, r.length)),
                                                    r.row->tokens});
    }
    if (last_layer) r.row->tokens += r.length;
  }
  s.attending = false;
  return output;
}

LayerView Session::State::layer_view(const std::vector<RowState*>& due_rows, int64_t layer) const {
  LayerView view;
  view.layer = layer;
  view.offsets = {0};
  std::vector<at::Tensor> positions, ema, column_sums, key_norms, recent_attention, key_similarity, expected,
      protected_ones;
  TokenFeatures features;
  const RowState* previous = nullptr;
  const bool protects =
      options.protect.sinks > 0 || options.protect.recent_tokens > 0 ||
      std::ranges::any_of(due_rows, [](const RowState* row) { return !row->protected_spans.empty(); });
  for (const RowState* row : due_rows) {
    const LayerState& state = row->layers[layer];
    for (const int64_t n : state.cache.lengths()) view.offsets.push_back(view.offsets.back() + n);
    positions.push_back(state.cache.packed_positions());
    if (protects)
      protected_ones.push_back(
          protected_tokens(positions.back(), row->tokens, options.protect, row->protected_spans));
    // The members of a population come to their first update with one and the same context.
    if (previous == nullptr || previous->updated_tokens != row->updated_tokens ||
        !is_shared(state, previous->layers[layer])) {
      const int64_t new_queries = row->tokens - row->updated_tokens;
      features = token_features(state.cache, state.record, attention[layer], new_queries, schedule.needs,
                                options.backend);
      if (options.backend == Backend::check) {
        check_features(layer, features,
                       token_features(state.cache, state.record, attention[layer], new_queries,
                                      schedule.needs, Backend::reference),
                       state.cache.lengths(), positions.back(), schedule.needs);
      }
    }
    previous = row;
    ema.push_back(features.ema);
    column_sums.push_back(features.column_sums);
    key_norms.push_back(features.key_norms);
    recent_attention.push_back(features.recent_attention);
    key_similarity.push_back(features.key_similarity);
    expected.push_back(features.expected_attention);
  }
  const auto packed = [](const std::vector<at::Tensor>& x) { return x.size() == 1 ? x[0] : at::cat(x); };
  view.positions = packed(positions);
  if (schedule.needs.spectrogram) view.ema = packed(ema);
  if (schedule.needs.column_sums) view.column_sums = packed(column_sums);
  if (schedule.needs.key_norms) view.key_norms = packed(key_norms);
  if (schedule.needs.recent_queries > 0) view.recent_attention = packed(recent_attention);
  if (schedule.needs.key_similarity) view.key_similarity = packed(key_similarity);
  if (schedule.needs.expected_attention) view.expected_attention = packed(expected);
  if (protects) view.protected_tokens = packed(protected_ones);
  return view;
}

void Session::State::check_decision(const LayerView& layer, const KeepDecision& decision,
                                    int64_t rows_due) const {
  TORCH_CHECK(decision.keep.defined() && decision.keep.scalar_type() == at::kBool &&
                  decision.keep.dim() == 1 && decision.keep.size(0) == layer.offsets.back(),
              "[update] policy ", options.policy->name(), ", layer ", layer.layer, ": keep must be bool [",
              layer.offsets.back(), "]");
  TORCH_CHECK(decision.lengths.defined() && decision.lengths.scalar_type() == at::kInt &&
                  decision.lengths.dim() == 2 && decision.lengths.size(0) == rows_due &&
                  decision.lengths.size(1) == options.shape.kv_heads,
              "[update] policy ", options.policy->name(), ", layer ", layer.layer,
              ": lengths must be int32 [", rows_due, ", ", options.shape.kv_heads, "]");
  TORCH_CHECK(!decision.excess.defined() || (decision.excess.scalar_type() == at::kInt &&
                                             decision.excess.sizes() == decision.lengths.sizes()),
              "[update] policy ", options.policy->name(), ", layer ", layer.layer,
              ": excess must be int32 as lengths");
}

// Tokens kept of every segment, [layer][row * Hk + head], and the contract of KeepDecision checked, in one
// read-back.
Session::State::Counts Session::State::counts_of(const UpdateView& view,
                                                 const std::vector<KeepDecision>& decisions) const {
  TORCH_CHECK(decisions.size() == view.layers.size(), "[update] policy ", options.policy->name(),
              " decided on ", decisions.size(), " of ", view.layers.size(), " layers");
  const auto segments = static_cast<int64_t>(view.rows.size()) * options.shape.kv_heads;
  std::vector<at::Tensor> counts;
  for (size_t l = 0; l < decisions.size(); ++l) {
    const LayerView& layer = view.layers[l];
    const KeepDecision& decision = decisions[l];
    check_decision(layer, decision, static_cast<int64_t>(view.rows.size()));
    const at::Tensor newest =
        at::tensor(at::ArrayRef<int64_t>(layer.offsets).slice(1)).sub_(1).to(decision.keep.device());
    const at::Tensor upto = decision.keep.cumsum(0, at::kInt).index_select(0, newest);
    const at::Tensor none = at::zeros_like(upto);
    at::Tensor lost = none;
    if (layer.protected_tokens.defined()) {
      lost = layer.protected_tokens.logical_and(decision.keep.logical_not())
                 .cumsum(0, at::kInt)
                 .index_select(0, newest);
    }
    counts.push_back(
        at::stack({upto, decision.lengths.flatten(), decision.keep.index_select(0, newest).to(at::kInt), lost,
                   decision.excess.defined() ? decision.excess.flatten() : none}));
  }
  const at::Tensor read = at::stack(counts).to(at::kCPU).contiguous();  // int32 [L, 5, segments]
  const int32_t* data = read.const_data_ptr<int32_t>();
  Counts result{std::vector<std::vector<int64_t>>(decisions.size()), std::vector<int64_t>(view.rows.size())};
  for (size_t l = 0; l < decisions.size(); ++l, data += 5 * segments) {
    for (int64_t i = 0; i < segments; ++i) {
      const int64_t row = i / options.shape.kv_heads;
      const int64_t count = data[i] - (i > 0 ? data[i - 1] : 0);
      TORCH_CHECK(data[segments + i] == count, "[update] policy ", options.policy->name(), ", layer ", l,
                  ", row ", row, ", KV head ", i % options.shape.kv_heads, ": lengths says ",
                  data[segments + i], " tokens, keep marks ", count);
      TORCH_CHECK(data[2 * segments + i] != 0, "[update] policy ", options.policy->name(), ", layer ", l,
                  ", row ", row, ", KV head ", i % options.shape.kv_heads, ": the newest token must be kept");
      TORCH_CHECK(data[3 * segments + i] == (i > 0 ? data[3 * segments + i - 1] : 0), "[update] policy ",
                  options.policy->name(), ", layer ", l, ", row ", row, ", KV head ",
                  i % options.shape.kv_heads, ": protected tokens must be kept");
      result.kept[l].push_back(count);
      result.excess[static_cast<size_t>(row)] += data[4 * segments + i];
    }
  }
  return result;
}

void Session::State::compact(const std::vector<RowState*>& due_rows, const UpdateView& view,
                             const std::vector<KeepDecision>& decisions) {
  const int64_t heads = options.shape.kv_heads;
  const auto [kept, excess] = counts_of(view, decisions);
  if (decision_observer) decision_observer(view, decisions);
  for (RowState* row : due_rows) row->torn = true;  // until all layers agree again
  for (size_t r = 0; r < due_rows.size(); ++r) due_rows[r]->excess_tokens = excess[r];
  for (size_t l = 0; l < decisions.size(); ++l) {
    const LayerView& layer = view.layers[l];
    int64_t total = 0;
    for (const int64_t n : kept[l]) total += n;
    const bool whole = total == layer.offsets.back();
    // The size is known, so that no device waits for the host here.
    const at::Tensor index = whole ? at::Tensor() : at::nonzero_static(decisions[l].keep, total).squeeze(1);
    int64_t first = 0;
    for (size_t r = 0; r < due_rows.size(); ++r) {
      LayerState& state = due_rows[r]->layers[l];
      const auto begin = kept[l].begin() + static_cast<std::ptrdiff_t>(r) * heads;
      std::vector<int64_t> lengths(begin, begin + heads);
      const int64_t row_first = layer.offsets[r * heads];
      const int64_t row_tokens = layer.offsets[(r + 1) * heads] - row_first;
      int64_t row_kept = 0;
      for (const int64_t n : lengths) row_kept += n;
      const at::Tensor kept_rows =
          whole ? at::arange(row_first, row_first + row_tokens, layer.positions.options())
                : index.narrow(0, first, row_kept);
      // The row's own copies: a slice would hold the features of the whole batch.
      const auto carry = [&](const at::Tensor& x) {
        if (!x.defined()) return x;
        std::vector<int64_t> sizes = x.sizes().vec();
        sizes[0] = row_kept;
        at::Tensor own = held_empty(sizes, x.options());
        return at::index_select_out(own, x, 0, kept_rows);
      };
      state.record.ema = carry(layer.ema);
      state.record.column_sums = carry(layer.column_sums);
      state.record.known = lengths;
      if (row_kept != row_tokens || state.cache.moved()) {
        state.cache.compact(kept_rows - row_first, std::move(lengths));
      }
      first += row_kept;
    }
  }
}

void Session::update() {
  State& s = *state_;
  std::vector<RowState*> due_rows;
  for (auto& [id, row] : s.rows) {
    if (!row.torn && s.due(row)) due_rows.push_back(&row);
  }
  if (due_rows.empty()) return;
  TORCH_CHECK(!s.in_step(), "[session] update() in the middle of a step: layer ",
              s.next_layer - (s.attending ? 1 : 0), " has not attended yet");

  const c10::InferenceMode guard;
  UpdateView view;
  view.shape = s.options.shape;
  view.token_bytes = token_bytes(s.options);
  view.backend = s.options.backend;
  for (const RowState* row : due_rows)
    view.rows.push_back({row->member, row->tag, row->tokens, row->updates});
  for (int64_t l = 0; l < s.options.shape.layers; ++l) view.layers.push_back(s.layer_view(due_rows, l));
  check_finite(view);
  if (s.observer) s.observer(view);
  std::vector<KeepDecision> decisions;
  if (s.schedule.evicts) {
    decisions = s.options.policy->decide(view);
    if (view.backend == Backend::check) {
      UpdateView plain = view;
      plain.backend = Backend::reference;
      const std::vector<KeepDecision> expected = s.options.policy->decide(plain);
      for (size_t l = 0; l < std::min(decisions.size(), expected.size()); ++l)
        check_scores(view.layers[l], s.options.shape.kv_heads, decisions[l].scores, expected[l].scores);
    }
  } else {
    const auto rows = static_cast<int64_t>(due_rows.size());
    for (const LayerView& layer : view.layers) {
      std::vector<int32_t> lengths;
      for (size_t i = 1; i < layer.offsets.size(); ++i) {
        lengths.push_back(static_cast<int32_t>(layer.offsets[i] - layer.offsets[i - 1]));
      }
      decisions.push_back({at::ones({layer.offsets.back()}, layer.positions.options().dtype(at::kBool)),
                           at::tensor(lengths).view({rows, -1}).to(s.options.device)});
    }
  }
  const auto cached = [&] {
    int64_t bytes = 0;
    for (const RowState* row : due_rows) bytes += row->cache_bytes();
    return bytes;
  };
  const int64_t bytes_before = cached();
  for (RowState* row : due_rows) {
    row->peak_cache_bytes = std::max(row->peak_cache_bytes, row->cache_bytes());
    row->peak_record_bytes = std::max(row->peak_record_bytes, row->record_bytes());
  }
  s.compact(due_rows, view, decisions);

  const int64_t context = s.schedule.needs.spectrogram ? s.schedule.needs.spectrogram->context_queries() : 0;
  for (RowState* row : due_rows) {
    std::vector<int64_t> kept;
    for (LayerState& layer : row->layers) {
      layer.record.keep_context(context);
      kept.insert(kept.end(), layer.cache.lengths().begin(), layer.cache.lengths().end());
    }
    row->kept_history.push_back(std::move(kept));
    row->updated_tokens = row->tokens;
    ++row->updates;
    row->torn = false;
  }
  if (bytes_before - cached() >= kLargeReleaseBytes) {
    view = {};
    decisions.clear();
    return_freed_memory();
  }
}

int64_t Session::tokens_until_update(RowId id) const {
  const State& s = *state_;
  if (s.schedule.period_tokens == 0) return std::numeric_limits<int64_t>::max();
  const RowState& row = state_->row(id);
  return s.due(row) ? 0 : s.schedule.period_tokens - row.tokens % s.schedule.period_tokens;
}

int64_t Session::tokens_processed(RowId id) const {
  return state_->row(id).tokens;
}

CacheUsage Session::usage(RowId id) const {
  const RowState& row = state_->row(id);
  CacheUsage usage;
  usage.excess_tokens = row.excess_tokens;
  usage.cache_bytes = row.cache_bytes();
  usage.record_bytes = row.record_bytes();
  usage.peak_cache_bytes = std::max(row.peak_cache_bytes, usage.cache_bytes);
  usage.peak_record_bytes = std::max(row.peak_record_bytes, usage.record_bytes);
  for (const LayerState& layer : row.layers) {
    usage.lengths.insert(usage.lengths.end(), layer.cache.lengths().begin(), layer.cache.lengths().end());
    usage.tokens += layer.cache.tokens();
  }
  return usage;
}

const std::vector<std::vector<int64_t>>& Session::kept_history(RowId id) const {
  return state_->row(id).kept_history;
}

void Session::set_observer(Observer observer) {
  state_->observer = std::move(observer);
}

void Session::set_decision_observer(DecisionObserver observer) {
  state_->decision_observer = std::move(observer);
}

Session::Segment Session::segment(RowId id, int64_t layer, int64_t kv_head) const {
  const RowState& row = state_->row(id);
  TORCH_CHECK(layer >= 0 && layer < state_->options.shape.layers && kv_head >= 0 &&
                  kv_head < state_->options.shape.kv_heads,
              "[session] there is no layer ", layer, " with KV head ", kv_head);
  const LayerCache& cache = row.layers[layer].cache;
  int64_t start = 0;
  for (int64_t h = 0; h < kv_head; ++h) start += cache.lengths()[h];
  const auto head = [&](const at::Tensor& packed) {
    return packed.narrow(0, start, cache.lengths()[kv_head]).clone();
  };
  return {head(cache.packed_keys()), head(cache.packed_values()), head(cache.packed_positions()),
          head(cache.packed_places())};
}

const SessionOptions& Session::options() const {
  return state_->options;
}

Session& session_of(int64_t handle) {
  Session* const session = SessionTable::find(handle);
  TORCH_CHECK(session, "[attend] session ", handle, " is gone");
  return *session;
}

}  // namespace namm::memory
