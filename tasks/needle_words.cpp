#include "tasks/needle_words.h"

#include <array>

namespace namm::tasks {
namespace {

constexpr std::array<std::string_view, 63> kNames = {
    "amber", "birch", "cedar", "delta", "ember", "falcon", "garnet", "hazel", "indigo", "jasper",
    "kestrel", "lotus", "maple", "nectar", "opal", "pearl", "quartz", "raven", "sable", "tulip", "umber",
    "violet", "willow", "xenon", "yarrow", "zephyr", "acorn", "basil", "clover", "dahlia", "elder", "fern",
    "ginger", "heron", "iris", "juniper", "koala", "lilac", "marten", "nutmeg", "orchid", "poppy", "quail",
    "robin", "sorrel", "thistle", "urchin", "viper", "walnut", "yew", "azure", "bronze", "copper", "dune",
    "eagle", "flint", "glade", "hawk", "ivory", "jade", "kite", "lark", "moss"};

constexpr std::array<std::string_view, 42> kValues = {
    "paris", "london", "rome", "oslo", "madrid", "lisbon", "vienna", "berlin", "athens", "dublin",
    "warsaw", "prague", "cairo", "tunis", "lagos", "accra", "nairobi", "lima", "quito", "bogota", "havana",
    "denver", "boston", "dallas", "austin", "miami", "seattle", "tokyo", "osaka", "kyoto", "seoul",
    "busan", "hanoi", "manila", "delhi", "mumbai", "lahore", "kabul", "tehran", "doha", "muscat", "aden"};

constexpr std::array<std::string_view, 6> kLabels = {
    "alpha", "beta", "gamma", "kappa", "sigma", "omega"};

constexpr std::array<std::string_view, 16> kAdjectives = {
    "old", "new", "red", "green", "small", "large", "quiet", "loud", "bright", "dark", "soft", "hard",
    "cold", "warm", "slow", "quick"};

constexpr std::array<std::string_view, 10> kVerbs = {
    "saw", "found", "lost", "sold", "moved", "kept", "took", "left", "made", "drew"};

constexpr std::array<std::string_view, 40> kNumbers = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18",
    "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35",
    "36", "37", "38", "39"};

// Six categories of eight nouns.
constexpr std::array<std::string_view, 48> kNouns = {
    "dog", "cat", "horse", "sheep", "goat", "cow", "pig", "duck", "bread", "cheese", "apple", "soup",
    "rice", "cake", "plum", "bean", "hammer", "axe", "drill", "chisel", "wrench", "pliers", "file",
    "clamp", "river", "lake", "sea", "pond", "stream", "bay", "gulf", "creek", "coat", "hat", "glove",
    "scarf", "boot", "shirt", "belt", "vest", "drum", "flute", "harp", "horn", "lute", "piano", "viola",
    "organ"};

}  // namespace

WordGroup names() { return kNames; }
WordGroup values() { return kValues; }
WordGroup labels() { return kLabels; }
WordGroup adjectives() { return kAdjectives; }
WordGroup verbs() { return kVerbs; }
WordGroup numbers() { return kNumbers; }
WordGroup nouns() { return kNouns; }
WordGroup nouns_of(size_t category) { return WordGroup(kNouns).subspan(category * kNounsPerCategory, kNounsPerCategory); }

}  // namespace namm::tasks
