#include "tasks/facts_in_text.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/errors.h"
#include "core/random.h"
#include "core/text.h"
#include "tasks/haystack.h"
#include "tasks/needle.h"
#include "tasks/text/continuation.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

constexpr std::array<std::string_view, 24> place_names = {
    "Paris",  "London", "Tokyo",   "Berlin",  "Madrid",  "Rome",  "Vienna",  "Dublin",
    "Oslo",   "Lisbon", "Prague",  "Warsaw",  "Athens",  "Cairo", "Boston",  "Chicago",
    "Denver", "Dallas", "Seattle", "Houston", "Phoenix", "Miami", "Toronto", "Sydney"};
constexpr std::array<std::string_view, 31> secret_words = {
    "apple",   "banana", "cherry", "lemon",  "orange", "grape",  "peach",  "mango",
    "silver",  "golden", "copper", "purple", "yellow", "rabbit", "tiger",  "eagle",
    "dolphin", "horse",  "guitar", "piano",  "violin", "hammer", "candle", "bottle",
    "window",  "garden", "castle", "bridge", "mirror", "ladder", "pepper"};

constexpr std::string_view kMixedName = "needle/facts";

enum class FactKind : uint8_t { number, word, update };

/// A piece of text that follows other text: leading blank included.
struct Piece {
  std::string text;
  std::vector<int64_t> ids;
  std::vector<TokenClass> classes;  // one per id
};

struct Fact {
  std::vector<std::string> before_value;  // one write, or two where the value changes
  std::vector<std::string> values;
  std::string question;
};

Fact draw_fact(FactKind kind, const std::string& place, RandomStream& random) {
  const auto word = [&] { return std::string(secret_words[random.uniform_int(secret_words.size())]); };
  switch (kind) {
    case FactKind::number: {
      std::string code;
      for (int i = 0; i < 4; ++i) code += static_cast<char>('1' + random.uniform_int(9));
      const std::string start = "The code for " + place + " is";
      return {{start}, {code}, "What is the code for " + place + "?\nAnswer: " + start};
    }
    case FactKind::word: {
      const std::string start = "The secret word of " + place + " is";
      return {{start}, {word()}, "What is the secret word of " + place + "?\nAnswer: " + start};
    }
    case FactKind::update:
      break;
  }
  const std::string start = "The secret word of " + place + " is";
  const std::string old = word();
  std::string latest;
  do latest = word();
  while (latest == old);
  return {{start, start + " now"},
          {old, latest},
          "What is the current secret word of " + place + "?\nAnswer: " + start + " now"};
}

Piece filler(std::string text, const TokenCodec& codec) {
  Piece piece{std::move(text), {}, {}};
  piece.ids = encode_continuation(codec, piece.text);
  piece.classes.assign(piece.ids.size(), TokenClass::noise);
  return piece;
}

Piece write(const std::string& start, const std::string& value, bool is_latest, const TokenCodec& codec) {
  Piece piece = filler(" " + start + " " + value + ".", codec);
  piece.classes.assign(piece.ids.size(), is_latest ? TokenClass::fact : TokenClass::superseded_fact);
  const size_t value_begin = encode_continuation(codec, " " + start).size();
  const size_t value_end = encode_continuation(codec, " " + start + " " + value).size();
  for (size_t i = value_begin; i < std::min(value_end, piece.classes.size()); ++i) {
    piece.classes[i] = is_latest ? TokenClass::value : TokenClass::old_value;
  }
  return piece;
}

/// The end of `sentence` that is exactly `room` tokens long at the beginning of a prompt: cut between words
/// if possible, else between characters; nothing where no cut fits.
std::optional<Piece> fragment(const std::string& sentence, int64_t room, bool inside_words,
                              const TokenCodec& codec) {
  const Text text = decode_utf8(sentence);
  for (size_t start = 0; start < text.size(); ++start) {
    if (!inside_words && start > 0 && text[start - 1] != U' ') continue;
    if (text[start] == U' ') continue;
    Piece piece{encode_utf8(TextView(text).substr(start)), {}, {}};
    piece.ids = codec.encode(piece.text);
    if (std::ssize(piece.ids) < room) break;
    if (std::ssize(piece.ids) > room) continue;
    piece.classes.assign(piece.ids.size(), TokenClass::noise);
    return piece;
  }
  return std::nullopt;
}

class FactsInTextTask : public Task {
 public:
  FactsInTextTask(const std::string& name, const TaskConfig& config)
      : config_(config), haystack_(Haystack::open(config.haystack.value)) {
    if (name != kMixedName) config_.fact_kind = name.substr(kMixedName.size() + 1);
    info_.name = name;
    info_.metric = "exact";
    info_.language = "en";
  }

  const TaskInfo& info() const override { return info_; }
  std::optional<int64_t> count(Split) const override { return std::nullopt; }
  Sample sample(Split split, int64_t id, const TokenCodec& codec) const override;

  std::optional<double> score(const std::string& prediction, const Question& question) const override {
    return best_exact_prefix(prediction, question.answers);
  }

 private:
  FactKind kind_of(size_t fact) const {
    if (config_.fact_kind == "number") return FactKind::number;
    if (config_.fact_kind == "word") return FactKind::word;
    if (config_.fact_kind == "update") return FactKind::update;
    return static_cast<FactKind>(fact % 3);
  }

  /// Consecutive sentences of exactly `room` tokens from a random place on; the first is the end of one.
  std::vector<Piece> fill(int64_t room, Split split, const TokenCodec& codec, RandomStream& random) const;

  TaskConfig config_;
  TaskInfo info_;
  Haystack haystack_;
};

std::vector<Piece> FactsInTextTask::fill(int64_t room, Split split, const TokenCodec& codec,
                                         RandomStream& random) const {
  const std::vector<Haystack::Document>& documents = haystack_.documents(split);
  const Haystack::Document& document = documents[random.uniform_int(documents.size())];
  size_t next = random.uniform_int(document.size());
  const size_t first = next;
  const auto sentence = [&] { return document[next++ % document.size()]; };

  std::vector<Piece> pieces(1);  // the fragment goes here
  for (;;) {
    Piece piece = filler(" " + sentence(), codec);
    if (std::ssize(piece.ids) >= room) break;  // at least one token stays for the fragment
    room -= std::ssize(piece.ids);
    pieces.push_back(std::move(piece));
  }
  // The sentences just before the first one give the beginning, so that the text reads on where it can.
  for (bool inside_words : {false, true}) {
    for (size_t back = 1; back <= document.size(); ++back) {
      const std::string& source = document[(first + document.size() * 2 - back) % document.size()];
      if (std::optional<Piece> piece = fragment(source, room, inside_words, codec)) {
        pieces.front() = std::move(*piece);
        return pieces;
      }
    }
  }
  throw ConfigError(format_text(
      "{}: no piece of the haystack is exactly {} tokens long with this tokenizer: choose another "
      "context_tokens",
      info_.name, room));
}

Sample FactsInTextTask::sample(Split split, int64_t id, const TokenCodec& codec) const {
  if (id < 0) throw ConfigError(format_text("{}: sample {} does not exist", info_.name, id));
  const std::string purpose = info_.name + "/" + std::string(split_name(split));
  RandomStream random({.seed = config_.seed, .purpose = purpose, .sample = static_cast<uint64_t>(id)});

  const auto fact_count = static_cast<size_t>(config_.facts_per_context);
  const std::vector<int64_t> places =
      random.sample_without_replacement(std::ssize(place_names), config_.facts_per_context);
  std::vector<Fact> facts;
  std::vector<std::vector<Piece>> writes(fact_count);
  int64_t fact_tokens = 0;
  for (size_t i = 0; i < fact_count; ++i) {
    const std::string place(place_names[static_cast<size_t>(places[i])]);
    facts.push_back(draw_fact(kind_of(i), place, random));
    const Fact& fact = facts.back();
    for (size_t w = 0; w < fact.values.size(); ++w) {
      writes[i].push_back(write(fact.before_value[w], fact.values[w], w + 1 == fact.values.size(), codec));
      fact_tokens += std::ssize(writes[i].back().ids);
    }
  }
  const std::vector<int64_t> prefix = codec.prefix();
  const int64_t room = config_.context_tokens - std::ssize(prefix) - fact_tokens;
  if (room < 1) {
    throw ConfigError(
        format_text("{}: {} facts take {} tokens, more than context_tokens = {}: lower facts_per_context or "
                    "raise context_tokens",
                    info_.name, fact_count, fact_tokens, config_.context_tokens));
  }

  // A fact stands behind a random sentence (never before the first, a fragment), the later write of a fact
  // behind the earlier.
  std::vector<Piece> text = fill(room, split, codec, random);
  std::vector<std::vector<const Piece*>> behind(text.size());
  for (std::vector<Piece>& fact : writes) {
    std::vector<size_t> slots;
    for (size_t w = 0; w < fact.size(); ++w) slots.push_back(random.uniform_int(text.size()));
    std::ranges::sort(slots);
    for (size_t w = 0; w < fact.size(); ++w) behind[slots[w]].push_back(&fact[w]);
  }

  Sample sample;
  sample.id = id;
  sample.split = split;
  sample.context_ids = prefix;
  sample.prefix_tokens = std::ssize(prefix);
  sample.token_class.assign(prefix.size(), TokenClass::special);
  const auto append = [&](const Piece& piece) {
    sample.context += piece.text;
    sample.context_ids.insert(sample.context_ids.end(), piece.ids.begin(), piece.ids.end());
    sample.token_class.insert(sample.token_class.end(), piece.classes.begin(), piece.classes.end());
  };
  for (size_t i = 0; i < text.size(); ++i) {
    append(text[i]);
    for (const Piece* fact : behind[i]) append(*fact);
  }
  sample.length = std::ssize(split_on_space(decode_utf8(sample.context)));
  sample.original_tokens = config_.context_tokens;

  random.shuffle(facts);
  facts.resize(std::min(facts.size(), static_cast<size_t>(config_.questions_per_context)));
  for (const Fact& fact : facts) {
    Question question;
    question.text = "\n\nQuestion: " + fact.question;
    question.ids = encode_continuation(codec, question.text);
    question.answers = {fact.values.back()};
    question.target = " " + fact.values.back();
    question.target_ids = encode_continuation(codec, question.target);
    // One more: a model that goes on with digits or letters has not given the answer.
    question.generation_tokens = std::ssize(question.target_ids) + 1;
    sample.questions.push_back(std::move(question));
  }
  return sample;
}

}  // namespace

std::vector<std::string> facts_in_text_names() {
  std::vector<std::string> names{std::string(kMixedName)};
  for (const char* kind : {"number", "word", "update"}) names.push_back(names.front() + "_" + kind);
  return names;
}

std::unique_ptr<Task> make_facts_in_text_task(const std::string& name, const TaskConfig& config) {
  return std::make_unique<FactsInTextTask>(name, config);
}

}  // namespace namm::tasks
