#include "tasks/needle_words.h"

#include <array>

namespace namm::tasks {
namespace {

constexpr std::array<std::string_view, 63> name_words = {
    "amber",   "birch",   "cedar",  "delta",  "ember",  "falcon", "garnet", "hazel",  "indigo",
    "jasper",  "kestrel", "lotus",  "maple",  "nectar", "opal",   "pearl",  "quartz", "raven",
    "sable",   "tulip",   "umber",  "violet", "willow", "xenon",  "yarrow", "zephyr", "acorn",
    "basil",   "clover",  "dahlia", "elder",  "fern",   "ginger", "heron",  "iris",   "juniper",
    "koala",   "lilac",   "marten", "nutmeg", "orchid", "poppy",  "quail",  "robin",  "sorrel",
    "thistle", "urchin",  "viper",  "walnut", "yew",    "azure",  "bronze", "copper", "dune",
    "eagle",   "flint",   "glade",  "hawk",   "ivory",  "jade",   "kite",   "lark",   "moss"};

constexpr std::array<std::string_view, 42> value_words = {
    "paris",  "london", "rome",   "oslo",   "madrid", "lisbon", "vienna", "berlin",  "athens",
    "dublin", "warsaw", "prague", "cairo",  "tunis",  "lagos",  "accra",  "nairobi", "lima",
    "quito",  "bogota", "havana", "denver", "boston", "dallas", "austin", "miami",   "seattle",
    "tokyo",  "osaka",  "kyoto",  "seoul",  "busan",  "hanoi",  "manila", "delhi",   "mumbai",
    "lahore", "kabul",  "tehran", "doha",   "muscat", "aden"};

constexpr std::array<std::string_view, 6> label_words = {"alpha", "beta", "gamma", "kappa", "sigma", "omega"};

constexpr std::array<std::string_view, 16> adjective_words = {
    "old",    "new",  "red",  "green", "small", "large", "quiet", "loud",
    "bright", "dark", "soft", "hard",  "cold",  "warm",  "slow",  "quick"};

constexpr std::array<std::string_view, 10> verb_words = {"saw",  "found", "lost", "sold", "moved",
                                                         "kept", "took",  "left", "made", "drew"};

constexpr std::array<std::string_view, 40> number_words = {
    "0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",  "9",  "10", "11", "12", "13",
    "14", "15", "16", "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27",
    "28", "29", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39"};

// Six categories of eight nouns.
constexpr std::array<std::string_view, 48> noun_words = {
    "dog",    "cat",    "horse", "sheep", "goat",  "cow",   "pig",    "duck",  "bread",  "cheese",
    "apple",  "soup",   "rice",  "cake",  "plum",  "bean",  "hammer", "axe",   "drill",  "chisel",
    "wrench", "pliers", "file",  "clamp", "river", "lake",  "sea",    "pond",  "stream", "bay",
    "gulf",   "creek",  "coat",  "hat",   "glove", "scarf", "boot",   "shirt", "belt",   "vest",
    "drum",   "flute",  "harp",  "horn",  "lute",  "piano", "viola",  "organ"};

}  // namespace

WordGroup names() {
  return name_words;
}
WordGroup values() {
  return value_words;
}
WordGroup labels() {
  return label_words;
}
WordGroup adjectives() {
  return adjective_words;
}
WordGroup verbs() {
  return verb_words;
}
WordGroup numbers() {
  return number_words;
}
WordGroup nouns() {
  return noun_words;
}
WordGroup nouns_of(size_t category) {
  return WordGroup(noun_words).subspan(category * nouns_per_category, nouns_per_category);
}

}  // namespace namm::tasks
