#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/random.h"
#include "tasks/task.h"

namespace namm::tasks {

/// The five word tasks. Each puts facts among noise and decoys:
///
///     key_value   code amber paris .                       question code amber           -> paris
///     hop         code amber birch . code birch paris .    question alias amber          -> birch paris
///     passage     passage w w w w w 17 .                   question passage w w w w w    -> 17
///     classify    example old dog kappa .                  question example new cat      -> kappa
///     stale       code amber oslo . .. code amber rome .   question code amber           -> rome
enum class NeedleKind : uint8_t { key_value, hop, passage, classify, stale };

/// Words of one sentence, full stop included, and where it belongs in the context.
struct WordSentence {
  std::vector<std::string> words;
  std::vector<TokenClass> classes;  ///< one a word
  double place = 0;                 ///< in [0, 1): sentences are ordered by it
};

struct WordQuestion {
  std::vector<std::string> words, answer;
};

/// What must stand in a context and what can be asked about it.
struct NeedleFacts {
  std::vector<WordSentence> sentences;
  std::vector<WordQuestion> questions;     ///< in random order, no two the same
  std::vector<std::string_view> kept_out;  ///< names that must not occur in the noise
};

/// Number of facts (chains, keys, examples) of a context of `tokens`: the usual number per 1,024 tokens times
/// `density`, at least one, at most what the words allow.
int64_t fact_count(NeedleKind kind, int64_t tokens, double density);

/// Draws `count` facts and `questions` questions about them (fewer where fewer different ones exist).
/// `tokens` is the context's length: short contexts have fewer writes of a stale key.
NeedleFacts draw_facts(NeedleKind kind, int64_t count, int64_t questions, int64_t tokens,
                       RandomStream& random);

/// One sentence of filler; with probability `decoys` one that has names and numbers in it.
std::vector<std::string> draw_noise(double decoys, const std::vector<std::string_view>& kept_out,
                                    RandomStream& random);

}  // namespace namm::tasks
