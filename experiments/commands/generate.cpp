#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <tuple>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/text.h"
#include "experiments/answer_text.h"
#include "experiments/chunk_tokens.h"
#include "experiments/commands/command.h"
#include "experiments/forgotten_text.h"
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
  std::string questions;
  std::string color = "auto";
  std::vector<std::string> stop_texts;
  models::SamplingOptions sampling;
  std::string save_cache;
  std::string load_cache;
  int64_t period_tokens = 0;
  int64_t max_new_tokens = 64;
  int64_t chunk_tokens = kChunkTokens;
  uint64_t seed = 1;
  bool chat = false;
  bool ignore_eos = false;
  bool show_forgotten = false;
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
  std::optional<memory::Budget> budget;  ///< where the policy has one
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
  if (!memory::takes_budget(name) && !options.budget.empty()) {
    throw ConfigError(
        format_text("--budget {}: policy {} takes none; leave it out, or name one that does (--policy)",
                    options.budget, name));
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
  if (memory::takes_budget(name)) {
    result.budget = arguments.budget;
    result.identity.emplace_back("budget", arguments.budget.text());
  }
  for (const auto& entry : write_config(arguments.config).entries) {
    // A seed that decides nothing may be another one.
    if (entry.key == "seed" && !memory::draws(name)) continue;
    if (entry.key != "file") result.identity.emplace_back("memory." + entry.key, to_flow_yaml(entry.value));
  }
  return result;
}

/// Most bytes of keys and values that reading `tokens` takes; none where the policy itself, or what is
/// protected, decides how much.
std::optional<int64_t> predicted_cache_bytes(const Policy& policy, const memory::SessionOptions& options,
                                             int64_t tokens) {
  const int64_t token_bytes = memory::token_bytes(options);
  const memory::TransformerShape& shape = options.shape;
  if (policy.policy->name() == "full") return tokens * shape.layers * shape.kv_heads * token_bytes;
  if (!policy.budget || policy.protect != memory::Protection()) return std::nullopt;
  return token_bytes * memory::most_tokens(*policy.budget, shape, policy.policy->schedule().period_tokens,
                                           tokens, token_bytes);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string read_prompt(const std::string& path) {
  if (path != "-") return read_file(path);
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

/// What is read before the answers.
struct Prompt {
  std::vector<int64_t> ids;                 ///< of the prompt, or of the context of all questions
  std::vector<std::string> questions;       ///< none: the prompt itself is answered
  std::vector<std::vector<int64_t>> asked;  ///< ids of each question
};

std::vector<std::string> read_questions(const std::string& path) {
  std::vector<std::string> questions;
  for (const auto& line : split(read_prompt(path), '\n')) {
    if (const auto question = trim(line); !question.empty()) questions.emplace_back(question);
  }
  if (questions.empty()) throw DataError(path + ": there is no question in it; one stands in each line");
  return questions;
}

Prompt read_prompts(const Options& options, const models::Archive& archive) {
  Prompt prompt;
  const bool goes_on = !options.load_cache.empty();
  if (options.prompt.empty() && options.ids.empty() && !goes_on)
    throw ConfigError("generate: name one of --prompt FILE and --ids 1,2,3");
  if (!options.prompt.empty() && !options.ids.empty())
    throw ConfigError("generate: --prompt and --ids exclude each other");
  if (options.chat && options.prompt.empty())
    throw ConfigError("--chat goes with --prompt; --ids are fed as they are");
  const bool asks = !options.questions.empty();
  const auto& contract = archive.contract();
  if (!options.ids.empty()) prompt.ids = parse_ids(options.ids, contract.vocabulary);
  if (!options.prompt.empty()) {
    const std::string text = read_prompt(options.prompt);
    if (text.empty()) throw DataError(options.prompt + ": the prompt is empty: there is nothing to read");
    // A chat form is opened before the context and closed behind each question.
    if (goes_on && !options.chat) {
      prompt.ids = archive.codec().encode_continued(text);
    } else {
      prompt.ids =
          asks && options.chat ? archive.encode_chat_begin(text) : archive.encode_prompt(text, options.chat);
      if (goes_on)
        prompt.ids.erase(prompt.ids.begin(), prompt.ids.begin() + std::ssize(archive.codec().prefix()));
    }
    if (prompt.ids.empty())
      throw DataError(options.prompt + ": the model's tokenizer makes no token of this prompt");
  }
  if (!asks) return prompt;
  prompt.questions = read_questions(options.questions);
  for (const std::string& question : prompt.questions) {
    prompt.asked.push_back(options.chat ? archive.encode_chat_end(question)
                                        : archive.codec().encode_continued(question));
    if (prompt.asked.back().empty())
      throw DataError(options.questions + ": the model's tokenizer makes no token of \"" + question + "\"");
  }
  return prompt;
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

memory::SessionOptions session_options_of(const Options& options, const models::Archive& archive,
                                          const Policy& policy) {
  memory::SessionOptions result;
  result.shape = archive.contract().shape;
  result.dtype = archive.dtype();
  result.device = archive.device();
  result.policy = policy.policy;
  result.backend = memory::backend(options.backend);
  result.protect = policy.protect;
  result.positions = policy.positions;
  if (policy.positions == memory::PositionMode::compacted)
    result.inverse_frequencies = archive.inverse_frequencies();
  return result;
}

void protect_marked_text(const Options& options, const Policy& policy, const models::Archive& archive,
                         memory::Session& session, memory::RowId row, const std::vector<int64_t>& ids) {
  const auto& marks = policy.protect.text;
  if (marks.empty()) return;
  for (const memory::MarkedText& mark : marks) {
    if (options.load_cache.empty() || mark.to.empty()) continue;
    const std::string text = archive.codec().decode(ids, /*skip_special=*/false);
    if (text.find(mark.to) >= text.find(mark.from)) continue;
    log_warning(format_text(
        "--protect: \"{}\" stands here without its beginning: where the saved cache ends within the "
        "stretch, what follows is not protected; save a cache behind the whole stretch",
        mark.to));
  }
  // What a saved cache read stays marked; the text behind it need not hold the mark again.
  const std::string where = options.prompt.empty() ? "--ids" : options.prompt;
  session.protect(row, options.load_cache.empty()
                           ? models::require_spans(archive.codec(), ids, marks, where)
                           : models::find_spans(archive.codec(), ids, marks, session.tokens_processed(row)));
}

void warn_of_positions(const models::Contract& contract, int64_t prompt_tokens, int64_t new_tokens) {
  if (contract.max_positions == 0 || prompt_tokens + new_tokens <= contract.max_positions) return;
  log_warning(format_text(
      "{} prompt and {} new tokens are more than the {} positions that the model claims to support; "
      "nothing is cut, the answer may be poor",
      prompt_tokens, new_tokens, contract.max_positions));
}

bool wants_color(const std::string& color) {
  if (color != "auto") return color == "always";
  return isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
}

struct Answer {
  std::vector<int64_t> ids;
  std::optional<AnswerText> text;  ///< where the model has a tokenizer
};

/// All answers, side by side, the first one printed as it comes where `prints`.
std::vector<Answer> answer(const Options& options, const models::Archive& archive,
                           models::Generator& generator, const std::vector<memory::RowId>& rows,
                           const at::Tensor& logits, bool prints) {
  std::vector<Answer> answers(rows.size());
  for (Answer& one : answers) {
    if (!archive.has_codec()) continue;
    one.text.emplace(archive.codec(), options.stop_texts, [prints](std::string_view text) {
      if (prints) std::cout << text << std::flush;
    });
  }
  if (options.max_new_tokens == 0) return answers;
  std::optional<Progress> progress;
  if (rows.size() > 1)
    progress.emplace("answering", rows.size() * static_cast<uint64_t>(options.max_new_tokens), "tokens");
  const std::vector<int64_t> limits(rows.size(), options.max_new_tokens);
  const std::vector<int64_t> stop_ids =
      options.ignore_eos ? std::vector<int64_t>{} : archive.contract().stop_ids;
  auto ids = generator.generate(rows, logits, limits, stop_ids, models::Sampler(options.sampling),
                                [&](size_t row, int64_t id, const at::Tensor&) {
                                  if (progress) progress->advance();
                                  const bool goes_on = !answers[row].text || answers[row].text->add(id);
                                  return goes_on && !interrupt_requested();
                                });
  for (size_t i = 0; i < ids.size(); ++i) {
    answers[i].ids = std::move(ids[i]);
    if (answers[i].text) answers[i].text->finish();
  }
  return answers;
}

nlohmann::ordered_json answer_json(const Answer& answer) {
  nlohmann::ordered_json entry;
  entry["text"] = nullptr;
  if (answer.text) entry["text"] = replace_invalid_utf8(answer.text->text());
  entry["ids"] = answer.ids;
  return entry;
}

void print_answers(const Prompt& prompt, const std::vector<Answer>& answers) {
  const auto print_ids = [](const std::vector<int64_t>& ids) {
    for (size_t i = 0; i < ids.size(); ++i) std::cout << (i == 0 ? "" : ",") << ids[i];
  };
  if (prompt.questions.empty()) {
    if (!answers.front().text) print_ids(answers.front().ids);
    std::cout << "\n";
    return;
  }
  for (size_t i = 0; i < answers.size(); ++i)
    std::cout << "> " << prompt.questions[i] << "\n" << trim(answers[i].text->text()) << "\n\n";
}

void generate(const Options& options) {
  options.common.apply();
  const c10::Device device = models::parse_device(options.common.device);
  at::set_num_threads(options.common.threads > 0 ? options.common.threads : default_threads());
  const c10::InferenceMode inference;
  ModelConfig model;
  model.archive.value = options.model;
  const auto archive = load_model(model, device);
  if (!archive->has_codec() && (!options.stop_texts.empty() || options.show_forgotten))
    archive->codec();  // says that there is none
  if (options.show_forgotten && !options.load_cache.empty()) {
    throw ConfigError(
        "--show-forgotten shows the text of this command; what a saved cache has read is not in its file");
  }
  const Prompt prompt = read_prompts(options, *archive);
  Policy policy = make_policy(options, *archive);
  policy.identity.emplace(policy.identity.begin(), "model_sha256", archive->sha256());
  policy.identity.emplace_back("chunk_tokens", std::to_string(options.chunk_tokens));
  policy.identity.emplace_back("cpu_capability", memory::cpu_capability());
  const memory::SessionOptions session_options = session_options_of(options, *archive, policy);
  memory::Session session(session_options);
  models::Generator generator(archive, session, {options.chunk_tokens});
  memory::RowId row = 0;
  at::Tensor logits;
  if (options.load_cache.empty()) {
    row = session.add_row();
  } else {
    std::tie(row, logits) = adopt_cache(options.load_cache, session, *archive, policy.identity);
  }
  protect_marked_text(options, policy, *archive, session, row, prompt.ids);
  const int64_t prompt_tokens = session.tokens_processed(row) + std::ssize(prompt.ids);
  int64_t longest_question = 0;
  for (const auto& ids : prompt.asked) longest_question = std::max(longest_question, std::ssize(ids));
  warn_of_positions(archive->contract(), prompt_tokens + longest_question, options.max_new_tokens);
  install_interrupt_handlers();
  auto start = Clock::now();
  if (!prompt.ids.empty()) {
    Progress progress("reading the prompt", static_cast<uint64_t>(prompt.ids.size()), "tokens");
    const std::vector<std::vector<int64_t>> prompts{prompt.ids};
    logits = generator.prefill(std::span(&row, 1), prompts, [&](int64_t done, int64_t) {
      progress.update(static_cast<uint64_t>(done));
      check_interrupt();
    });
  }
  const double prefill_seconds = seconds_since(start);
  const memory::CacheUsage usage = session.usage(row);
  const std::optional<int64_t> predicted = predicted_cache_bytes(policy, session_options, prompt_tokens);
  if (!options.save_cache.empty()) {
    memory::SavedCache{session.state(row), logits.squeeze(0), policy.identity}.save(options.save_cache,
                                                                                    session_options);
  }
  std::vector<double> held;
  if (options.show_forgotten) held = held_shares(session, row);
  if (options.show_forgotten && !options.json) {
    std::cout << mark_forgotten(archive->codec(), prompt.ids, held, wants_color(options.color)) << "\n\n"
              << std::flush;
  }

  start = Clock::now();
  std::vector<memory::RowId> rows{row};
  if (!prompt.asked.empty()) {
    rows.clear();
    for (size_t i = 0; i < prompt.asked.size(); ++i)
      rows.push_back(session.fork(row, 0, static_cast<int64_t>(i)));
    logits = generator.prefill(rows, prompt.asked);
  }
  const std::vector<Answer> answers = answer(options, *archive, generator, rows, logits,
                                             /*prints=*/!options.json && prompt.questions.empty());
  const double decode_seconds = seconds_since(start);
  int64_t answered_tokens = 0;
  for (const Answer& one : answers) answered_tokens += std::ssize(one.ids);
  if (options.json) {
    nlohmann::ordered_json document;
    if (prompt.questions.empty()) {
      document = answer_json(answers.front());
    } else {
      document["answers"] = nlohmann::ordered_json::array();
      for (size_t i = 0; i < answers.size(); ++i) {
        auto entry = answer_json(answers[i]);
        entry["question"] = prompt.questions[i];
        document["answers"].push_back(std::move(entry));
      }
    }
    document["prompt_tokens"] = prompt_tokens;
    document["cached_tokens"] = count_json(mean_tokens(usage));
    document["cache_bytes"] = usage.cache_bytes;
    document["peak_cache_bytes"] = usage.peak_cache_bytes;
    document["predicted_peak_cache_bytes"] = predicted ? nlohmann::ordered_json(*predicted) : nullptr;
    document["peak_record_bytes"] = usage.peak_record_bytes;
    document["excess_tokens"] =
        static_cast<double>(usage.excess_tokens) / static_cast<double>(usage.lengths.size());
    document["prefill_seconds"] = prefill_seconds;
    document["decode_seconds"] = decode_seconds;
    document["policy"] = policy.policy->name();
    if (rows.size() == 1) {
      const memory::CacheUsage final_usage = session.usage(rows.front());
      document["final_cached_tokens"] = count_json(mean_tokens(final_usage));
      document["final_cache_bytes"] = final_usage.cache_bytes;
    }
    if (options.show_forgotten) document["held"] = held;
    document["interrupted"] = interrupt_requested();
    std::cout << document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  } else {
    print_answers(prompt, answers);
    std::cout << std::flush;
  }
  if (interrupt_requested()) throw Interrupted("stopped; what was answered until then stands above");
  if (options.json) return;
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
      "{}: {} prompt tokens, {} cached a head after them ({} %), {}, at most {}{}; read in {} s ({} "
      "tokens/s), {} tokens "
      "answered in {} s ({} tokens/s)",
      policy.policy->name(), prompt_tokens, std::round(mean_tokens(usage) * 10) / 10,
      std::round(1000 * mean_tokens(usage) / static_cast<double>(prompt_tokens)) / 10,
      format_bytes(static_cast<uint64_t>(usage.cache_bytes)),
      format_bytes(static_cast<uint64_t>(usage.peak_cache_bytes)),
      predicted ? format_text(" (predicted: {})", format_bytes(static_cast<uint64_t>(*predicted))) : "",
      std::round(prefill_seconds * 100) / 100, rate(static_cast<double>(prompt.ids.size()), prefill_seconds),
      answered_tokens, std::round(decode_seconds * 100) / 100,
      rate(static_cast<double>(answered_tokens), decode_seconds)));
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
  command->add_option("--questions", options->questions,
                      "File with a question in each line: all are answered from one reading of the prompt; - "
                      "reads standard input");
  command
      ->add_option("--temperature", options->sampling.temperature,
                   "Of sampling; 0: the most likely token each time")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-k", options->sampling.top_k, "Sample from the K most likely tokens; 0: all")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  command
      ->add_option("--top-p", options->sampling.top_p,
                   "Sample from the most likely tokens that together reach this probability")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  command
      ->add_option("--stop", options->stop_texts,
                   "The answer ends before this text; may be given more than once")
      ->take_all()
      ->allow_extra_args(false);
  command->add_flag("--show-forgotten", options->show_forgotten,
                    "Mark what the heads have forgotten of the prompt: colours on a terminal, else [-text-] "
                    "around what no head holds; with --json the share of heads that hold each token");
  command->add_option("--color", options->color, "Of --show-forgotten")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of sampling and of the policy random")->capture_default_str();
  command->add_flag("--chat", options->chat, "Wrap the prompt as a user's message");
  command->add_flag("--ignore-eos", options->ignore_eos, "Do not stop at a stop token");
  add_json_option(*command, options->json);
  add_common_options(*command, options->common);
  command->callback([options, &action] {
    options->sampling.seed = options->seed;
    action = [options] { generate(*options); };
  });
}

}  // namespace namm::experiments
