#include "models/contract.h"

#include "core/errors.h"
#include "core/json_lines.h"

namespace namm::models {
namespace {

constexpr int64_t kLargest = 1LL << 31;
constexpr int64_t kMostLayersOrHeads = 1 << 12;  // a session holds something for each layer and head

// Reads fields of one JSON object; every complaint names the archive and the field.
class Reader {
 public:
  Reader(const nlohmann::json& object, const std::string& where) : object_(object), where_(where) {}

  [[noreturn]] void fail(const std::string& name, const std::string& why) const {
    throw DataError(where_ + ": namm_contract.json: " + name + ": " + why + "; export the model again");
  }

  const nlohmann::json& field(const std::string& name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) fail(name, "the field is missing");
    return *found;
  }

  int64_t integer(const std::string& name, int64_t least = 1, int64_t most = kLargest) const {
    const nlohmann::json& value = field(name);
    if (!value.is_number_integer()) fail(name, "a whole number is expected, not " + brief(value));
    // An unsigned value beyond int64 would come out negative, which the range refuses too.
    const auto number = value.get<int64_t>();
    if (number < least || number > most) fail(name, brief(value) + " is out of range");
    return number;
  }

  std::string text(const std::string& name) const {
    const nlohmann::json& value = field(name);
    if (!value.is_string()) fail(name, "a text is expected, not " + brief(value));
    return value.get<std::string>();
  }

  const nlohmann::json& object(const std::string& name) const {
    const nlohmann::json& value = field(name);
    if (!value.is_object()) fail(name, "an object is expected, not " + brief(value));
    return value;
  }

  std::vector<int64_t> ids(const std::string& name, int64_t vocabulary) const {
    const nlohmann::json& value = field(name);
    if (!value.is_array()) fail(name, "a list of token ids is expected, not " + brief(value));
    std::vector<int64_t> result;
    for (const nlohmann::json& id : value) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocabulary) {
        fail(name, brief(id) + " is no token id below " + std::to_string(vocabulary));
      }
      result.push_back(id.get<int64_t>());
    }
    return result;
  }

 private:
  static std::string brief(const nlohmann::json& value) {
    std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    return text;
  }

  const nlohmann::json& object_;
  const std::string& where_;
};

nlohmann::json parse_document(const std::string& json, const std::string& where) {
  try {
    return parse_json(json, where + ": namm_contract.json");
  } catch (const DataError& error) {
    throw DataError(std::string(error.what()) + "; export the model again");
  }
}

}  // namespace

Contract Contract::parse(const std::string& json, const std::string& where) {
  const nlohmann::json document = parse_document(json, where);
  if (!document.is_object()) {
    throw DataError(where + ": namm_contract.json is not a JSON object; export the model again");
  }
  const Reader reader(document, where);
  Contract contract;
  contract.version = reader.integer("version", 0);
  if (contract.version != kVersion) {
    throw DataError(where + ": contract version " + std::to_string(contract.version) +
                    ", this program reads version " + std::to_string(kVersion) +
                    ": export the model again with the exporter of this program");
  }
  contract.family = reader.text("family");
  if (contract.family != "llama") {
    throw DataError(where + ": the model family '" + contract.family +
                    "' is not known to this program (known: llama)");
  }
  contract.source = reader.text("source");
  contract.shape.layers = reader.integer("layers", 1, kMostLayersOrHeads);
  contract.shape.heads = reader.integer("heads", 1, kMostLayersOrHeads);
  contract.shape.kv_heads = reader.integer("kv_heads", 1, kMostLayersOrHeads);
  contract.shape.head_dim = reader.integer("head_dim");
  if (contract.shape.heads % contract.shape.kv_heads != 0) {
    reader.fail("kv_heads", std::to_string(contract.shape.heads) + " query heads cannot share " +
                                std::to_string(contract.shape.kv_heads) + " key/value heads");
  }
  contract.hidden = reader.integer("hidden");
  contract.vocabulary = reader.integer("vocabulary");
  contract.max_positions = reader.integer("max_positions");
  contract.dtype = reader.text("dtype");
  if (contract.dtype != "float32" && contract.dtype != "bfloat16") {
    reader.fail("dtype", "'" + contract.dtype + "' is neither float32 nor bfloat16");
  }
  contract.rope = reader.object("rope");
  if (!contract.rope.contains("rule") || !contract.rope["rule"].is_string()) {
    reader.fail("rope.rule", "a text is expected");
  }
  contract.stop_ids = reader.ids("stop_ids", contract.vocabulary);
  contract.tokenizer = reader.object("tokenizer");
  if (!contract.tokenizer.contains("kind") || !contract.tokenizer["kind"].is_string()) {
    reader.fail("tokenizer.kind", "a text is expected");
  }
  contract.chat_prefix = reader.text("chat_prefix");
  contract.chat_suffix = reader.text("chat_suffix");
  contract.torch_version = reader.text("torch_version");
  return contract;
}

}  // namespace namm::models
