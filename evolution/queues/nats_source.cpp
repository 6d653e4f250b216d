#include "evolution/queues/nats_source.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "core/errors.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_client.h"
#include "evolution/queues/nats_names.h"
#include "evolution/queues/wire.h"

namespace namm::evolution {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// Candidates and shared bytes of the batch at hand, as far as they have been fetched.
struct BatchData {
  std::string batch;
  std::shared_ptr<const CandidateMatrix> candidates;
  std::shared_ptr<const std::string> shared;
};

/// An item and the message that it came in, whose acknowledgement ends its lease.
struct HeldItem {
  WorkItem item;
  nats::Message message;
};

struct PostedResult {
  WorkResult result;
  nats::Message message;
};

}  // namespace

/// Two threads beside the worker's: one brings items, one hands results in, so that short items do not wait
/// for the server.
struct NatsSource::Impl {
  Impl(nats::NatsClient& the_client, RunAnnouncement the_announcement, std::string the_worker,
       std::function<bool()> closed, std::function<void()> hang)
      : client(the_client),
        announcement(std::move(the_announcement)),
        worker(std::move(the_worker)),
        is_closed(std::move(closed)),
        on_hang(std::move(hang)) {
    subscription = client.pull(nats::items_stream(announcement.run), nats::kWorkersConsumer,
                               nats::all_items(announcement.run));
    try {
      fetcher = std::thread([this] { fetch_items(); });
      poster = std::thread([this] { post_results(); });
    } catch (const std::system_error& error) {
      end();
      throw InfrastructureError(
          format_text("a thread cannot be made ({}): choose fewer with --threads", error.what()));
    }
  }
  ~Impl() {
    end();
    give_back_ready();
  }

  void end() {
    {
      const std::lock_guard lock(mutex);
      ending = true;
    }
    changed.notify_all();
    if (fetcher.joinable()) fetcher.join();
    if (poster.joinable()) poster.join();
  }

  /// Others get at once what was only held in readiness.
  void give_back_ready() {
    if (ready) natsMsg_Nak(ready->message.get(), nullptr);
    ready.reset();
  }

  nats::NatsClient& client;
  RunAnnouncement announcement;
  std::string worker;
  std::function<bool()> is_closed;
  std::function<void()> on_hang;
  nats::Subscription subscription;
  BatchData data;                          ///< of the fetching thread
  std::string name = nats::random_name();  ///< of this source in the ids of its messages
  std::atomic<uint64_t> posts{0};

  std::mutex mutex;  ///< of all below
  std::condition_variable changed;
  bool wanted = false;  ///< the worker waits for an item
  bool short_items = false;
  bool ending = false;
  std::optional<HeldItem> ready;
  nats::Message in_hand;
  Clock::time_point claimed;
  std::deque<PostedResult> posted;
  std::thread fetcher;
  std::thread poster;

  void fetch_items() {
    constexpr auto kFetch = 250ms;
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || (!ready && (wanted || (in_hand && short_items))); });
      if (ending) return;
      lock.unlock();
      std::optional<HeldItem> found = fetch(kFetch);
      lock.lock();
      ready = std::move(found);
      if (ready) changed.notify_all();
    }
  }

  std::optional<HeldItem> fetch(std::chrono::milliseconds wait) {
    if (!client.connected()) {
      std::this_thread::sleep_for(wait);
      return std::nullopt;
    }
    natsMsgList list{};
    jsErrCode code{};
    const natsStatus status = natsSubscription_Fetch(&list, subscription.get(), 1, wait.count(), &code);
    nats::Message message;
    if (status == NATS_OK && list.Count > 0) message.reset(std::exchange(list.Msgs[0], nullptr));
    natsMsgList_Destroy(&list);
    if (!message) {
      if (status != NATS_TIMEOUT) std::this_thread::sleep_for(wait);
      return std::nullopt;
    }
    try {
      auto item = open(message.get());
      if (!item) return std::nullopt;
      return HeldItem{std::move(*item), std::move(message)};
    } catch (const std::exception& error) {
      // Stopped, or out of memory: the lease runs out.
      log_debug(format_text("an item is left to others: {}", error.what()));
      return std::nullopt;
    }
  }

  void post_results() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || !posted.empty(); });
      if (posted.empty()) return;
      PostedResult next = std::move(posted.front());
      posted.pop_front();
      lock.unlock();
      changed.notify_all();
      hand_in(std::move(next));
      lock.lock();
    }
  }

  void hand_in(PostedResult next) {
    WorkResult& result = next.result;
    const RunAnnouncement& run = announcement;
    std::string sealed = wire::seal(wire::Kind::result, run.config_sha256, encode(result));
    if (!client.fits(sealed.size())) {
      result.failure_code = ExitCode::config;
      result.failure = client.too_large("the result of " + describe(result.id), sealed.size());
      result.records.clear();
      result.bytes.clear();
      result.timings.clear();
      sealed = wire::seal(wire::Kind::result, run.config_sha256, encode(result));
    }
    const std::string subject = nats::result_subject(run.run, result.id);
    try {
      // The id is that of one post: what another delivery, or a later publication, gives must arrive too.
      const std::string id = format_text("{}.{}.{}", subject, name, ++posts);
      if (!client.publish(subject, sealed, id)) {
        log_warning(format_text("run {} is gone; the result of {} is dropped", run.run, describe(result.id)));
        return;
      }
    } catch (const std::exception& error) {
      log_warning(format_text("the result of {} is dropped, the item stays on the queue: {}",
                              describe(result.id), error.what()));
      return;
    }
    natsMsg_Ack(next.message.get(), nullptr);
  }

  /// The item with all that its batch shares. Nothing: that is not on the server. Throws DataError.
  std::optional<WorkItem> complete(wire::ItemMessage found) {
    WorkItem item = std::move(found.item);
    if (data.batch != nats::batch_name(item.id)) data = {nats::batch_name(item.id), nullptr, nullptr};
    if (!item.members.empty() && !fetch_candidates(item, found)) return std::nullopt;
    if (!item.members.empty()) item.candidates = data.candidates;
    if (found.has_shared) {
      if (!data.shared) {
        const auto value = client.get(nats::bucket(announcement.run), nats::shared_key(item.id));
        if (!value) return std::nullopt;
        data.shared = std::make_shared<const std::string>(
            wire::unseal(wire::Kind::shared, announcement.config_sha256, value->bytes));
      }
      item.shared = data.shared;
    }
    if (item.content_hash() != found.content_hash) {
      // Another coordinator of the run has put other candidates there since: fetch them anew.
      data = {};
      return std::nullopt;
    }
    return item;
  }

  bool fetch_candidates(const WorkItem& item, const wire::ItemMessage& found) {
    // Items in other hands share the matrix: a new one for what is added.
    auto matrix = std::make_shared<CandidateMatrix>();
    const bool fits = data.candidates && data.candidates->rows == found.candidate_rows &&
                      data.candidates->dimension == found.dimension;
    if (fits) {
      *matrix = *data.candidates;
    } else {
      *matrix = {found.candidate_rows, found.dimension, {}};
      matrix->vectors.resize(static_cast<std::size_t>(found.candidate_rows));
    }
    for (const int64_t member : item.members) {
      auto& vector = matrix->vectors[static_cast<std::size_t>(member)];
      if (vector) continue;
      const auto value = client.get(nats::bucket(announcement.run), nats::candidate_key(item.id, member));
      if (!value) return false;
      vector = std::make_shared<const std::vector<float>>(wire::decode_candidate(
          wire::unseal(wire::Kind::candidate, announcement.config_sha256, value->bytes), found.dimension));
    }
    data.candidates = std::move(matrix);
    return true;
  }

  std::optional<WorkItem> open(natsMsg* raw) {
    try {
      auto item = complete(
          wire::decode_item(wire::unseal(wire::Kind::item, announcement.config_sha256, nats::data_of(raw))));
      if (!item) {
        log_warning(format_text("{}: what its batch shares is not on the queue; the item is handed back",
                                natsMsg_GetSubject(raw)));
        natsMsg_NakWithDelay(raw, 1000, nullptr);
        return std::nullopt;
      }
      const auto facts = nats::delivery_facts(raw);
      if (facts) item->delivery = static_cast<int32_t>(facts->deliveries);
      return item;
    } catch (const DataError& error) {
      log_warning(format_text("a message on {} is not computed: {}", natsMsg_GetSubject(raw), error.what()));
      natsMsg_Term(raw, nullptr);
      return std::nullopt;
    }
  }
};

NatsSource::NatsSource(nats::NatsClient& client, const RunAnnouncement& announcement, std::string worker,
                       std::function<bool()> closed, std::function<void()> on_hang)
    : impl_(std::make_unique<Impl>(client, announcement, std::move(worker), std::move(closed),
                                   std::move(on_hang))) {}

NatsSource::~NatsSource() = default;

std::optional<WorkItem> NatsSource::claim(std::chrono::milliseconds wait) {
  std::unique_lock lock(impl_->mutex);
  impl_->wanted = true;
  impl_->changed.notify_all();
  impl_->changed.wait_for(lock, wait, [this] { return impl_->ready.has_value(); });
  impl_->wanted = false;
  if (!impl_->ready) return std::nullopt;
  std::optional<WorkItem> item(std::move(impl_->ready->item));
  impl_->in_hand = std::move(impl_->ready->message);
  impl_->ready.reset();
  impl_->claimed = Clock::now();
  impl_->changed.notify_all();
  return item;
}

void NatsSource::renew(const WorkItem& item) {
  std::unique_lock lock(impl_->mutex);
  if (!impl_->in_hand) return;
  const double limit = impl_->announcement.item_limit_seconds;
  const double held = std::chrono::duration<double>(Clock::now() - impl_->claimed).count();
  if (limit > 0 && held > limit) {
    // It may never end: told as a failure, and nobody waits for it.
    WorkResult result;
    result.id = item.id;
    result.attempt = item.attempt;
    result.delivery = item.delivery;
    result.content_hash = item.content_hash();
    result.seconds = held;
    result.worker = impl_->worker;
    result.failure = format_text("it took longer than queue.item_limit_seconds ({} s)", limit);
    impl_->give_back_ready();
    PostedResult posted{std::move(result), std::move(impl_->in_hand)};
    lock.unlock();
    log_error(format_text("{} takes longer than queue.item_limit_seconds ({} s): it is given up",
                          describe(item.id), limit));
    impl_->hand_in(std::move(posted));
    impl_->on_hang();
    return;
  }
  if (impl_->ready) natsMsg_InProgress(impl_->ready->message.get(), nullptr);
  natsMsg_InProgress(impl_->in_hand.get(), nullptr);
}

std::chrono::milliseconds NatsSource::renew_interval() const {
  constexpr double kShare = 0.3;
  return std::chrono::milliseconds(
      std::max<int64_t>(1, static_cast<int64_t>(impl_->announcement.lease_seconds * 1000 * kShare)));
}

void NatsSource::post(WorkResult result) {
  constexpr std::size_t kMostPosted = 4;
  std::unique_lock lock(impl_->mutex);
  if (!impl_->in_hand) return;  // given up meanwhile
  impl_->short_items = Clock::now() - impl_->claimed < kShortItem;
  impl_->changed.wait(lock, [this] { return impl_->posted.size() < kMostPosted; });
  impl_->posted.push_back({std::move(result), std::move(impl_->in_hand)});
  impl_->changed.notify_all();
}

bool NatsSource::closed() const {
  return impl_->is_closed();
}

}  // namespace namm::evolution
