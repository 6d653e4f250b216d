#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nats/nats.h>

#include "evolution/queues/nats_address.h"

/// What both sides of the NATS queue need of the server, with its calls repeated while the connection is
/// away. The one header that shows the C library: sources of evolution include it and its tests, nobody else
/// (tests/repository).
namespace namm::evolution::nats {

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};
using Message = std::unique_ptr<natsMsg, Destroy<natsMsg_Destroy>>;
using Subscription = std::unique_ptr<natsSubscription, Destroy<natsSubscription_Destroy>>;

inline std::string_view data_of(const natsMsg* message) {
  return {natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message))};
}

/// Letters and digits that nobody else has.
std::string random_name();

/// Sequence in the stream, and how often the server has delivered it.
struct DeliveryFacts {
  uint64_t stream_sequence = 0;
  int64_t deliveries = 1;
};
/// Nothing: the message is none of a stream's.
std::optional<DeliveryFacts> delivery_facts(natsMsg* message);

/// The same of the subject on which a message is acknowledged.
std::optional<DeliveryFacts> acknowledged_delivery(std::string_view subject);
inline constexpr std::string_view kInProgress = "+WPI";  ///< sent there: prolongs the lease

/// A value of a bucket and its revision; any message of a stream and its sequence.
struct BucketValue {
  std::string bytes;
  uint64_t revision = 0;
};

/// State of a consumer.
struct ConsumerState {
  uint64_t pending = 0;     ///< messages never delivered yet
  int64_t ack_pending = 0;  ///< delivered, neither acknowledged nor given up
  int64_t max_deliveries = 0;
  uint64_t delivered_sequence = 0;  ///< of the stream, the last one handed out
};

/// A connection that comes back by itself. Calls that reach the server wait while it is away and throw
/// Interrupted once `give_up` says so, InfrastructureError when the connection is closed for good, the server
/// refuses or the time of `limit_waiting` is over. Safe from any thread.
class NatsClient {
 public:
  using GiveUp = std::function<bool()>;

  /// Connects. `wait_for_server`: goes on trying while there is none; else throws InfrastructureError. Throws
  /// ConfigError when the server refuses token or key. Warns, once a process, of a token that others can read
  /// on its way.
  NatsClient(const NatsAddress& address, const std::string& name, bool wait_for_server, GiveUp give_up);
  ~NatsClient();
  NatsClient(const NatsClient&) = delete;
  NatsClient& operator=(const NatsClient&) = delete;

  bool connected() const;
  /// For good: the server has refused to take us back.
  bool closed() const { return natsConnection_IsClosed(connection_); }
  /// Throws InfrastructureError when the connection is closed.
  void expect_open() const;
  /// Goes up with every connection after the first.
  uint64_t reconnections() const { return reconnections_; }
  /// Whether the server takes messages of so many bytes, and the sentence for those that it does not.
  bool fits(std::size_t bytes) const;
  std::string too_large(const std::string& what, std::size_t bytes) const;
  std::string shown() const { return address_.shown(); }

  /// From now on calls wait for a server that is away until `most` from now and no longer; nothing: as long
  /// as it takes. For the end of a run, which does not need a server that may never come back.
  void limit_waiting(std::optional<std::chrono::milliseconds> most);

  /// Publishes into a stream and waits until the server has stored it. False: there is no stream for the
  /// subject. Throws InfrastructureError: no space, or the server has seen `message_id` before, from another
  /// call, and stored nothing.
  /// `sent_before`: an earlier call may have stored it under this id.
  bool publish(const std::string& subject, std::string_view bytes, const std::string& message_id,
               bool sent_before = false);

  /// A message for a stream; an empty id: none.
  struct Publication {
    std::string subject;
    std::string bytes;
    std::string message_id;
  };
  /// The same for many, whose answers are awaited together.
  bool publish_all(const std::vector<Publication>& messages);

  /// Makes the stream unless it is there. `work_queue`: a message leaves it when it is acknowledged.
  void ensure_stream(const std::string& stream, const std::string& subject, bool work_queue);
  void delete_stream(const std::string& stream);
  /// Removes what matches `subject`; nothing where there is no such stream.
  void purge(const std::string& stream, const std::string& subject);
  void delete_message(const std::string& stream, uint64_t sequence);
  /// Subjects that have messages in the stream, of those that match; nothing where there is no such stream.
  std::optional<std::set<std::string>> subjects(const std::string& stream, const std::string& matching);
  /// Last message on a subject and its sequence.
  std::optional<BucketValue> last_message(const std::string& stream, const std::string& subject);
  struct StreamState {
    uint64_t messages = 0;
    uint64_t last_sequence = 0;
    int64_t created_nanoseconds = 0;
  };
  std::optional<StreamState> stream_state(const std::string& stream);
  /// Subject of a message; nothing where it is gone.
  std::optional<std::string> subject_of(const std::string& stream, uint64_t sequence);

  /// Durable pull consumer with explicit acknowledgement; made, or brought to these settings.
  void ensure_consumer(const std::string& stream, const std::string& consumer, const std::string& subject,
                       std::chrono::nanoseconds ack_wait, int64_t max_deliveries);
  void delete_consumer(const std::string& stream, const std::string& consumer);
  std::optional<ConsumerState> consumer_state(const std::string& stream, const std::string& consumer);
  Subscription pull(const std::string& stream, const std::string& consumer, const std::string& subject);
  /// Makes a durable consumer whose messages the server sends by itself, at most `most` of them without an
  /// acknowledgement, and subscribes to them.
  Subscription push(const std::string& stream, const std::string& consumer, const std::string& subject,
                    std::chrono::nanoseconds ack_wait, int64_t most);

  void ensure_bucket(const std::string& bucket);
  /// False: there is no such bucket.
  bool put(const std::string& bucket, const std::string& key, std::string_view bytes);
  /// Writes when the key's revision is `revision` (0: when it is not there); nothing: it is another.
  std::optional<uint64_t> put_if(const std::string& bucket, const std::string& key, std::string_view bytes,
                                 uint64_t revision);
  std::optional<BucketValue> get(const std::string& bucket, const std::string& key);
  void purge_key(const std::string& bucket, const std::string& key);

  /// Sends `bytes` to whoever listens and forgets it.
  void send(const std::string& subject, std::string_view bytes);
  Subscription listen(const std::string& subject);
  /// Where the answer to the next message goes, for subscriptions to questions; waits so long.
  std::optional<std::string> next_question(const Subscription& subscription, std::chrono::milliseconds wait);
  /// For each subject the answers of all that listen to it and answer within `wait`; returns at once where
  /// nobody listens.
  std::vector<std::vector<std::string>> ask_all(const std::vector<std::string>& subjects,
                                                std::chrono::milliseconds wait);

 private:
  void set_option(natsStatus status, const char* what) const;
  void set_options(const std::string& name);
  void set_credentials();
  void connect(bool wait_for_server);
  void warn_of_exposed_secret() const;
  void expect_jetstream(bool wait);
  void close();
  /// Repeats `call` while the connection is away; returns the status that is no matter of the connection.
  natsStatus persist(const std::function<natsStatus(jsErrCode*)>& call, jsErrCode* code) const;
  [[noreturn]] void fail(const std::string& what, natsStatus status, jsErrCode code) const;
  [[noreturn]] void fail_as_repetition(const std::string& message_id) const;
  void expect(const std::string& what, natsStatus status, jsErrCode code) const;
  class AnswerBox;
  std::string new_inbox() const;
  void add_consumer(const std::string& stream, jsConsumerConfig& config);
  Subscription bind(
      const std::string& stream, const std::string& consumer,
      const std::function<natsStatus(natsSubscription**, jsSubOptions*, jsErrCode*)>& subscribe);
  struct Stored {
    uint64_t sequence = 0;
    bool duplicate = false;
  };
  /// One attempt to store a message.
  natsStatus store(const std::string& subject, std::string_view bytes, jsPubOptions& options, jsErrCode* code,
                   Stored& stored);

  NatsAddress address_;
  GiveUp give_up_;
  natsOptions* options_ = nullptr;
  natsConnection* connection_ = nullptr;
  jsCtx* jetstream_ = nullptr;
  std::atomic<uint64_t> reconnections_{0};
  std::atomic<bool> closing_{false};
  using Clock = std::chrono::steady_clock;
  std::atomic<Clock::time_point> wait_until_{Clock::time_point::max()};
  std::promise<void> closed_;  ///< the last callback of the connection has come

  static void on_disconnected(natsConnection*, void* self);
  static void on_reconnected(natsConnection*, void* self);
  static void on_closed(natsConnection*, void* self);
  static int64_t reconnect_delay(natsConnection*, int attempts, void*);
  static void on_error(natsConnection*, natsSubscription*, natsStatus, void*);
};

}  // namespace namm::evolution::nats
