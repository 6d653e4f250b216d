// Runs a tokenizer for the Python tests: run_tokenizer REQUEST.json > RESULT.json
//
// Request: {"settings", "data", "vocabulary", as an archive has them, "texts": [[before, text, after], ...],
// "ids": [[...], ...]}. Result: {"ids": of each text, "texts": of each list of ids, special tokens left out}.

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/text.h"
#include "models/tokenizer.h"
#include "tests/models/json_program.h"

namespace namm::models {
namespace {

nlohmann::json run(const nlohmann::json& request) {
  const auto tokenizer = make_tokenizer(request.at("settings"), request.at("data").dump(),
                                        request.at("vocabulary").get<int64_t>(), "request");
  nlohmann::json result = {{"ids", nlohmann::json::array()}, {"texts", nlohmann::json::array()}};
  for (const auto& text : request.at("texts").get<std::vector<std::vector<std::string>>>())
    result["ids"].push_back(tokenizer->encode_wrapped(text.at(0), text.at(1), text.at(2)));
  for (const auto& ids : request.at("ids").get<std::vector<std::vector<int64_t>>>())
    result["texts"].push_back(replace_invalid_utf8(tokenizer->decode(ids)));
  return result;
}

}  // namespace
}  // namespace namm::models

int main(int count, char** arguments) {
  return namm::testing::print_json(count == 2, "run_tokenizer REQUEST.json", [&] {
    return namm::models::run(nlohmann::json::parse(namm::read_file(arguments[1])));
  });
}
