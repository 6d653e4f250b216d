#include "evolution/queues/nats_queue.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_client.h"
#include "evolution/queues/nats_coordinator_entry.h"
#include "evolution/queues/nats_names.h"
#include "evolution/queues/nats_runs.h"
#include "evolution/queues/wire.h"

namespace namm::evolution {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kMostFetched = 64;  ///< results that the server sends ahead
constexpr std::chrono::nanoseconds kResultsAckWait = 30s;
constexpr auto kResultsAnswer = 2s;  ///< until results that are there have come, from a server that is busy
constexpr auto kParting = 3s;        ///< a run that ends waits so long for a server that is away
constexpr auto kCleanUp = 30s;       ///< a complete one, which is to leave nothing behind, may wait longer

}  // namespace

struct NatsQueue::Impl {
  Impl(const NatsAddress& address, RunAnnouncement the_announcement, std::function<bool()> the_stop)
      : announcement(std::move(the_announcement)),
        run(announcement.run),
        stop_requested(std::move(the_stop)),
        client(address, "namm coordinator " + run, false, stop_requested) {
    if (!is_run_id(run)) throw ConfigError("a run on a queue is named by letters, digits, '-' and '_'");
    announcement.state = "running";
    client.ensure_bucket(nats::bucket(run));
    entry.emplace(client, announcement, stop_requested);
    // Before workers can see the run: they tell a refusal once.
    notices = client.listen(nats::notice_subject(run));
    advisories = client.listen(nats::max_deliveries_subject(run));
    if (announcement.item_limit_seconds > 0) acknowledgements = client.listen(nats::acknowledgements(run));
    set_up();
    if (const auto state = client.stream_state(nats::results_stream(run))) {
      old_results = newest_result = state->last_sequence;
      results_created = state->created_nanoseconds;
    }
    seen_reconnections = client.reconnections();
    last_sign_of_life = Clock::now();
  }

  /// Makes what is missing on the server; it may have lost everything.
  void set_up() {
    client.ensure_bucket(nats::bucket(run));
    client.ensure_stream(nats::items_stream(run), nats::all_items(run), true);
    client.ensure_stream(nats::results_stream(run), nats::all_results(run), false);
    ensure_workers_consumer();
    // A server that was killed may have lost the sequence of its messages but not the consumer's count, and
    // then hands out nothing that is new.
    const auto items = client.stream_state(nats::items_stream(run));
    const auto consumer = client.consumer_state(nats::items_stream(run), nats::kWorkersConsumer);
    if (items && consumer && consumer->delivered_sequence > items->last_sequence) {
      client.delete_consumer(nats::items_stream(run), nats::kWorkersConsumer);
      ensure_workers_consumer();
    }
    announce();
    read_results_anew();
  }

  void ensure_workers_consumer() {
    client.ensure_consumer(nats::items_stream(run), nats::kWorkersConsumer, nats::all_items(run),
                           announcement.lease(), announcement.max_deliveries);
  }

  void put(const std::string& key, std::string_view bytes) {
    while (!client.put(nats::bucket(run), key, bytes)) client.ensure_bucket(nats::bucket(run));
  }

  void announce() {
    client.ensure_bucket(nats::kAnnouncements);
    client.put(nats::kAnnouncements, run, to_json_text(announcement));
  }

  /// A new consumer starts with the first result; those taken before are known by their sequence. The server
  /// sends them by itself: fetching several overflows a list in nats.c 3.4.1 where others wait already.
  void read_results_anew() {
    results.reset();
    read_up_to = 0;
    client.delete_consumer(nats::results_stream(run), nats::kCoordinatorConsumer);
    results = client.push(nats::results_stream(run), nats::kCoordinatorConsumer, nats::all_results(run),
                          kResultsAckWait, kMostFetched);
  }

  void check_entry() const {
    if (entry->lost()) {
      throw InfrastructureError(
          format_text("run {} has been taken over by another coordinator; this one stops", run));
    }
  }

  void publish_all(const std::vector<nats::NatsClient::Publication>& messages) {
    while (!client.publish_all(messages)) set_up();
  }

  void send_batch_data(const WorkItem& item) {
    std::vector<nats::NatsClient::Publication> messages;
    const auto add = [&](const std::string& key, wire::Kind kind, std::string_view body, const char* what) {
      std::string sealed = wire::seal(kind, announcement.config_sha256, body);
      expect_size(sealed.size(), what);
      messages.push_back({nats::key_subject(nats::bucket(run), key), std::move(sealed), ""});
    };
    if (item.candidates) {
      for (int64_t row = 0; row < item.candidates->rows; ++row) {
        add(nats::candidate_key(item.id, row), wire::Kind::candidate,
            wire::encode_candidate(item.candidates->row(row)), "a candidate");
      }
    }
    if (item.shared) add(nats::shared_key(item.id), wire::Kind::shared, *item.shared, "what a batch shares");
    publish_all(messages);
  }

  void expect_size(std::size_t bytes, const std::string& what) const {
    if (!client.fits(bytes)) throw ConfigError(client.too_large(what, bytes));
  }

  /// Every publication has an id of its own, so that the server takes none for a repetition.
  void publish_items(const std::vector<const WorkItem*>& items) {
    std::vector<nats::NatsClient::Publication> messages;
    for (const WorkItem* item : items) {
      std::string sealed = wire::seal(wire::Kind::item, announcement.config_sha256, wire::encode_item(*item));
      expect_size(sealed.size(), "an item");
      const std::string subject = nats::item_subject(run, item->id);
      messages.push_back({subject, std::move(sealed),
                          format_text("{}.{}.{}.{}", subject, item->attempt, incarnation, ++publications)});
    }
    publish_all(messages);
  }

  /// Whether an earlier coordinator's message of an item, which was there a moment ago, is that very item:
  /// still open, or answered meanwhile.
  bool is_published(const WorkItem& item) {
    const auto message = client.last_message(nats::items_stream(run), nats::item_subject(run, item.id));
    if (!message) return true;
    try {
      const auto there =
          wire::decode_item(wire::unseal(wire::Kind::item, announcement.config_sha256, message->bytes));
      return there.content_hash == item.content_hash();
    } catch (const DataError&) {
      return false;
    }
  }

  /// Appends the results that come in time; whether any message came.
  bool fetch(std::chrono::milliseconds wait, std::vector<WorkResult>& found) {
    bool any = false;
    // The first that comes, and what else is there: without waiting for more.
    for (int i = 0; i < kMostFetched; ++i) {
      natsMsg* raw = nullptr;
      const natsStatus status =
          natsSubscription_NextMsg(&raw, results.get(), any ? 0 : std::max<int64_t>(wait.count(), 1));
      if (status != NATS_OK) {
        if (!any && status != NATS_TIMEOUT) std::this_thread::sleep_for(std::min(wait, 100ms));
        break;
      }
      any = true;
      const nats::Message message(raw);
      if (auto result = read(raw)) found.push_back(std::move(*result));
      // The message stays until its batch is complete: a coordinator that comes after us reads it again.
      natsMsg_Ack(raw, nullptr);
    }
    return any;
  }

  /// All results that are on the server now; one that is busy may take a while to hand them out.
  void fetch_what_is_there(std::vector<WorkResult>& found) {
    const auto there = client.stream_state(nats::results_stream(run));
    if (!there || there->messages == 0) return;
    const auto end = Clock::now() + kResultsAnswer;
    while (read_up_to < there->last_sequence && Clock::now() < end) fetch(100ms, found);
  }

  std::optional<WorkResult> read(natsMsg* message) {
    const auto facts = nats::delivery_facts(message);
    if (!facts) return std::nullopt;
    const uint64_t sequence = facts->stream_sequence;
    read_up_to = std::max(read_up_to, sequence);
    if (read_results.contains(sequence)) return std::nullopt;
    newest_result = std::max(newest_result, sequence);
    try {
      WorkResult result =
          decode_result(wire::unseal(wire::Kind::result, announcement.config_sha256, nats::data_of(message)));
      const std::string batch = nats::batch_name(result.id);
      if (!batches.contains(batch)) {
        // Late, from a worker that had lost its lease.
        client.delete_message(nats::results_stream(run), sequence);
        return std::nullopt;
      }
      read_results.emplace(sequence, batch);
      // What failed under an earlier coordinator may have been repaired since.
      if (result.failed() && sequence <= old_results) return std::nullopt;
      if (!result.failed()) open.erase(result.id);
      return result;
    } catch (const DataError& error) {
      log_warning(format_text("a message on {} is ignored: {}", natsMsg_GetSubject(message), error.what()));
      client.delete_message(nats::results_stream(run), sequence);
      return std::nullopt;
    }
  }

  /// Publishes again what the server has lost, and finds items whose deliveries are used up. Appends the
  /// results that arrive meanwhile.
  void reconcile(std::vector<WorkResult>& found) {
    auto consumer = client.consumer_state(nats::items_stream(run), nats::kWorkersConsumer);
    auto state = client.stream_state(nats::results_stream(run));
    if (client.reconnections() != seen_reconnections || !consumer || !state) {
      seen_reconnections = client.reconnections();
      held.clear();
      if (!state || state->created_nanoseconds != results_created || state->last_sequence < newest_result) {
        // Sequences begin anew.
        read_results.clear();
        exhausted.clear();
        old_results = newest_result = 0;
      }
      set_up();
      state = client.stream_state(nats::results_stream(run));
      if (state) results_created = state->created_nanoseconds;
      for (const auto& [name, item] : batches) resend_batch_data(item);
      consumer = client.consumer_state(nats::items_stream(run), nats::kWorkersConsumer);
    }
    // A worker posts before it acknowledges: an item that is no longer there has its result on the server,
    // unless it got lost.
    const auto present = client.subjects(nats::items_stream(run), nats::all_items(run));
    fetch_what_is_there(found);
    if (!present || !consumer) return;
    std::vector<const WorkItem*> lost;
    std::vector<const WorkItem*> there;
    std::set<ItemId> answered;  // a failure leaves its item open
    for (const WorkResult& result : found) answered.insert(result.id);
    for (const auto& [id, item] : open) {
      if (answered.contains(id)) continue;
      (present->contains(nats::item_subject(run, id)) ? there : lost).push_back(&item);
    }
    if (!found.empty()) idle_observations = 0;
    for (const WorkItem* item : lost) {
      log_warning(describe(item->id) + " is no longer on the queue and is published again");
    }
    publish_items(lost);
    const bool none_to_come = lost.empty() && found.empty() && consumer->pending == 0;
    if (none_to_come && (consumer->ack_pending == 0 || workers_stay_idle())) {
      revive(there, consumer->max_deliveries);
    }
  }

  /// Whether workers answer, and again, that none of them holds an item.
  bool workers_stay_idle() {
    const auto workers = nats::ask_workers(client, run);
    const bool idle = !workers.empty() &&
                      std::ranges::all_of(workers, [](const auto& worker) { return worker.in_hand == 0; });
    idle_observations = idle ? idle_observations + 1 : 0;
    return idle_observations >= 2;
  }

  /// Items that the server keeps and hands out no more. Either their deliveries are used up, of which the
  /// server tells those who listen at that moment; or a server that was killed has lost messages and counts
  /// the new ones as delivered: a new consumer begins to count anew.
  void revive(const std::vector<const WorkItem*>& stuck, int64_t max_deliveries) {
    if (stuck.empty()) return;
    for (const auto& [name, item] : batches) resend_batch_data(item);
    read_advisories();
    constexpr int kMostRevivals = 3;
    for (const WorkItem* item : stuck) {
      const auto message = client.last_message(nats::items_stream(run), nats::item_subject(run, item->id));
      const bool used_up = message && exhausted.contains(message->revision);
      if (used_up || ++revivals[item->id] > kMostRevivals) {
        throw InfrastructureError(format_text(
            "{} was handed out {} times and never answered: every worker that took it was killed or did not "
            "prolong its lease ({} s) in time. The run's state is saved; look into the workers' logs and "
            "resume it",
            describe(item->id), max_deliveries, announcement.lease_seconds));
      }
    }
    log_warning(format_text("{} items are stuck on the queue; its consumer is made anew", stuck.size()));
    idle_observations = 0;
    client.delete_consumer(nats::items_stream(run), nats::kWorkersConsumer);
    set_up();
  }

  void read_advisories() {
    natsMsg* raw = nullptr;
    while (natsSubscription_NextMsg(&raw, advisories.get(), 1) == NATS_OK) {
      const nats::Message message(raw);
      try {
        exhausted.insert(parse_json(nats::data_of(raw), "advisory").at("stream_seq").get<uint64_t>());
      } catch (const std::exception& error) {
        log_debug(format_text("an advisory of the server: {}", error.what()));
      }
    }
  }

  /// Workers tell the server, and we listen, what they hold: items whose present delivery has been prolonged
  /// for longer than an item may take. Its worker should have given it up at the limit, and another that it
  /// held in readiness at twice the limit.
  std::vector<uint64_t> read_acknowledgements() {
    std::vector<uint64_t> overdue;
    uint64_t count = 0;
    if (acknowledgements) natsSubscription_QueuedMsgs(acknowledgements.get(), &count);
    const auto now = Clock::now();
    const auto most =
        std::chrono::duration<double>(2 * announcement.item_limit_seconds) + announcement.lease();
    for (natsMsg* raw = nullptr;
         count > 0 && natsSubscription_NextMsg(&raw, acknowledgements.get(), 1) == NATS_OK; --count) {
      const nats::Message message(raw);
      const auto facts = nats::acknowledged_delivery(natsMsg_GetSubject(raw));
      if (!facts) continue;
      const auto found = held.find(facts->stream_sequence);
      if (found != held.end() && facts->deliveries < found->second.delivery) continue;
      if (nats::data_of(raw) != nats::kInProgress) {
        if (found != held.end()) held.erase(found);
      } else if (found == held.end() || facts->deliveries > found->second.delivery) {
        held[facts->stream_sequence] = {facts->deliveries, now};
      } else if (now - found->second.since > most) {
        overdue.push_back(facts->stream_sequence);
        held.erase(found);
      }
    }
    return overdue;
  }

  /// Takes overdue items away from whoever holds them and appends their failures.
  void give_up_overdue(std::vector<WorkResult>& found) {
    for (const uint64_t sequence : read_acknowledgements()) {
      const auto subject = client.subject_of(nats::items_stream(run), sequence);
      const auto item = std::ranges::find_if(
          open, [&](const auto& one) { return subject == nats::item_subject(run, one.first); });
      if (item == open.end()) continue;
      client.delete_message(nats::items_stream(run), sequence);
      WorkResult result;
      result.id = item->first;
      result.attempt = item->second.attempt;
      result.content_hash = item->second.content_hash();
      result.worker = "a worker that still holds it";
      result.failure = format_text("it took longer than twice queue.item_limit_seconds ({} s)",
                                   announcement.item_limit_seconds);
      found.push_back(std::move(result));
    }
  }

  void resend_batch_data(const WorkItem& item) {
    const bool complete =
        (!item.shared || client.get(nats::bucket(run), nats::shared_key(item.id))) &&
        (!item.candidates ||
         client.get(nats::bucket(run), nats::candidate_key(item.id, item.candidates->rows - 1)));
    if (!complete) send_batch_data(item);
  }

  /// Once for every stretch without results and without a worker that answers.
  void tell_missing_workers(bool nothing_came) {
    if (!nothing_came) told_no_workers = false;
    if (!nothing_came || told_no_workers || !nats::ask_workers(client, run).empty()) return;
    told_no_workers = true;
    log_info(format_text("no worker answers; start some: namm worker --queue {}", client.shown()));
  }

  void read_notices() {
    natsMsg* raw = nullptr;
    while (notices && natsSubscription_NextMsg(&raw, notices.get(), 1) == NATS_OK) {
      const nats::Message message(raw);
      log_warning(std::string(nats::data_of(raw)));
    }
  }

  RunAnnouncement announcement;
  std::string run;
  std::function<bool()> stop_requested;
  nats::NatsClient client;
  std::optional<nats::CoordinatorEntry> entry;
  nats::Subscription results;
  nats::Subscription notices;
  nats::Subscription advisories;
  nats::Subscription acknowledgements;  ///< of items, and what prolongs their leases
  std::vector<WorkResult> waiting;      ///< results found while publishing

  std::string incarnation = nats::random_name();
  uint64_t publications = 0;
  std::map<ItemId, WorkItem> open;               ///< published, no result yet
  std::map<std::string, WorkItem> batches;       ///< one item of each batch whose data is on the server
  std::map<uint64_t, std::string> read_results;  ///< sequence and batch of those that are still on the server
  uint64_t newest_result = 0;                    ///< sequence of the last one that was there
  uint64_t read_up_to = 0;                       ///< sequence of the last one that this consumer gave
  std::set<uint64_t> exhausted;                  ///< sequences of items whose deliveries are used up
  struct Held {
    int64_t delivery = 0;
    Clock::time_point since;  ///< when we first heard of it
  };
  std::map<uint64_t, Held> held;  ///< items in hand by their sequence
  std::map<ItemId, int> revivals;
  int idle_observations = 0;
  uint64_t old_results = 0;  ///< last sequence that an earlier coordinator left
  int64_t results_created = 0;
  uint64_t seen_reconnections = 0;
  Clock::time_point last_sign_of_life;
  bool told_no_workers = false;
  bool finished = false;
};

NatsQueue::NatsQueue(const NatsAddress& address, RunAnnouncement announcement,
                     std::function<bool()> stop_requested)
    : impl_(std::make_unique<Impl>(address, std::move(announcement), std::move(stop_requested))) {}

NatsQueue::~NatsQueue() {
  impl_->client.limit_waiting(kParting);
  if (impl_->finished || impl_->entry->lost() || !impl_->client.connected()) return;
  try {
    impl_->announcement.state = "stopped";
    impl_->announce();
  } catch (const std::exception&) {
    // Workers find no items; that is enough.
  }
}

void NatsQueue::publish(std::vector<WorkItem> items) {
  impl_->check_entry();
  bool begins = false;
  for (const WorkItem& item : items) {
    impl_->open.insert_or_assign(item.id, item);
    if (impl_->batches.emplace(nats::batch_name(item.id), item).second) {
      impl_->send_batch_data(item);
      begins = true;
    }
  }
  // What an earlier coordinator has left: items that nobody has answered and, looked at after them, results
  // that it did not see. A worker posts before it acknowledges: what is no longer the one is among the other.
  std::set<std::string> present;
  if (begins) {
    ItemId batch = items.front().id;
    batch.index = 0;
    impl_->put(nats::kBatchKey, format_text("{} ({} items)", describe_batch(batch), items.size()));
    present = impl_->client.subjects(nats::items_stream(impl_->run), nats::all_items(impl_->run))
                  .value_or(std::set<std::string>());
    impl_->fetch_what_is_there(impl_->waiting);
  }
  std::vector<const WorkItem*> missing;
  for (const WorkItem& item : items) {
    if (!impl_->open.contains(item.id)) continue;
    const std::string subject = nats::item_subject(impl_->run, item.id);
    if (present.contains(subject)) {
      if (impl_->is_published(item)) continue;
      impl_->client.purge(nats::items_stream(impl_->run), subject);
    }
    missing.push_back(&item);
  }
  impl_->publish_items(missing);
  impl_->last_sign_of_life = Clock::now();
}

std::vector<WorkResult> NatsQueue::gather(std::chrono::milliseconds wait) {
  impl_->check_entry();
  impl_->client.expect_open();
  impl_->read_notices();
  if (!impl_->client.connected()) {
    std::this_thread::sleep_for(wait);
    return {};
  }
  std::vector<WorkResult> found = std::exchange(impl_->waiting, {});
  impl_->fetch(found.empty() ? wait : 1ms, found);
  impl_->give_up_overdue(found);
  const auto now = Clock::now();
  if (!found.empty()) {
    impl_->last_sign_of_life = now;
    impl_->told_no_workers = false;
  }
  const auto patience = impl_->announcement.lease() + 500ms;
  if (impl_->client.reconnections() != impl_->seen_reconnections ||
      now - impl_->last_sign_of_life > patience) {
    impl_->last_sign_of_life = now;
    impl_->reconcile(found);
    impl_->tell_missing_workers(found.empty());
  }
  return found;
}

std::vector<ItemId> NatsQueue::withdraw() {
  std::vector<ItemId> ids;
  for (const auto& [id, item] : impl_->open) ids.push_back(id);
  impl_->open.clear();
  if (impl_->client.connected() && !impl_->entry->lost()) {
    impl_->client.limit_waiting(kParting);
    try {
      for (const auto& [batch, item] : impl_->batches) {
        impl_->client.purge(nats::items_stream(impl_->run), nats::items_of_batch(impl_->run, item.id));
      }
    } catch (const std::exception& error) {
      log_warning(format_text("items stay on the queue: {}", error.what()));
    }
    impl_->client.limit_waiting(std::nullopt);
  }
  return ids;
}

void NatsQueue::forget(const std::vector<WorkItem>& items) {
  impl_->check_entry();
  std::set<std::string> done;
  for (const WorkItem& item : items) {
    impl_->open.erase(item.id);
    if (!done.insert(nats::batch_name(item.id)).second) continue;
    impl_->client.purge(nats::items_stream(impl_->run), nats::items_of_batch(impl_->run, item.id));
    impl_->client.purge(nats::results_stream(impl_->run), nats::results_of_batch(impl_->run, item.id));
    impl_->client.purge(nats::bucket_stream(impl_->run), nats::bucket_subjects(impl_->run, item.id));
    const std::string batch = nats::batch_name(item.id);
    impl_->batches.erase(batch);
    std::erase_if(impl_->read_results, [&](const auto& result) { return result.second == batch; });
  }
  if (impl_->batches.empty()) {
    impl_->held.clear();
    impl_->exhausted.clear();
  }
  impl_->revivals.clear();
}

void NatsQueue::finish() {
  impl_->check_entry();
  impl_->results.reset();
  impl_->client.limit_waiting(kCleanUp);
  try {
    // The announcement first: workers must not open a run whose streams are gone.
    impl_->client.purge_key(nats::kAnnouncements, impl_->run);
    impl_->entry.reset();
    impl_->client.limit_waiting(kCleanUp);
    impl_->client.delete_stream(nats::items_stream(impl_->run));
    impl_->client.delete_stream(nats::results_stream(impl_->run));
    impl_->client.delete_stream(nats::bucket_stream(impl_->run));
  } catch (const Error& error) {
    log_warning(format_text("run {} is complete, but something of it stays on the queue: {}", impl_->run,
                            error.what()));
  }
  impl_->finished = true;
}

void NatsQueue::report(const std::string& row) {
  impl_->check_entry();
  impl_->put(nats::kRowKey, row);
}

}  // namespace namm::evolution
