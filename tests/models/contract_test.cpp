#include "models/contract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"

namespace namm::models {
namespace {

using ::testing::HasSubstr;

nlohmann::json valid() {
  return {{"version", 1},
          {"family", "llama"},
          {"source", "test"},
          {"layers", 2},
          {"heads", 4},
          {"kv_heads", 2},
          {"head_dim", 8},
          {"hidden", 16},
          {"vocabulary", 320},
          {"max_positions", 128},
          {"dtype", "float32"},
          {"rope", {{"rule", "plain"}}},
          {"stop_ids", {7, 9}},
          {"tokenizer", {{"kind", "none"}}},
          {"chat_prefix", ""},
          {"chat_suffix", ""},
          {"torch_version", "2.11.0"}};
}

std::string complaint(const std::string& json) {
  try {
    Contract::parse(json, "model.pt");
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

std::string complaint_with(const char* field, const nlohmann::json& value) {
  nlohmann::json contract = valid();
  contract[field] = value;
  return complaint(contract.dump());
}

TEST(Contract, ReadsAllFields) {
  const Contract contract = Contract::parse(valid().dump(), "model.pt");
  EXPECT_EQ(contract.shape.layers, 2);
  EXPECT_EQ(contract.shape.group(), 2);
  EXPECT_EQ(contract.stop_ids, (std::vector<int64_t>{7, 9}));
  EXPECT_FALSE(contract.has_chat());
  EXPECT_FALSE(contract.has_tokenizer());
}

TEST(Contract, NamesTheFieldThatIsMissing) {
  const nlohmann::json whole = valid();
  for (const auto& [name, value] : whole.items()) {
    nlohmann::json contract = valid();
    contract.erase(name);
    EXPECT_THAT(complaint(contract.dump()),
                HasSubstr("model.pt: namm_contract.json: " + name + ": the field is missing"));
  }
}

TEST(Contract, NamesTheFieldThatIsWrong) {
  EXPECT_THAT(complaint_with("layers", "two"), HasSubstr("layers: a whole number is expected, not \"two\""));
  EXPECT_THAT(complaint_with("layers", 0), HasSubstr("layers: 0 is out of range"));
  EXPECT_THAT(complaint_with("hidden", uint64_t{1} << 63), HasSubstr("hidden"));
  EXPECT_THAT(complaint_with("kv_heads", 3), HasSubstr("kv_heads: 4 query heads cannot share 3"));
  EXPECT_THAT(complaint_with("layers", 1 << 20), HasSubstr("layers: 1048576 is out of range"));
  EXPECT_THAT(complaint_with("rope", nlohmann::json::object()), HasSubstr("rope.rule: a text is expected"));
  EXPECT_THAT(complaint_with("rope", {{"rule", 3}}), HasSubstr("rope.rule: a text is expected"));
  EXPECT_THAT(complaint_with("dtype", "int8"), HasSubstr("dtype: 'int8'"));
  EXPECT_THAT(complaint_with("stop_ids", {320}), HasSubstr("stop_ids: 320 is no token id below 320"));
  EXPECT_THAT(complaint_with("stop_ids", 2), HasSubstr("stop_ids"));
  EXPECT_THAT(complaint_with("tokenizer", nlohmann::json::object()), HasSubstr("tokenizer.kind"));
  EXPECT_THAT(complaint_with("family", "mamba"), HasSubstr("family 'mamba' is not known"));
}

TEST(Contract, AnotherVersionSaysWhatToDo) {
  EXPECT_EQ(complaint_with("version", 2),
            "model.pt: contract version 2, this program reads version 1: export the model again with the "
            "exporter of this "
            "program");
}

TEST(Contract, JunkIsRefused) {
  for (const char* json : {"", "null", "[]", "{", "{}", "\xff\xff"}) EXPECT_NE(complaint(json), "");
}

TEST(Contract, DeepNestingIsRefused) {
  std::string deep = "{\"layers\": ";
  deep.append(100000, '[').append(100000, ']').append("}");
  EXPECT_THAT(complaint(deep), HasSubstr("model.pt: namm_contract.json:1:1: nested deeper than 200 levels"));
}

}  // namespace
}  // namespace namm::models
