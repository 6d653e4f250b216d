#include "tasks/segmentation/mecab.h"

#include <algorithm>
#include <string_view>

#include <mecab.h>

#include "core/errors.h"
#include "core/files.h"
#include "core/text.h"

namespace namm::tasks {
namespace {

constexpr const char* remedy =
    "./setup.sh brings the dictionary of unidic-lite 1.0.8 (.venv/bin/pip install unidic-lite==1.0.8)";

/// Numbers of columns by which fugashi knows UniDic's entries.
constexpr int unidic_columns[] = {17, 26, 29};

int64_t code_points(std::string_view utf8) {
  return std::ranges::count_if(utf8, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

}  // namespace

/// A lattice for one thread, kept for the next call: making one costs more than a short text.
class Mecab::LoanedLattice {
 public:
  explicit LoanedLattice(const Mecab& owner) : owner_(owner) {
    const std::lock_guard lock(owner.mutex_);
    if (owner.idle_lattices_.empty()) {
      lattice_.reset(owner.model_->createLattice());
    } else {
      lattice_ = std::move(owner.idle_lattices_.back());
      owner.idle_lattices_.pop_back();
    }
  }
  ~LoanedLattice() {
    lattice_->clear();
    const std::lock_guard lock(owner_.mutex_);
    owner_.idle_lattices_.push_back(std::move(lattice_));
  }
  LoanedLattice(const LoanedLattice&) = delete;
  LoanedLattice& operator=(const LoanedLattice&) = delete;

  MeCab::Lattice* operator->() const { return lattice_.get(); }
  MeCab::Lattice* get() const { return lattice_.get(); }

 private:
  const Mecab& owner_;
  std::unique_ptr<MeCab::Lattice> lattice_;
};

Mecab::Mecab() = default;
Mecab::~Mecab() = default;

std::shared_ptr<const Mecab> Mecab::load(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(folder / "sys.dic", ignored)) {
    throw DataError(format_text("{}: no MeCab dictionary is there (sys.dic); {}", folder.string(), remedy));
  }
  // Settings of the machine (mecabrc, its user dictionaries) must not change scores.
  const std::string path = folder.string();
  std::vector<std::string> words = {"mecab", "--rcfile", "/dev/null", "--dicdir", path};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());

  std::shared_ptr<Mecab> mecab(new Mecab());
  mecab->model_.reset(MeCab::createModel(static_cast<int>(arguments.size()), arguments.data()));
  if (mecab->model_) mecab->tagger_.reset(mecab->model_->createTagger());
  if (!mecab->tagger_) {
    throw DataError(format_text("{}: MeCab cannot read this dictionary: {}; {}", path,
                                trim(MeCab::getLastError()), remedy));
  }
  mecab->check_dictionary(folder);
  mecab->words_ = mecab->model_->dictionary_info()->size;
  const std::filesystem::path version = folder / "version";
  mecab->version_ = std::filesystem::is_regular_file(version, ignored)
                        ? replace_invalid_utf8(trim(read_file(version)))
                        : "unknown";
  return mecab;
}

void Mecab::check_dictionary(const std::filesystem::path& folder) const {
  std::string charset = model_->dictionary_info()->charset;
  std::erase(charset, '-');
  std::ranges::transform(charset, charset.begin(), [](unsigned char c) { return std::tolower(c); });
  if (charset != "utf8") {
    throw DataError(format_text("{}: the dictionary is in {}, it must be in UTF-8; {}", folder.string(),
                                model_->dictionary_info()->charset, remedy));
  }
  static constexpr std::string_view known_word = "日本";
  const LoanedLattice lattice(*this);
  lattice->set_sentence(known_word.data(), known_word.size());
  if (!tagger_->parse(lattice.get())) throw DataError(folder.string() + ": MeCab cannot use this dictionary");
  const std::string_view feature = lattice->bos_node()->next->feature;
  const auto columns = 1 + std::ranges::count(feature, ',');
  if (std::ranges::find(unidic_columns, columns) == std::end(unidic_columns)) {
    throw DataError(format_text(
        "{}: entries of {} columns, this is no UniDic; the official scorer refuses others, because "
        "they cut words differently; {}",
        folder.string(), columns, remedy));
  }
}

std::vector<TextView> Mecab::cut(TextView text) const {
  text = text.substr(0, text.find(U'\0'));
  const std::string utf8 = encode_utf8(text);
  if (utf8.size() > longest_text_bytes) {
    throw DataError(format_text("a text of {} is too long to be cut into Japanese words: at most {}",
                                format_bytes(utf8.size()), format_bytes(longest_text_bytes)));
  }
  const LoanedLattice lattice(*this);
  lattice->set_sentence(utf8.data(), utf8.size());
  if (!tagger_->parse(lattice.get())) throw DataError(format_text("MeCab: {}", lattice->what()));

  std::vector<TextView> words;
  const char* byte = utf8.data();  // where `place` is
  size_t place = 0;
  for (const MeCab::Node* node = lattice->bos_node()->next; node && node->stat != MECAB_EOS_NODE;
       node = node->next) {
    place += code_points({byte, node->surface});
    const size_t length = code_points({node->surface, node->length});
    words.push_back(text.substr(place, length));
    place += length;
    byte = node->surface + node->length;
  }
  return words;
}

}  // namespace namm::tasks
