#include "tasks/haystack.h"

#include <algorithm>

#include "core/errors.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/text.h"
#include "tasks/default_haystack.h"
#include "tasks/text/unicode.h"

namespace namm::tasks {
namespace {

constexpr size_t shortest_sentence = 21, longest_sentence = 299;
constexpr size_t fewest_sentences =
    10;  // a split with fewer would ask about the same few words again and again

bool is_stop(char32_t c) {
  return c == U'.' || c == U'!' || c == U'?';
}

std::vector<std::string> read_records(const std::filesystem::path& path) {
  std::vector<std::string> texts;
  JsonLinesReader reader(path);
  while (const auto record = reader.next()) {
    const auto context = record->find("context");
    if (context == record->end() || !context->is_string())
      reader.fail("a haystack record needs `context`, a text");
    texts.push_back(context->get<std::string>());
  }
  return texts;
}

std::vector<std::string> read_texts(const std::filesystem::path& path) {
  if (path.empty()) return {std::string(default_haystack())};
  if (path.extension() == ".jsonl") return read_records(path);
  std::string text = read_file(path);
  if (const auto offset = first_invalid_utf8(text)) {
    throw DataError(
        format_text("{}: byte {} is not UTF-8; a haystack is a text file in UTF-8, or a .jsonl file with "
                    "`context` fields",
                    path.string(), *offset));
  }
  return {std::move(text)};
}

}  // namespace

Haystack::Document sentences_of(std::string_view text) {
  Haystack::Document sentences;
  const std::vector<Text> words = split_on_space(decode_utf8(text));
  Text sentence;
  for (const Text& word : words) {
    sentence += (sentence.empty() ? U"" : U" ") + word;
    if (!is_stop(word.back())) continue;
    std::string bytes = encode_utf8(sentence);
    if (bytes.size() >= shortest_sentence && bytes.size() <= longest_sentence)
      sentences.push_back(std::move(bytes));
    sentence.clear();
  }
  return sentences;
}

Haystack Haystack::open(const std::filesystem::path& path) {
  std::vector<Document> all;
  for (const std::string& text : read_texts(path)) {
    Document document = sentences_of(text);
    if (!document.empty()) all.push_back(std::move(document));
  }
  Haystack haystack;
  if (all.size() >= 5) {
    static constexpr size_t split_of[5] = {0, 0, 0, 1, 2};
    for (size_t i = 0; i < all.size(); ++i) haystack.splits_[split_of[i % 5]].push_back(std::move(all[i]));
  } else {
    for (const Document& document : all) {
      const auto at = [&](size_t fifths) {
        return document.begin() + static_cast<ptrdiff_t>(document.size() * fifths / 5);
      };
      const Document parts[3] = {{at(0), at(3)}, {at(3), at(4)}, {at(4), at(5)}};
      for (size_t i = 0; i < 3; ++i) {
        if (!parts[i].empty()) haystack.splits_[i].push_back(parts[i]);
      }
    }
  }
  for (const std::vector<Document>& split : haystack.splits_) {
    size_t sentences = 0;
    for (const Document& document : split) sentences += document.size();
    if (sentences < fewest_sentences) {
      throw DataError(format_text(
          "{}: too little text for a haystack: train, validation and test need {} sentences of {} to "
          "{} bytes each",
          path.string(), fewest_sentences, shortest_sentence, longest_sentence));
    }
  }
  return haystack;
}

}  // namespace namm::tasks
