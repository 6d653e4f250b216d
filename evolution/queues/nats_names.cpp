#include "evolution/queues/nats_names.h"

#include "core/text.h"

namespace namm::evolution::nats {

std::string items_stream(std::string_view run) {
  return format_text("NAMM_{}_ITEMS", run);
}
std::string results_stream(std::string_view run) {
  return format_text("NAMM_{}_RESULTS", run);
}
std::string bucket(std::string_view run) {
  return std::string(kBucketPrefix) + std::string(run);
}

std::string batch_name(const ItemId& id) {
  return format_text("{}.{}.{}.{}", id.generation, id.stage, to_string(id.purpose), id.variant);
}

std::string item_subject(std::string_view run, const ItemId& id) {
  return format_text("namm.{}.items.{}.{}", run, batch_name(id), id.index);
}
std::string result_subject(std::string_view run, const ItemId& id) {
  return format_text("namm.{}.results.{}.{}", run, batch_name(id), id.index);
}
std::string items_of_batch(std::string_view run, const ItemId& id) {
  return format_text("namm.{}.items.{}.>", run, batch_name(id));
}
std::string results_of_batch(std::string_view run, const ItemId& id) {
  return format_text("namm.{}.results.{}.>", run, batch_name(id));
}
std::string all_items(std::string_view run) {
  return format_text("namm.{}.items.>", run);
}
std::string all_results(std::string_view run) {
  return format_text("namm.{}.results.>", run);
}

std::string candidate_key(const ItemId& id, int64_t row) {
  return format_text("g.{}.x.{}", batch_name(id), row);
}
std::string shared_key(const ItemId& id) {
  return format_text("g.{}.shared", batch_name(id));
}
std::string key_subject(std::string_view bucket, std::string_view key) {
  return format_text("$KV.{}.{}", bucket, key);
}
std::string bucket_subjects(std::string_view run, const ItemId& id) {
  return format_text("$KV.{}.g.{}.>", bucket(run), batch_name(id));
}
std::string bucket_stream(std::string_view run) {
  return "KV_" + bucket(run);
}

std::string ping_subject(std::string_view run) {
  return format_text("namm.{}.ping", run);
}
std::string max_deliveries_subject(std::string_view run) {
  return format_text("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{}.{}", items_stream(run), kWorkersConsumer);
}
std::string acknowledgements(std::string_view run) {
  return format_text("$JS.ACK.{}.{}.>", items_stream(run), kWorkersConsumer);
}
std::string notice_subject(std::string_view run) {
  return format_text("namm.{}.notice", run);
}

}  // namespace namm::evolution::nats
