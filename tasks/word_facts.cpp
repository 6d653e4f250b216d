#include "tasks/word_facts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "tasks/needle_words.h"

namespace namm::tasks {
namespace {

std::string pick(WordGroup group, RandomStream& random) {
  return std::string(group[random.uniform_int(group.size())]);
}

/// `count` different words of a group.
std::vector<std::string> pick_different(WordGroup group, int64_t count, RandomStream& random) {
  std::vector<std::string> words;
  for (int64_t index : random.sample_without_replacement(static_cast<int64_t>(group.size()), count)) {
    words.emplace_back(group[static_cast<size_t>(index)]);
  }
  return words;
}

/// A fact: its last word is the value.
WordSentence fact(std::vector<std::string> words, RandomStream& random) {
  WordSentence sentence;
  sentence.classes.assign(words.size() + 1, TokenClass::fact);
  sentence.classes[words.size() - 1] = TokenClass::value;
  sentence.words = std::move(words);
  sentence.words.emplace_back(".");
  sentence.place = random.uniform();
  return sentence;
}

void draw_key_values(int64_t count, NeedleFacts& facts, RandomStream& random) {
  for (const std::string& name : pick_different(names(), count, random)) {
    const std::string value = pick(values(), random);
    facts.sentences.push_back(fact({"code", name, value}, random));
    facts.questions.push_back({{"question", "code", name}, {value}});
  }
}

void draw_hops(int64_t count, NeedleFacts& facts, RandomStream& random) {
  const std::vector<std::string> chain = pick_different(names(), 2 * count, random);
  for (size_t i = 0; i < chain.size(); i += 2) {
    const std::string value = pick(values(), random);
    facts.sentences.push_back(fact({"code", chain[i], chain[i + 1]}, random));
    facts.sentences.push_back(fact({"code", chain[i + 1], value}, random));
    facts.questions.push_back({{"question", "alias", chain[i]}, {chain[i + 1], value}});
  }
}

void draw_passages(int64_t count, NeedleFacts& facts, RandomStream& random) {
  std::set<std::vector<std::string>> used;
  for (const std::string& number : pick_different(numbers(), count, random)) {
    std::vector<std::string> words;
    do {
      words = {"passage",
               pick(adjectives(), random),
               pick(nouns(), random),
               pick(verbs(), random),
               pick(adjectives(), random),
               pick(nouns(), random)};
    } while (!used.insert(words).second);
    std::vector<std::string> question = words;
    question.insert(question.begin(), "question");
    words.push_back(number);
    facts.sentences.push_back(fact(std::move(words), random));
    facts.questions.push_back({std::move(question), {number}});
  }
}

void draw_examples(int64_t count, int64_t questions, NeedleFacts& facts, RandomStream& random) {
  const std::vector<std::string> label = pick_different(labels(), category_count, random);
  std::set<size_t> seen;
  for (int64_t i = 0; i < count; ++i) {
    const size_t category = random.uniform_int(category_count);
    seen.insert(category);
    facts.sentences.push_back(fact(
        {"example", pick(adjectives(), random), pick(nouns_of(category), random), label[category]}, random));
  }
  std::vector<size_t> categories(seen.begin(), seen.end());
  random.shuffle(categories);
  std::set<std::vector<std::string>> used;
  for (int64_t i = 0; i < questions; ++i) {
    const size_t category = categories[static_cast<size_t>(i) % categories.size()];
    std::vector<std::string> words;
    do {
      words = {"question", "example", pick(adjectives(), random), pick(nouns_of(category), random)};
    } while (!used.insert(words).second);
    facts.questions.push_back({std::move(words), {label[category]}});
  }
}

void draw_rewritten_keys(int64_t count, int64_t tokens, NeedleFacts& facts, RandomStream& random) {
  static constexpr std::array<int64_t, 4> write_counts = {1, 6, 7, 8};
  static constexpr std::array<int64_t, 3> short_write_counts = {1, 2, 3};
  const bool is_short = tokens < 512;
  const double window = is_short ? 0.5 : 0.2;
  for (int64_t index : random.sample_without_replacement(static_cast<int64_t>(names().size()), count)) {
    const std::string_view key = names()[static_cast<size_t>(index)];
    facts.kept_out.push_back(key);
    const int64_t writes =
        is_short ? short_write_counts[random.uniform_int(3)] : write_counts[random.uniform_int(4)];
    const double start = random.uniform() * (1 - window);
    std::vector<double> places;
    for (int64_t i = 0; i < writes; ++i) places.push_back(start + window * random.uniform());
    std::ranges::sort(places);
    std::string value;
    for (size_t i = 0; i < places.size(); ++i) {
      const std::string old = value;
      while (value == old) value = pick(values(), random);
      WordSentence sentence{{"code", std::string(key), value, "."}, {}, places[i]};
      sentence.classes.assign(4, TokenClass::superseded_fact);
      sentence.classes[2] = TokenClass::old_value;
      facts.sentences.push_back(std::move(sentence));
    }
    WordSentence& latest = facts.sentences.back();
    latest.classes.assign(4, TokenClass::fact);
    latest.classes[2] = TokenClass::value;
    facts.questions.push_back({{"question", "code", std::string(key)}, {value}});
  }
}

}  // namespace

int64_t fact_count(NeedleKind kind, int64_t tokens, double density) {
  struct Size {
    int64_t per_1024, most;
  };
  // At most: the words there are; stale keys leave names for the decoys; examples are bounded by the room
  // alone.
  static constexpr std::array<Size, 5> usual_sizes = {
      {{20, 63}, {10, 31}, {12, 40}, {16, 1 << 20}, {14, 40}}};
  const Size& size = usual_sizes[static_cast<size_t>(kind)];
  const double wanted =
      std::round(static_cast<double>(size.per_1024) * static_cast<double>(tokens) / 1024 * density);
  return static_cast<int64_t>(std::clamp(wanted, 1.0, static_cast<double>(size.most)));
}

NeedleFacts draw_facts(NeedleKind kind, int64_t count, int64_t questions, int64_t tokens,
                       RandomStream& random) {
  NeedleFacts facts;
  switch (kind) {
    case NeedleKind::key_value:
      draw_key_values(count, facts, random);
      break;
    case NeedleKind::hop:
      draw_hops(count, facts, random);
      break;
    case NeedleKind::passage:
      draw_passages(count, facts, random);
      break;
    case NeedleKind::classify:
      draw_examples(count, questions, facts, random);
      break;
    case NeedleKind::stale:
      draw_rewritten_keys(count, tokens, facts, random);
      break;
  }
  random.shuffle(facts.questions);
  if (facts.questions.size() > static_cast<size_t>(questions))
    facts.questions.resize(static_cast<size_t>(questions));
  return facts;
}

std::vector<std::string> draw_noise(double decoys, const std::vector<std::string_view>& kept_out,
                                    RandomStream& random) {
  const auto adjective = [&] { return pick(adjectives(), random); };
  const auto noun = [&] { return pick(nouns(), random); };
  const auto verb = [&] { return pick(verbs(), random); };
  const auto number = [&] { return pick(numbers(), random); };
  const auto name = [&] {
    std::string word;
    do word = pick(names(), random);
    while (std::ranges::find(kept_out, word) != kept_out.end());
    return word;
  };
  // Braced lists draw from left to right.
  const bool is_decoy = random.uniform() < decoys;
  switch ((is_decoy ? 3 : 0) + random.uniform_int(3)) {
    case 0:
      return {"the", adjective(), noun(), verb(), "the", noun(), "."};
    case 1:
      return {"a", noun(), "in", "the", adjective(), noun(), verb(), "to", "the", noun(), "."};
    case 2:
      return {"then", "the", noun(), verb(), "a", adjective(), adjective(), noun(), "."};
    case 3:
      return {name(), verb(), number(), noun(), "."};
    case 4:
      return {"the", noun(), "of", name(), verb(), number(), number(), adjective(), noun(), "."};
    default:
      return {name(), "and", name(), verb(), "the", adjective(), noun(), "."};
  }
}

}  // namespace namm::tasks
