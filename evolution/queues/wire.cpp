#include "evolution/queues/wire.h"

#include <algorithm>
#include <cstring>

#include "core/sha256.h"
#include "evolution/bytes.h"

namespace namm::evolution::wire {

namespace {

constexpr uint32_t kMagic = 0x4D4D414E;  // "NAMM"
constexpr uint32_t kVersion = 1;
constexpr int64_t kMostRows = 1 << 20;
constexpr int64_t kMostNumbers = int64_t{1} << 30;
constexpr std::size_t kDigestBytes = 32;

std::string digest_of(std::string_view bytes) {
  const auto digest = Sha256().update(bytes).digest();
  return {digest.begin(), digest.end()};
}

}  // namespace

std::string seal(Kind kind, std::string_view config_sha256, std::string_view body) {
  ByteWriter writer;
  writer.number(kMagic);
  writer.number(kVersion);
  writer.number(static_cast<uint8_t>(kind));
  writer.text(config_sha256);
  writer.text(body);
  std::string message = writer.take();
  return message + digest_of(message);
}

std::string_view unseal(Kind kind, std::string_view config_sha256, std::string_view message) {
  ByteReader reader(message.substr(0, message.size() - std::min(message.size(), kDigestBytes)), "message");
  if (reader.number<uint32_t>() != kMagic) {
    reader.fail("it is none of ours");
  }
  if (reader.number<uint32_t>() != kVersion) {
    reader.fail("it is of another version of the program");
  }
  if (digest_of(message.substr(0, message.size() - kDigestBytes)) !=
      message.substr(message.size() - kDigestBytes)) {
    reader.fail("it is damaged");
  }
  if (reader.number<uint8_t>() != static_cast<uint8_t>(kind)) {
    reader.fail("it is of another kind");
  }
  if (reader.text() != config_sha256) {
    reader.fail("it belongs to another configuration, model or data");
  }
  const std::string_view body = reader.text();
  reader.expect_end();
  return body;
}

std::string encode_item(const WorkItem& item) {
  ByteWriter writer;
  write_id(writer, item.id);
  writer.number(item.attempt);
  writer.number(static_cast<uint64_t>(item.members.size()));
  for (const int64_t member : item.members) {
    writer.number(member);
  }
  writer.number(static_cast<uint64_t>(item.samples.size()));
  for (const SampleId& sample : item.samples) {
    writer.number(sample.task);
    writer.number(sample.sample);
  }
  writer.number(item.candidates ? item.candidates->rows : int64_t{0});
  writer.number(item.candidates ? item.candidates->dimension : int64_t{0});
  writer.number(static_cast<uint8_t>(item.shared != nullptr));
  writer.text(item.payload);
  writer.text(item.content_hash());
  return writer.take();
}

ItemMessage decode_item(std::string_view body) {
  ByteReader reader(body, "work item");
  ItemMessage message;
  WorkItem& item = message.item;
  item.id = read_id(reader);
  item.attempt = reader.number<int32_t>();
  item.members.resize(reader.count(sizeof(int64_t)));
  for (int64_t& member : item.members) {
    member = reader.number<int64_t>();
  }
  item.samples.resize(reader.count(sizeof(int32_t) + sizeof(int64_t)));
  for (SampleId& sample : item.samples) {
    sample.task = reader.number<int32_t>();
    sample.sample = reader.number<int64_t>();
  }
  message.candidate_rows = reader.number<int64_t>();
  message.dimension = reader.number<int64_t>();
  const auto shared = reader.number<uint8_t>();
  item.payload = reader.text();
  message.content_hash = reader.text();
  reader.expect_end();
  if (item.samples.empty() || shared > 1 || message.content_hash.size() != kDigestBytes) {
    reader.fail("it has no samples, or no hash");
  }
  message.has_shared = shared == 1;
  const bool sizes_fit = message.candidate_rows >= 0 && message.candidate_rows <= kMostRows &&
                         message.dimension >= 0 &&
                         message.dimension <= kMostNumbers / std::max<int64_t>(message.candidate_rows, 1);
  if (!sizes_fit) {
    reader.fail("its candidates have an impossible size");
  }
  for (const int64_t member : item.members) {
    if (member < 0 || member >= message.candidate_rows) {
      reader.fail("a member is no row of the candidates");
    }
  }
  return message;
}

std::string encode_candidate(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

std::vector<float> decode_candidate(std::string_view body, int64_t dimension) {
  if (dimension < 0 || body.size() % sizeof(float) != 0 ||
      body.size() / sizeof(float) != static_cast<std::size_t>(dimension)) {
    throw DataError("candidate: it has another number of parameters than its item says");
  }
  std::vector<float> values(static_cast<std::size_t>(dimension));
  if (!body.empty()) std::memcpy(values.data(), body.data(), body.size());
  return values;
}

}  // namespace namm::evolution::wire
