#include "tasks/needle.h"

#include <algorithm>

#include "core/errors.h"
#include "core/text.h"
#include "tasks/text/continuation.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

/// Text of words that continues a prompt: a blank before each.
std::string continuing(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += " " + word;
  return text;
}

class NeedleTask : public Task {
 public:
  NeedleTask(NeedleKind kind, const TaskConfig& config) : kind_(kind), config_(config) {
    info_.name = needle_name(kind);
    info_.metric = "exact";
    info_.language = "en";
    facts_ = fact_count(kind, config.context_tokens, config.density);
  }

  const TaskInfo& info() const override { return info_; }
  std::optional<int64_t> count(Split) const override { return std::nullopt; }
  Sample sample(Split split, int64_t id, const TokenCodec& codec) const override;

  std::optional<double> score(const std::string& prediction, const Question& question) const override {
    return best_exact_prefix(prediction, question.answers);
  }

 private:
  std::vector<WordSentence> fill(int64_t room, const NeedleFacts& facts, const TokenCodec& codec,
                                 ContinuationCache& ids, RandomStream& random) const;

  NeedleKind kind_;
  TaskConfig config_;
  TaskInfo info_;
  int64_t facts_;
};

/// Ids of word `i` of a sentence; the very first word of a prompt has no blank before it.
std::vector<int64_t> word_ids(const std::vector<std::string>& words, size_t i, bool at_start,
                              const TokenCodec& codec, ContinuationCache& ids) {
  return at_start && i == 0 ? codec.encode(words[i]) : ids(" " + words[i]);
}

int64_t cost(const std::vector<std::string>& words, bool at_start, const TokenCodec& codec,
             ContinuationCache& ids) {
  int64_t tokens = 0;
  for (size_t i = 0; i < words.size(); ++i) tokens += std::ssize(word_ids(words, i, at_start, codec, ids));
  return tokens;
}

/// Noise of exactly `room` tokens, evenly placed, the first sentence before everything else; the last one is
/// cut from the front to fit.
std::vector<WordSentence> NeedleTask::fill(int64_t room, const NeedleFacts& facts, const TokenCodec& codec,
                                           ContinuationCache& ids, RandomStream& random) const {
  std::vector<WordSentence> noise;
  while (room > 0) {
    std::vector<std::string> words = draw_noise(config_.decoys, facts.kept_out, random);
    while (!words.empty() && cost(words, noise.empty(), codec, ids) > room) words.erase(words.begin());
    if (words.empty()) break;  // not even a full stop fits
    room -= cost(words, noise.empty(), codec, ids);
    noise.push_back({words, std::vector(words.size(), TokenClass::noise), 0});
  }
  for (size_t i = 1; i < noise.size(); ++i) {
    noise[i].place = (static_cast<double>(i) + 0.5) / static_cast<double>(noise.size());
  }
  return noise;
}

/// Puts the sentences of `sample.context` one after another.
void assemble(std::vector<WordSentence> sentences, const TokenCodec& codec, ContinuationCache& ids,
              Sample& sample) {
  std::ranges::stable_sort(sentences, {}, &WordSentence::place);
  sample.context_ids = codec.prefix();
  sample.prefix_tokens = std::ssize(sample.context_ids);
  sample.token_class.assign(sample.context_ids.size(), TokenClass::special);
  for (const WordSentence& sentence : sentences) {
    for (size_t i = 0; i < sentence.words.size(); ++i) {
      const bool at_start = sample.context.empty();
      const std::vector<int64_t> tokens = word_ids(sentence.words, i, at_start, codec, ids);
      sample.context += (at_start ? "" : " ") + sentence.words[i];
      sample.context_ids.insert(sample.context_ids.end(), tokens.begin(), tokens.end());
      sample.token_class.insert(sample.token_class.end(), tokens.size(), sentence.classes[i]);
    }
  }
}

Sample NeedleTask::sample(Split split, int64_t id, const TokenCodec& codec) const {
  if (id < 0) throw ConfigError(format_text("{}: sample {} does not exist", info_.name, id));
  Sample sample;
  sample.id = id;
  sample.split = split;

  const std::string purpose = info_.name + "/" + std::string(split_name(split));
  RandomStream random({.seed = config_.seed, .purpose = purpose, .sample = static_cast<uint64_t>(id)});
  const NeedleFacts facts =
      draw_facts(kind_, facts_, config_.questions_per_context, config_.context_tokens, random);

  ContinuationCache ids(codec);
  int64_t fact_tokens = 0;
  for (const WordSentence& sentence : facts.sentences) fact_tokens += cost(sentence.words, false, codec, ids);
  const int64_t room = config_.context_tokens - std::ssize(codec.prefix()) - fact_tokens;
  if (room < 0) {
    throw ConfigError(
        format_text("{}: the facts of sample {} take {} tokens, more than context_tokens = {}: lower density "
                    "or raise context_tokens",
                    info_.name, id, fact_tokens, config_.context_tokens));
  }
  std::vector<WordSentence> sentences = fill(room, facts, codec, ids, random);
  sentences.insert(sentences.end(), facts.sentences.begin(), facts.sentences.end());
  assemble(std::move(sentences), codec, ids, sample);
  if (std::ssize(sample.context_ids) != config_.context_tokens) {
    throw ConfigError(
        format_text("{}: sample {} cannot be made of exactly {} tokens with this tokenizer: choose another "
                    "context_tokens",
                    info_.name, id, config_.context_tokens));
  }
  sample.length = static_cast<int64_t>(std::ranges::count(sample.context, ' ')) + 1;
  sample.original_tokens = config_.context_tokens;

  for (const WordQuestion& asked : facts.questions) {
    Question question;
    question.text = continuing(asked.words);
    question.ids = encode_continuation(codec, question.text);
    question.answers = {join(asked.answer, " ")};
    question.target = continuing(asked.answer);
    question.target_ids = encode_continuation(codec, question.target);
    question.generation_tokens = std::ssize(question.target_ids);
    sample.questions.push_back(std::move(question));
  }
  return sample;
}

}  // namespace

std::unique_ptr<Task> make_needle_task(NeedleKind kind, const TaskConfig& config) {
  return std::make_unique<NeedleTask>(kind, config);
}

std::string needle_name(NeedleKind kind) {
  switch (kind) {
    case NeedleKind::key_value:
      return "needle/key_value";
    case NeedleKind::hop:
      return "needle/hop";
    case NeedleKind::passage:
      return "needle/passage";
    case NeedleKind::classify:
      return "needle/classify";
    case NeedleKind::stale:
      return "needle/stale";
  }
  return "";
}

double exact_prefix(const std::string& prediction, const std::string& answer) {
  const auto flat = [](std::string_view text) {
    Text result;
    for (const Text& word : split_on_space(decode_utf8(text))) result += (result.empty() ? U"" : U" ") + word;
    return result;
  };
  const Text given = flat(prediction), wanted = flat(answer);
  if (wanted.empty() || !given.starts_with(wanted)) return 0;
  const bool goes_on = given.size() > wanted.size() && is_word_character(given[wanted.size()]);
  return goes_on ? 0 : 1;
}

double best_exact_prefix(const std::string& prediction, const std::vector<std::string>& answers) {
  double best = 0;
  for (const std::string& answer : answers) best = std::max(best, exact_prefix(prediction, answer));
  return best;
}

}  // namespace namm::tasks
