// Runs an archive for the Python tests: run_archive ARCHIVE.pt REQUEST.json > RESULT.json
//
// Request: {"prompts": [{"ids": [...]} | {"text": "...", "chat": bool}], "new_tokens": n, "chunk": n,
// "threads": n, "together": bool (all prompts as rows of one session, else one after another), "stop": bool,
// "logits": "FILE", "hidden": "FILE", "apart": bool}. With `logits` the file gets float32 [tokens,
// vocabulary] of every prompt token, row after row; with `hidden` float32 [tokens, hidden], what `step`
// returned: all prompts as rows of one session, or each in a session of its own where `apart`. Result:
// {"rows": [{"prompt", "generated", "margins", "text"}], "prefill_seconds", "decode_seconds"}; margins: best
// minus second logit of each generated id.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include <nlohmann/json.hpp>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "core/files.h"
#include "memory/policies/full.h"
#include "memory/session.h"
#include "models/archive.h"
#include "models/generator.h"
#include "tests/models/json_program.h"

namespace namm::models {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Row {
  std::vector<int64_t> prompt, generated;
  std::vector<double> margins;
};

memory::Session new_session(const Archive& archive) {
  memory::SessionOptions options;
  options.shape = archive.contract().shape;
  options.dtype = archive.dtype();
  options.device = archive.device();
  options.policy = std::make_shared<memory::FullPolicy>();
  return memory::Session(options);
}

// Of every token of every row, row after row.
struct Outputs {
  std::vector<std::vector<at::Tensor>> hidden, logits;  // [rows], parts of one row
};

// The rows packed into common steps of at most `chunk` tokens each.
Outputs read_together(const Archive& archive, std::span<const Row> rows, int64_t chunk) {
  memory::Session session = new_session(archive);
  std::vector<memory::RowId> ids(rows.size());
  for (auto& id : ids) id = session.add_row();
  Outputs outputs{std::vector<std::vector<at::Tensor>>(rows.size()),
                  std::vector<std::vector<at::Tensor>>(rows.size())};
  for (std::size_t done = 0;; done += static_cast<std::size_t>(chunk)) {
    std::vector<memory::RowId> step_rows;
    std::vector<int64_t> lengths, step_ids;
    std::vector<std::size_t> indices;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& prompt = rows[i].prompt;
      if (done >= prompt.size()) continue;
      const auto length = std::min<std::size_t>(prompt.size() - done, static_cast<std::size_t>(chunk));
      step_rows.push_back(ids[i]);
      indices.push_back(i);
      lengths.push_back(static_cast<int64_t>(length));
      step_ids.insert(step_ids.end(), prompt.begin() + static_cast<std::ptrdiff_t>(done),
                      prompt.begin() + static_cast<std::ptrdiff_t>(done + length));
    }
    if (step_rows.empty()) break;
    session.begin_step(step_rows, lengths);
    const at::Tensor hidden =
        archive.step(archive.embed(at::tensor(step_ids, at::kLong)), session.positions(), session.handle());
    const std::vector<at::Tensor> states = hidden.split_with_sizes(lengths),
                                  logits = archive.logits(hidden).split_with_sizes(lengths);
    for (std::size_t k = 0; k < indices.size(); ++k) {
      outputs.hidden[indices[k]].push_back(states[k]);
      outputs.logits[indices[k]].push_back(logits[k]);
    }
  }
  return outputs;
}

void write(const std::vector<std::vector<at::Tensor>>& rows, const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::app);
  for (const auto& row : rows) {
    const at::Tensor all = at::cat(row).to(at::kFloat).contiguous();
    file.write(static_cast<const char*>(all.const_data_ptr()), static_cast<std::streamsize>(all.nbytes()));
  }
}

void write_outputs(const Archive& archive, std::span<const Row> rows, const nlohmann::json& request,
                   int64_t chunk) {
  const std::size_t group = request.value("apart", false) ? 1 : rows.size();
  for (std::size_t first = 0; first < rows.size(); first += group) {
    const Outputs outputs = read_together(archive, rows.subspan(first, group), chunk);
    if (request.contains("hidden")) write(outputs.hidden, request["hidden"].get<std::string>());
    if (request.contains("logits")) write(outputs.logits, request["logits"].get<std::string>());
  }
}

// Bytes of this process by the kernel's own count, "VmHWM" (peak), "RssAnon" or "RssFile".
int64_t resident_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1)) * 1024;
  }
  return 0;
}

nlohmann::json run(const std::string& path, const nlohmann::json& request) {
  at::set_num_threads(request.value("threads", 1));
  nlohmann::json loading = {{"anonymous_bytes_before", resident_bytes("RssAnon")}};
  const auto begin = Clock::now();
  const auto archive = Archive::load(path);
  loading["seconds"] = seconds_since(begin);
  loading["anonymous_bytes_after"] = resident_bytes("RssAnon");
  loading["file_bytes_after"] = resident_bytes("RssFile");
  loading["peak_bytes"] = resident_bytes("VmHWM");
  const auto chunk = request.value("chunk", int64_t{512});
  const auto new_tokens = request.value("new_tokens", int64_t{0});
  std::vector<Row> rows;
  for (const auto& prompt : request.at("prompts")) {
    rows.push_back({prompt.contains("ids") ? prompt["ids"].get<std::vector<int64_t>>()
                                           : archive->encode_prompt(prompt.at("text").get<std::string>(),
                                                                    prompt.value("chat", false)),
                    {},
                    {}});
  }
  if (request.contains("logits") || request.contains("hidden")) write_outputs(*archive, rows, request, chunk);

  const std::vector<int64_t> stops =
      request.value("stop", false) ? archive->contract().stop_ids : std::vector<int64_t>{};
  double prefill_seconds = 0, decode_seconds = 0;
  const bool together = request.value("together", false);
  for (std::size_t first = 0; new_tokens > 0 && first < rows.size(); first += together ? rows.size() : 1) {
    memory::Session session = new_session(*archive);
    Generator generator(archive, session, {chunk});
    std::vector<memory::RowId> ids;
    std::vector<std::vector<int64_t>> prompts;
    for (std::size_t i = first; i < (together ? rows.size() : first + 1); ++i) {
      ids.push_back(session.add_row());
      prompts.push_back(rows[i].prompt);
    }
    auto start = Clock::now();
    const at::Tensor logits = generator.prefill(ids, prompts);
    prefill_seconds += seconds_since(start);
    start = Clock::now();
    const auto generated =
        generator.greedy(ids, logits, std::vector<int64_t>(ids.size(), new_tokens), stops,
                         [&](std::size_t row, int64_t, const at::Tensor& scores) {
                           const at::Tensor best = std::get<0>(scores.topk(2));
                           rows[first + row].margins.push_back((best[0] - best[1]).item<double>());
                           return true;
                         });
    decode_seconds += seconds_since(start);
    for (std::size_t k = 0; k < ids.size(); ++k) rows[first + k].generated = generated[k];
  }

  nlohmann::json result = {{"rows", nlohmann::json::array()},
                           {"loading", loading},
                           {"prefill_seconds", prefill_seconds},
                           {"decode_seconds", decode_seconds}};
  for (const Row& row : rows) {
    nlohmann::json one = {{"prompt", row.prompt}, {"generated", row.generated}, {"margins", row.margins}};
    if (archive->has_codec()) one["text"] = archive->codec().decode(row.generated);
    result["rows"].push_back(std::move(one));
  }
  return result;
}

}  // namespace
}  // namespace namm::models

int main(int count, char** arguments) {
  return namm::testing::print_json(count == 3, "run_archive ARCHIVE.pt REQUEST.json", [&] {
    return namm::models::run(arguments[1], nlohmann::json::parse(namm::read_file(arguments[2])));
  });
}
