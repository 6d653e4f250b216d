#include "tasks/segmentation/jieba.h"

#include <limits>

#include "core/errors.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

bool is_ascii_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}

bool is_ascii_alphanumeric(char32_t c) {
  return is_ascii_digit(c) || (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
}

/// What runs of words consist of; all else is cut into single characters.
bool is_run_character(char32_t c) {
  return is_han(c) || is_ascii_alphanumeric(c) || TextView(U"+#&._%-").find(c) != TextView::npos;
}

/// Length of the stretch from `start` on whose characters all (do not) belong.
template <class Belongs>
size_t stretch(TextView text, size_t start, Belongs belongs) {
  size_t end = start + 1;
  while (end < text.size() && belongs(text[end]) == belongs(text[start])) ++end;
  return end - start;
}

/// End of the number or Latin word at `start`: ASCII letters and digits, perhaps a decimal part, perhaps a
/// percent sign.
size_t latin_end(TextView text, size_t start) {
  size_t end = start;
  while (end < text.size() && is_ascii_alphanumeric(text[end])) ++end;
  if (end + 1 < text.size() && text[end] == U'.' && is_ascii_digit(text[end + 1])) {
    ++end;
    while (end < text.size() && is_ascii_digit(text[end])) ++end;
  }
  if (end < text.size() && text[end] == U'%') ++end;
  return end;
}

/// Latin words and numbers as tokens, and what stands between them, whole.
void cut_latin(TextView text, std::vector<TextView>& words) {
  for (size_t start = 0; start < text.size();) {
    const size_t end = is_ascii_alphanumeric(text[start])
                           ? latin_end(text, start)
                           : start + stretch(text, start, is_ascii_alphanumeric);
    words.push_back(text.substr(start, end - start));
    start = end;
  }
}

/// Every character a token, but CR LF is one.
void cut_characters(TextView text, std::vector<TextView>& words) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = text.substr(i).starts_with(U"\r\n") ? 2 : 1;
    words.push_back(text.substr(i, length));
    i += length;
  }
}

}  // namespace

Jieba::Jieba(PrefixDictionary dictionary, WordHmm hmm)
    : dictionary_(std::move(dictionary)), hmm_(std::move(hmm)) {}

std::shared_ptr<const Jieba> Jieba::load(const std::filesystem::path& folder) {
  PrefixDictionary dictionary = PrefixDictionary::load(folder / "dict.txt");
  return std::shared_ptr<const Jieba>(new Jieba(std::move(dictionary), WordHmm::load(folder / "finalseg")));
}

std::vector<TextView> Jieba::cut(TextView text) const {
  if (text.size() > std::numeric_limits<uint32_t>::max())
    throw DataError(format_text("a text of {} characters is too long to be cut into words", text.size()));
  std::vector<TextView> words;
  for (size_t start = 0; start < text.size();) {
    const TextView piece = text.substr(start, stretch(text, start, is_run_character));
    if (is_run_character(piece.front())) {
      cut_run(piece, words);
    } else {
      cut_characters(piece, words);
    }
    start += piece.size();
  }
  return words;
}

std::vector<uint32_t> Jieba::route(TextView run) const {
  std::vector<uint32_t> word_end(run.size());
  std::vector<double> best(run.size() + 1, 0.0);  // log probability of the best path from a place to the end
  for (size_t start = run.size(); start-- > 0;) {
    best[start] = -std::numeric_limits<double>::infinity();
    PrefixDictionary::Node node = dictionary_.child(PrefixDictionary::root, run[start]);
    for (size_t end = start + 1; node != PrefixDictionary::none; ++end) {
      if (dictionary_.is_word(node)) {
        const double value = dictionary_.log_probability(node) + best[end];
        if (value >= best[start]) {  // of equal paths, the one with the longer word
          best[start] = value;
          word_end[start] = static_cast<uint32_t>(end);
        }
      }
      if (end == run.size()) break;
      node = dictionary_.child(node, run[end]);
    }
    if (word_end[start] == 0) {
      best[start] = dictionary_.unknown_log_probability() + best[start + 1];
      word_end[start] = static_cast<uint32_t>(start + 1);
    }
  }
  return word_end;
}

void Jieba::cut_run(TextView run, std::vector<TextView>& words) const {
  const std::vector<uint32_t> word_end = route(run);
  size_t singles = 0;  // first of the single characters before the place
  const auto flush = [&](size_t end) {
    const TextView text = run.substr(singles, end - singles);
    if (text.size() <= 1) {
      if (!text.empty()) words.push_back(text);
      return;
    }
    const PrefixDictionary::Node node = dictionary_.find(text);
    if (node != PrefixDictionary::none && dictionary_.is_word(node)) {
      for (size_t i = 0; i < text.size(); ++i) words.push_back(text.substr(i, 1));
    } else {
      cut_unknown(text, words);
    }
  };
  for (size_t start = 0; start < run.size();) {
    const size_t end = word_end[start];
    if (end - start > 1) {
      flush(start);
      words.push_back(run.substr(start, end - start));
      singles = end;
    }
    start = end;
  }
  flush(run.size());
}

void Jieba::cut_unknown(TextView text, std::vector<TextView>& words) const {
  for (size_t start = 0; start < text.size();) {
    const TextView piece = text.substr(start, stretch(text, start, is_han));
    if (is_han(piece.front())) {
      hmm_.cut(piece, words);
    } else {
      cut_latin(piece, words);
    }
    start += piece.size();
  }
}

}  // namespace namm::tasks
