#include "models/archive.h"

#include <mutex>

#include <c10/core/InferenceMode.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/version.h>

#include "core/errors.h"
#include "memory/attend.h"
#include "memory/policies/full.h"
#include "memory/session.h"
#include "models/module_loader.h"
#include "models/package_file.h"
#include "models/torch_error.h"

namespace namm::models {
namespace {

constexpr const char* kContractFile = "extra/namm_contract.json";
constexpr const char* kTokenizerFile = "extra/namm_tokenizer.json";

Contract contract_of(const PackageFile& file, const std::string& where) {
  const auto json = file.read(kContractFile);
  if (!json) {
    throw DataError(
        where +
        ": no namm_contract.json inside: a TorchScript or checkpoint file of another program; make an "
        "archive from the model with python -m models.export");
  }
  Contract contract = Contract::parse(*json, where);
  if (contract.torch_version.substr(0, contract.torch_version.find('.')) !=
      std::to_string(TORCH_VERSION_MAJOR)) {
    throw DataError(where + ": written by torch " + contract.torch_version + ", this program runs LibTorch " +
                    TORCH_VERSION + ": export the model again with torch " +
                    std::to_string(TORCH_VERSION_MAJOR) + ".x");
  }
  return contract;
}

torch::jit::Method method_of(const torch::jit::Module& module, const std::string& name, std::size_t arguments,
                             const std::string& where) {
  const auto method = module.find_method(name);
  if (!method || method->function().getSchema().arguments().size() != arguments + 1) {
    throw DataError(where + ": the archive's module has no method '" + name + "' of " +
                    std::to_string(arguments) + " argument(s); export the model again");
  }
  return *method;
}

}  // namespace

struct Archive::State {
  Contract contract;
  std::filesystem::path path;
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  std::unique_ptr<Tokenizer> codec;
  torch::jit::Module module;
  std::optional<torch::jit::Method> embed, step, logits;
  std::shared_ptr<const PackageFile> file;
  std::once_flag hashed;
  std::string sha256;

  // One token through all methods: an archive whose weights have other sizes than its contract is found here
  // and not in a long run.
  void check_sizes() const {
    const auto hidden = run(*embed, {at::zeros({1}, at::TensorOptions(device).dtype(at::kLong))});
    const std::vector<int64_t> wanted_hidden = {1, contract.hidden}, wanted_logits = {1, contract.vocabulary};
    const auto check_hidden = [&](const char* method, const at::Tensor& x) {
      TORCH_CHECK(x.sizes() == wanted_hidden && x.scalar_type() == dtype, method, " gives ", x.scalar_type(),
                  " ", x.sizes(), ", the contract says ", contract.dtype, " ",
                  at::IntArrayRef(wanted_hidden));
    };
    check_hidden("embed", hidden);
    memory::SessionOptions options;
    options.shape = contract.shape;
    options.dtype = dtype;
    options.device = device;
    options.policy = std::make_shared<memory::FullPolicy>();
    memory::Session session(options);
    const memory::RowId row = session.add_row();
    const int64_t length = 1;
    session.begin_step({&row, 1}, {&length, 1});
    check_hidden("step", run(*step, {hidden, session.positions(), session.handle()}));
    TORCH_CHECK(session.tokens_processed(row) == 1, "step goes through fewer layers than the contract's ",
                contract.shape.layers);
    const auto scores = run(*logits, {hidden});
    TORCH_CHECK(scores.sizes() == wanted_logits && scores.scalar_type() == at::kFloat, "logits gives ",
                scores.scalar_type(), " ", scores.sizes(), ", the contract says float32 ",
                at::IntArrayRef(wanted_logits));
  }

  static at::Tensor run(const torch::jit::Method& method, std::vector<c10::IValue> arguments) {
    const c10::InferenceMode inference;
    return method(std::move(arguments)).toTensor();
  }
};

Archive::Archive() : state_(std::make_unique<State>()) {}
Archive::~Archive() = default;

std::shared_ptr<const Archive> Archive::load(const std::filesystem::path& path, at::Device device) {
  const std::string where = path.string();
  std::shared_ptr<Archive> archive(new Archive);
  State& state = *archive->state_;
  state.file = std::make_shared<const PackageFile>(path);
  const PackageFile& file = *state.file;
  state.contract = contract_of(file, where);
  file.verify();
  state.path = path;
  state.device = device;
  state.dtype = state.contract.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  if (state.contract.has_tokenizer()) {
    const auto data = file.read(kTokenizerFile);
    if (!data) throw DataError(where + ": namm_tokenizer.json is missing inside; export the model again");
    state.codec = make_tokenizer(state.contract.tokenizer, *data, state.contract.vocabulary, where);
  }

  prepare_runtime();
  memory::register_operators();
  try {
    const c10::InferenceMode inference;
    state.module = load_module(file, device);
    state.embed = method_of(state.module, "embed", 1, where);
    state.step = method_of(state.module, "step", 3, where);
    state.logits = method_of(state.module, "logits", 1, where);
    state.check_sizes();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    if (is_out_of_memory(error))
      throw InfrastructureError(where + ": the model does not fit into memory: " + torch_reason(error));
    throw DataError(where + ": LibTorch " + TORCH_VERSION + " cannot load this archive of torch " +
                    state.contract.torch_version + ": " + torch_reason(error) + "; export the model again");
  }
  return archive;
}

Contract Archive::read_contract(const std::filesystem::path& path) {
  return contract_of(PackageFile(path), path.string());
}

const Contract& Archive::contract() const {
  return state_->contract;
}
const std::filesystem::path& Archive::path() const {
  return state_->path;
}
at::Device Archive::device() const {
  return state_->device;
}
at::ScalarType Archive::dtype() const {
  return state_->dtype;
}
bool Archive::has_codec() const {
  return state_->codec != nullptr;
}

const std::string& Archive::sha256() const {
  std::call_once(state_->hashed, [this] { state_->sha256 = state_->file->sha256(); });
  return state_->sha256;
}

at::Tensor Archive::inverse_frequencies() const {
  const State& state = *state_;
  constexpr const char* kBuffer = "inverse_frequencies";
  const auto refuse = [&](const std::string& why) {
    throw DataError(state.path.string() + ": " + why +
                    ": its cached keys cannot be moved to other positions");
  };
  const std::string rule = state.contract.rope["rule"];
  if (rule == "none") refuse("the model has no rotary position embedding (rope rule none)");
  if (!state.module.hasattr(kBuffer) || !state.module.attr(kBuffer).isTensor())
    refuse("the archive does not hold the frequencies of its rotary position embedding");
  const at::Tensor frequencies = state.module.attr(kBuffer).toTensor().to(at::kCPU);
  if (frequencies.scalar_type() != at::kFloat || frequencies.dim() != 1 ||
      2 * frequencies.size(0) != state.contract.shape.head_dim)
    refuse("the frequencies of its rotary position embedding are not float32 [head_dim / 2]");
  return frequencies.clone();  // what a caller writes to it stays out of the weights
}

const Tokenizer& Archive::codec() const {
  if (!has_codec()) {
    throw DataError(state_->path.string() +
                    ": this archive has no tokenizer: it takes and gives token ids only");
  }
  return *state_->codec;
}

const Contract& Archive::chat_contract() const {
  if (!state_->contract.has_chat())
    throw ConfigError(state_->path.string() + ": this model has no chat form; leave the chat setting out");
  return state_->contract;
}

std::vector<int64_t> Archive::encode_prompt(std::string_view text, bool chat) const {
  std::vector<int64_t> ids = codec().prefix();
  const auto rest =
      chat ? codec().encode_wrapped(chat_contract().chat_prefix, text, chat_contract().chat_suffix)
           : codec().encode(text);
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

std::vector<int64_t> Archive::encode_chat_begin(std::string_view context) const {
  std::vector<int64_t> ids = codec().prefix();
  const auto rest = codec().encode_wrapped(chat_contract().chat_prefix, context, {});
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

std::vector<int64_t> Archive::encode_chat_end(std::string_view question) const {
  return codec().encode_continued(question, chat_contract().chat_suffix);
}

at::Tensor Archive::embed(const at::Tensor& ids) const {
  TORCH_CHECK(ids.dim() == 1 && ids.scalar_type() == at::kLong, "[embed] ids must be int64 [S], got ",
              ids.scalar_type(), " ", ids.sizes());
  if (ids.numel() > 0) {
    const auto least = ids.min().item<int64_t>(), most = ids.max().item<int64_t>();
    if (least < 0 || most >= state_->contract.vocabulary) {
      throw DataError("token id " + std::to_string(least < 0 ? least : most) +
                      " is outside the vocabulary of " + std::to_string(state_->contract.vocabulary) + " (" +
                      state_->path.string() + ")");
    }
  }
  return State::run(*state_->embed, {ids.to(state_->device)});
}

at::Tensor Archive::step(const at::Tensor& x, const at::Tensor& positions, const at::Tensor& session) const {
  return State::run(*state_->step, {x, positions, session});
}

at::Tensor Archive::logits(const at::Tensor& hidden) const {
  return State::run(*state_->logits, {hidden});
}

void prepare_runtime() {
  torch::jit::getExecutorMode() = true;
  torch::jit::getProfilingMode() = false;
  torch::jit::setTensorExprFuserEnabled(false);
}

}  // namespace namm::models
