#include <charconv>
#include <chrono>
#include <cmath>
#include <iostream>
#include <iterator>
#include <memory>
#include <tuple>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/text.h"
#include "experiments/commands/command.h"
#include "experiments/memory_source.h"
#include "experiments/model_check.h"
#include "experiments/run.h"
#include "memory/backend.h"
#include "memory/cache_file.h"
#include "memory/policy_list.h"
#include "models/device.h"
#include "models/generator.h"
#include "models/token_spans.h"

namespace namm::experiments {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  CommonOptions common;
  std::string model;
  std::string policy;
  std::string memory;
  std::string prompt;
  std::string ids;
  std::string budget;
  std::string positions;
  std::string protect;
  std::string backend = "auto";
  std::string save_cache;
  std::string load_cache;
  int64_t period_tokens = 0;
  int64_t max_new_tokens = 64;
  int64_t chunk_tokens = 1024;
  uint64_t seed = 1;
  bool chat = false;
  bool ignore_eos = false;
  bool json = false;
};

std::vector<int64_t> parse_ids(const std::string& text, int64_t vocabulary) {
  std::vector<int64_t> ids;
  for (const auto& piece : split(text, ',')) {
    const auto number = trim(piece);
    int64_t id = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), id);
    if (number.empty() || error != std::errc() || end != number.data() + number.size() || id < 0 ||
        id >= vocabulary) {
      throw ConfigError(format_text("--ids: \"{}\": token ids from 0 to {} with commas between them", number,
                                    vocabulary - 1));
    }
    ids.push_back(id);
  }
  return ids;
}

memory::Budget parse_budget(const std::string& policy, const std::string& text) {
  const std::string advice =
      "policy " + policy + ": give its cache size with --budget tokens=N, fraction=F or bytes=B";
  if (text.empty()) throw ConfigError(advice);
  const auto node = ConfigDocument::from_text("{}", "--budget", {text}).root();
  const memory::Budget budget = memory::Budget::from_config(node);
  if (budget.needs_counts()) throw ConfigError(advice);
  return budget;
}

memory::Protection parse_protection(const std::string& text) {
  if (text.empty()) return {};
  const ConfigDocument document = ConfigDocument::from_text(text, "--protect");
  return read_config<memory::Protection>(document.root());
}

struct Policy {
  std::shared_ptr<const memory::EvictionPolicy> policy;
  memory::PositionMode positions = memory::PositionMode::original;
  memory::Protection protect;
  memory::CacheIdentity identity;  ///< what a saved cache of it must be continued with
};

Policy make_policy(const Options& options, const models::Archive& archive) {
  std::string name = !options.policy.empty() ? options.policy : "full";
  memory::PolicyArguments arguments;
  Policy result;
  arguments.config.seed = options.seed;
  if (memory::needs_memory(name) || !options.memory.empty()) {
    const auto path = options.memory.empty() ? shipped_memory() : std::filesystem::path(options.memory);
    const auto file = read_memory_of(path);
    const std::string fitting = memory::memory_policy(file.config);
    if (options.policy.empty()) name = fitting;
    if (memory::needs_memory(name)) {
      if (!memory::fits_memory(name, file.config)) {
        throw ConfigError(format_text("--policy {}: {} for this memory, whose scorer is {}: {}", name,
                                      fitting, file.config.scorer, path.string()));
      }
      file.config.require_transformer(archive.contract().shape, path.string());
    }
    static_cast<memory::NammConfig&>(arguments.config) = file.config;
    arguments.parameters = file.theta().to(archive.device());
    arguments.statistics = file.statistics;
    if (memory::needs_memory(name)) result.identity.emplace_back("memory_sha256", file.sha256());
  }
  result.identity.emplace(result.identity.begin(), "policy", name);
  const bool from_memory = memory::needs_memory(name);
  if (options.period_tokens > 0) arguments.config.period_tokens = options.period_tokens;
  if (!options.positions.empty()) arguments.config.positions = options.positions;
  arguments.config.protect = parse_protection(options.protect);
  arguments.config.backend = options.backend;
  if (from_memory && arguments.config.period_tokens % arguments.config.spectrogram.hop_length != 0) {
    throw ConfigError(format_text("--period-tokens {}: a multiple of the memory's hop_length = {}",
                                  arguments.config.period_tokens, arguments.config.spectrogram.hop_length));
  }
  if (memory::takes_budget(name) && name != "namm-counts-random")
    arguments.budget = parse_budget(name, options.budget);
  if (name == "namm-counts-random") {
    throw ConfigError(
        "policy namm-counts-random needs what namm kept of the same prompt: it stands in evaluate stages "
        "only");
  }
  result.policy = memory::make_policy(name, arguments);
  result.protect = arguments.config.protect;
  result.positions = memory::position_mode(arguments.config.positions);
  if (memory::takes_budget(name)) result.identity.emplace_back("budget", arguments.budget.text());
  for (const auto& entry : write_config(arguments.config).entries) {
    if (entry.key != "file") result.identity.emplace_back("memory." + entry.key, to_flow_yaml(entry.value));
  }
  return result;
}

/// Prints text as it comes; holds back bytes that do not make a letter yet.
class Stream {
 public:
  explicit Stream(const TokenCodec& codec) : codec_(codec) {}

  void add(int64_t id) {
    ids_.push_back(id);
    const std::string text = codec_.decode(ids_);
    if (text.size() < printed_) return;
    std::string_view rest = std::string_view(text).substr(printed_);
    const auto invalid = first_invalid_utf8(rest);
    constexpr size_t kLongestLetter = 4;
    if (invalid && rest.size() - *invalid < kLongestLetter) rest = rest.substr(0, *invalid);
    std::cout << rest << std::flush;
    printed_ += rest.size();
  }
  void finish() {
    const std::string text = codec_.decode(ids_);
    if (text.size() > printed_) std::cout << std::string_view(text).substr(printed_);
    std::cout << std::endl;
  }

 private:
  const TokenCodec& codec_;
  std::vector<int64_t> ids_;
  size_t printed_ = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string read_prompt(const std::string& path) {
  if (path != "-") return read_file(path);
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::vector<int64_t> prompt_ids(const Options& options, const models::Archive& archive) {
  const bool goes_on = !options.load_cache.empty();
  if (goes_on && options.prompt.empty() && options.ids.empty()) return {};
  if (options.prompt.empty() == options.ids.empty())
    throw ConfigError("generate: name one of --prompt FILE and --ids 1,2,3");
  if (!options.ids.empty()) {
    if (options.chat) throw ConfigError("--chat goes with --prompt; --ids are fed as they are");
    return parse_ids(options.ids, archive.contract().vocabulary);
  }
  const std::string text = read_prompt(options.prompt);
  if (text.empty()) throw DataError(options.prompt + ": the prompt is empty: there is nothing to read");
  std::vector<int64_t> ids = archive.encode_prompt(text, options.chat);
  if (goes_on) ids.erase(ids.begin(), ids.begin() + std::ssize(archive.codec().prefix()));
  if (ids.empty()) throw DataError(options.prompt + ": the model's tokenizer makes no token of this prompt");
  return ids;
}

double mean_tokens(const memory::CacheUsage& usage) {
  return static_cast<double>(usage.tokens) / static_cast<double>(usage.lengths.size());
}

nlohmann::ordered_json count_json(double value) {
  if (value == std::floor(value)) return static_cast<int64_t>(value);
  return value;
}

/// The row of a saved cache, and the logits [1, vocabulary] after its newest token.
std::pair<memory::RowId, at::Tensor> adopt_cache(const std::string& path, memory::Session& session,
                                                 const models::Archive& archive,
                                                 const memory::CacheIdentity& identity) {
  memory::SavedCache saved = memory::SavedCache::load(path, session.options(), identity);
  if (saved.logits.size(0) != archive.contract().vocabulary) {
    throw DataError(format_text("{}: holds {} logits, the model's vocabulary has {} tokens", path,
                                saved.logits.size(0), archive.contract().vocabulary));
  }
  return {session.adopt(std::move(saved.row)), saved.logits.unsqueeze(0).to(archive.device())};
}

void generate(const Options& options) {
  options.common.apply();
  const c10::Device device = models::parse_device(options.common.device);
  at::set_num_threads(options.common.threads > 0 ? options.common.threads : default_threads());
  const c10::InferenceMode inference;
  ModelConfig model;
  model.archive.value = options.model;
  const auto archive = load_model(model, device);
  const std::vector<int64_t> ids = prompt_ids(options, *archive);
  Policy policy = make_policy(options, *archive);
  policy.identity.emplace(policy.identity.begin(), "model_sha256", archive->sha256());
  policy.identity.emplace_back("chunk_tokens", std::to_string(options.chunk_tokens));
  policy.identity.emplace_back("cpu_capability", memory::cpu_capability());
  const models::Contract& contract = archive->contract();
  memory::SessionOptions session_options;
  session_options.shape = contract.shape;
  session_options.dtype = archive->dtype();
  session_options.device = device;
  session_options.policy = policy.policy;
  session_options.backend = memory::backend(options.backend);
  session_options.protect = policy.protect;
  session_options.positions = policy.positions;
  if (policy.positions == memory::PositionMode::compacted)
    session_options.inverse_frequencies = archive->inverse_frequencies();
  memory::Session session(session_options);
  models::Generator generator(archive, session, {options.chunk_tokens});
  memory::RowId row = 0;
  at::Tensor logits;
  if (options.load_cache.empty()) {
    row = session.add_row();
  } else {
    std::tie(row, logits) = adopt_cache(options.load_cache, session, *archive, policy.identity);
  }
  if (!policy.protect.text.empty()) {
    // What a saved cache read stays marked; the text behind it need not hold the mark again.
    const std::string where = options.prompt.empty() ? "--ids" : options.prompt;
    session.protect(row, options.load_cache.empty()
                             ? models::require_spans(archive->codec(), ids, policy.protect.text, where)
                             : models::find_spans(archive->codec(), ids, policy.protect.text,
                                                  session.tokens_processed(row)));
  }
  const int64_t prompt_tokens = session.tokens_processed(row) + std::ssize(ids);
  if (contract.max_positions > 0 && prompt_tokens + options.max_new_tokens > contract.max_positions) {
    log_warning(format_text(
        "{} prompt and {} new tokens are more than the {} positions that the model claims to support; "
        "nothing is cut, the answer may be poor",
        prompt_tokens, options.max_new_tokens, contract.max_positions));
  }
  auto start = Clock::now();
  if (!ids.empty()) {
    Progress progress("reading the prompt", static_cast<uint64_t>(ids.size()), "tokens");
    const std::vector<std::vector<int64_t>> prompts{ids};
    logits = generator.prefill(std::span(&row, 1), prompts,
                               [&](int64_t done, int64_t) { progress.update(static_cast<uint64_t>(done)); });
  }
  const double prefill_seconds = seconds_since(start);
  const memory::CacheUsage usage = session.usage(row);
  if (!options.save_cache.empty()) {
    memory::SavedCache{session.state(row), logits.squeeze(0), policy.identity}.save(options.save_cache,
                                                                                    session_options);
  }

  std::unique_ptr<Stream> stream;
  if (!options.json && archive->has_codec()) stream = std::make_unique<Stream>(archive->codec());
  start = Clock::now();
  std::vector<int64_t> generated;
  if (options.max_new_tokens > 0) {
    const std::vector<int64_t> stop_ids = options.ignore_eos ? std::vector<int64_t>{} : contract.stop_ids;
    generated = generator
                    .greedy(std::span(&row, 1), logits, std::span(&options.max_new_tokens, 1), stop_ids,
                            [&](size_t, int64_t id, const at::Tensor&) {
                              if (stream) stream->add(id);
                            })
                    .front();
  }
  const double decode_seconds = seconds_since(start);
  const memory::CacheUsage final_usage = session.usage(row);
  if (options.json) {
    nlohmann::ordered_json document;
    document["text"] = nullptr;
    if (archive->has_codec()) document["text"] = replace_invalid_utf8(archive->codec().decode(generated));
    document["ids"] = generated;
    document["prompt_tokens"] = prompt_tokens;
    document["cached_tokens"] = count_json(mean_tokens(usage));
    document["cache_bytes"] = usage.cache_bytes;
    document["excess_tokens"] =
        static_cast<double>(usage.excess_tokens) / static_cast<double>(usage.lengths.size());
    document["prefill_seconds"] = prefill_seconds;
    document["decode_seconds"] = decode_seconds;
    document["policy"] = policy.policy->name();
    document["final_cached_tokens"] = count_json(mean_tokens(final_usage));
    document["final_cache_bytes"] = final_usage.cache_bytes;
    std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return;
  }
  if (stream) {
    stream->finish();
  } else {
    for (size_t i = 0; i < generated.size(); ++i) std::cout << (i == 0 ? "" : ",") << generated[i];
    std::cout << "\n";
  }
  const auto rate = [](double tokens, double seconds) {
    return seconds > 0 ? std::round(tokens / seconds) : 0;
  };
  if (usage.excess_tokens > 0) {
    log_warning(format_text("protected tokens alone are more than the budget: {} tokens a head beyond it",
                            std::round(10 * static_cast<double>(usage.excess_tokens) /
                                       static_cast<double>(usage.lengths.size())) /
                                10));
  }
  log_info(format_text(
      "{}: {} prompt tokens, {} cached a head after them ({} %), {}; read in {} s ({} tokens/s), {} tokens "
      "answered in {} s ({} tokens/s)",
      policy.policy->name(), prompt_tokens, std::round(mean_tokens(usage) * 10) / 10,
      std::round(1000 * mean_tokens(usage) / static_cast<double>(prompt_tokens)) / 10,
      format_bytes(static_cast<uint64_t>(usage.cache_bytes)), std::round(prefill_seconds * 100) / 100,
      rate(static_cast<double>(ids.size()), prefill_seconds), generated.size(),
      std::round(decode_seconds * 100) / 100, rate(static_cast<double>(generated.size()), decode_seconds)));
}

}  // namespace

void add_generate(CLI::App& app, const std::vector<std::string>&, Action& action) {
  auto* command = app.add_subcommand("generate", "Answer one prompt with a memory");
  auto options = std::make_shared<Options>();
  command->add_option("--model", options->model, "Model archive (.pt)")->required();
  command->add_option(
      "--policy", options->policy,
      join(memory::policy_names(), ", ") + " [full; namm or namm-mix where a memory is named]");
  command->add_option("--memory", options->memory,
                      "Memory file, checkpoint or run directory [the shipped memory]");
  command->add_option("--prompt", options->prompt, "File whose bytes are the prompt; - reads standard input");
  command->add_option("--ids", options->ids, "Prompt as token ids, fed as they are: 1,2,3");
  command->add_option("--budget", options->budget,
                      "Cache of the other policies: tokens=N, fraction=F or bytes=B");
  command
      ->add_option("--period-tokens", options->period_tokens,
                   "Tokens between two updates; 0: the memory's, else 512")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command
      ->add_option(
          "--positions", options->positions,
          "original: cached keys keep the rotation of the position they were read at; compacted: what "
          "stays is rotated to consecutive positions [the memory's, else original]")
      ->check(CLI::IsMember({"original", "compacted"}));
  command->add_option("--protect", options->protect,
                      "Tokens that stay under every policy, whatever the budget: "
                      "\"{sinks: N, recent_tokens: N, text: [{from: TEXT, to: TEXT}]}\"");
  command
      ->add_option("--backend", options->backend,
                   "How attention and updates are computed; check runs two and compares them")
      ->check(CLI::IsMember({"auto", "reference", "cpu", "check"}))
      ->capture_default_str();
  command->add_option("--save-cache", options->save_cache,
                      "Write the cache after the prompt to this file (.h5), before the answer");
  command->add_option(
      "--load-cache", options->load_cache,
      "Go on from a saved cache; model, memory, policy and settings must be those it was saved "
      "with. --prompt or --ids, where given, come behind what it has read");
  command->add_option("--max-new-tokens", options->max_new_tokens, "Most tokens of the answer")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--chunk-tokens", options->chunk_tokens, "Most tokens read at once")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the policy random")->capture_default_str();
  command->add_flag("--chat", options->chat, "Wrap the prompt as a user's message");
  command->add_flag("--ignore-eos", options->ignore_eos, "Do not stop at a stop token");
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] { action = [options] { generate(*options); }; });
}

}  // namespace namm::experiments
