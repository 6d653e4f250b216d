#pragma once

#include <string>
#include <string_view>

#include "evolution/work_item.h"

/// Names on the server of what belongs to one run (evolution 6). Runs with different names never meet.
namespace namm::evolution::nats {

inline constexpr std::string_view kBucketPrefix = "namm-";

/// Bucket with the announcements of all runs, a key each. It stays on the server: everybody polls it, and
/// nats-server 2.9 can crash when a message is asked for of a stream that is being deleted.
inline constexpr const char* kAnnouncements = "namm";

/// Stream with retention "work queue": an item leaves it when a worker acknowledges it.
std::string items_stream(std::string_view run);
/// Stream of results and failure records, kept until the batch is complete.
std::string results_stream(std::string_view run);
/// Key-value bucket: coordinator, candidates, statistics.
std::string bucket(std::string_view run);

inline constexpr const char* kWorkersConsumer = "workers";
inline constexpr const char* kCoordinatorConsumer = "coordinator";
inline constexpr const char* kCoordinatorKey = "coordinator";
inline constexpr const char* kBatchKey = "batch";  ///< what is being computed, for people
inline constexpr const char* kRowKey = "row";      ///< what the last generation gave (Queue::report)

/// "12.0.population.0": generation, stage, purpose, variant of an item; what a batch shares stands under it.
std::string batch_name(const ItemId& id);

std::string item_subject(std::string_view run, const ItemId& id);
std::string result_subject(std::string_view run, const ItemId& id);
/// All items, or results, of the batch that `id` belongs to.
std::string items_of_batch(std::string_view run, const ItemId& id);
std::string results_of_batch(std::string_view run, const ItemId& id);
std::string all_items(std::string_view run);
std::string all_results(std::string_view run);

/// Keys of the bucket: a candidate's numbers, and the bytes that a batch shares.
std::string candidate_key(const ItemId& id, int64_t row);
std::string shared_key(const ItemId& id);
/// A key of a bucket as a subject of the stream behind it.
std::string key_subject(std::string_view bucket, std::string_view key);
/// Everything of a batch in the bucket, as a subject of the stream behind it.
std::string bucket_subjects(std::string_view run, const ItemId& id);
std::string bucket_stream(std::string_view run);

/// Asked of all workers of a run, which answer with a line about themselves; and a plain message from a
/// worker to the coordinator's log.
std::string ping_subject(std::string_view run);
std::string notice_subject(std::string_view run);
/// What workers tell the server of items in hand: acknowledgements, and what prolongs a lease.
std::string acknowledgements(std::string_view run);
/// Where the server tells that an item's deliveries are used up.
std::string max_deliveries_subject(std::string_view run);

}  // namespace namm::evolution::nats
