#include "tasks/text/truncation.h"

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {

std::vector<int64_t> cut_middle(const std::vector<int64_t>& ids, int64_t limit) {
  if (std::ssize(ids) <= limit) return ids;
  const int64_t half = limit / 2;
  std::vector<int64_t> result(ids.begin(), ids.begin() + half);
  result.insert(result.end(), ids.end() - half, ids.end());
  return result;
}

TruncatedPrompt truncate_prompt(const TokenCodec& codec, const std::string& text, int64_t limit,
                                Truncation rule, int64_t generation_tokens) {
  const std::vector<int64_t> prefix = codec.prefix();
  std::vector<int64_t> ids = codec.encode(text);
  TruncatedPrompt prompt{text, false, std::ssize(ids) + std::ssize(prefix)};
  if (limit == 0) return prompt;

  const bool leaves_answer = rule == Truncation::released;
  const int64_t allowed = leaves_answer ? limit - generation_tokens : limit;
  if (allowed < 2) {
    throw ConfigError(format_text(
        "max_prompt_tokens = {}: no room for a prompt{}", limit,
        leaves_answer ? format_text(" beside an answer of {} tokens", generation_tokens) : std::string()));
  }
  if (!leaves_answer) ids.insert(ids.begin(), prefix.begin(), prefix.end());
  if (std::ssize(ids) <= allowed) return prompt;

  const int64_t half = allowed / 2;
  prompt.truncated = true;
  if (rule == Truncation::infinitebench) {
    ids.erase(ids.begin() + half, ids.end() - (allowed - half));
    prompt.text = replace_invalid_utf8(codec.decode(ids, true));
    return prompt;
  }
  // Where the cut goes through a character, each half has a beginning or an end that is none.
  const std::vector<int64_t> kept = cut_middle(ids, allowed);
  prompt.text = replace_invalid_utf8(codec.decode({kept.begin(), kept.begin() + half}, true)) +
                replace_invalid_utf8(codec.decode({kept.begin() + half, kept.end()}, true));
  return prompt;
}

}  // namespace namm::tasks
