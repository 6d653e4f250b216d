#include "evolution/queues/nats_client.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/files.h"
#include "core/log.h"
#include "core/text.h"
#include "evolution/queues/nats_names.h"

namespace namm::evolution::nats {

namespace {

using namespace std::chrono_literals;

constexpr int64_t kCallMilliseconds = 2000;
constexpr int64_t kWriteMilliseconds = 10000;  // a server that takes nothing for so long is away
constexpr auto kRetry = 200ms;
constexpr std::size_t kHeaderBytes = 4096;
constexpr auto kFirstReconnect = 500ms;
constexpr auto kLongestReconnect = 30s;

using Info = std::unique_ptr<jsStreamInfo, Destroy<jsStreamInfo_Destroy>>;
using ConsumerInfo = std::unique_ptr<jsConsumerInfo, Destroy<jsConsumerInfo_Destroy>>;

/// What goes away when the server or the network comes back.
bool is_transient(natsStatus status) {
  switch (status) {
    case NATS_IO_ERROR:
    case NATS_NO_SERVER:
    case NATS_STALE_CONNECTION:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_TIMEOUT:
    case NATS_NOT_YET_CONNECTED:
    case NATS_NO_RESPONDERS:  // JetStream is still starting
      return true;
    default:
      return false;
  }
}

bool is_transient(jsErrCode code) {
  constexpr jsErrCode kTransient[] = {JSClusterNotAvailErr, JSClusterNoPeersErr, JSStreamOfflineErr};
  return std::find(std::begin(kTransient), std::end(kTransient), code) != std::end(kTransient);
}

struct NkeyPair {
  std::string public_key;
  bool has_seed = false;
};

/// The file holds seed and public key, a line each, as `nk -gen user -pubout` prints them.
NkeyPair read_nkey(const std::filesystem::path& path) {
  NkeyPair pair;
  for (const std::string& line : split(read_file(path), '\n')) {
    const std::string_view word = trim(line);
    if (word.starts_with("SU")) pair.has_seed = true;
    if (word.starts_with("U")) pair.public_key = word;
  }
  if (pair.public_key.empty() || !pair.has_seed) {
    throw ConfigError(format_text(
        "--queue-nkey {}: expected two lines, the seed (SU...) and the public key (U...) of a user, as "
        "`nk -gen user -pubout` prints them",
        path.string()));
  }
  return pair;
}

}  // namespace

std::string random_name() {
  std::random_device device;
  return format_text("{}x{}", device(), device());
}

std::optional<DeliveryFacts> delivery_facts(natsMsg* message) {
  jsMsgMetaData* data = nullptr;
  if (natsMsg_GetMetaData(&data, message) != NATS_OK) return std::nullopt;
  const DeliveryFacts facts{data->Sequence.Stream, static_cast<int64_t>(data->NumDelivered)};
  jsMsgMetaData_Destroy(data);
  return facts;
}

std::optional<DeliveryFacts> acknowledged_delivery(std::string_view subject) {
  // $JS.ACK.stream.consumer.deliveries.stream sequence.consumer sequence.time.pending
  const std::vector<std::string> words = split(subject, '.');
  constexpr std::size_t kWords = 9;
  if (words.size() != kWords || words[0] != "$JS" || words[1] != "ACK") return std::nullopt;
  DeliveryFacts facts;
  const auto number = [&](const std::string& word, auto& value) {
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc() && end == word.data() + word.size();
  };
  if (!number(words[4], facts.deliveries) || !number(words[5], facts.stream_sequence)) return std::nullopt;
  return facts;
}

NatsClient::NatsClient(const NatsAddress& address, const std::string& name, bool wait_for_server,
                       GiveUp give_up)
    : address_(address), give_up_(std::move(give_up)) {
  address_.check();
  try {
    set_options(name);
    set_credentials();
    warn_of_exposed_secret();
    connect(wait_for_server);
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = kCallMilliseconds;
    expect("JetStream", natsConnection_JetStream(&jetstream_, connection_, &options), jsErrCode{});
    expect_jetstream(wait_for_server);
  } catch (...) {
    close();
    throw;
  }
}

void NatsClient::set_option(natsStatus status, const char* what) const {
  if (status == NATS_OK) return;
  const char* text = nats_GetLastError(nullptr);
  throw ConfigError(format_text("--queue {}: {}: {}", shown(), what, text != nullptr ? text : ""));
}

void NatsClient::set_options(const std::string& name) {
  set_option(natsOptions_Create(&options_), "options");
  set_option(natsOptions_SetURL(options_, address_.url.c_str()), "address");
  set_option(natsOptions_SetName(options_, name.c_str()), "name");
  set_option(natsOptions_SetTimeout(options_, kCallMilliseconds), "time-out");
  set_option(natsOptions_SetWriteDeadline(options_, kWriteMilliseconds), "time-out");
  set_option(natsOptions_SetPingInterval(options_, 5000), "ping");
  set_option(natsOptions_SetMaxPingsOut(options_, 2), "ping");
  set_option(natsOptions_SetMaxReconnect(options_, -1), "reconnection");
  set_option(natsOptions_SetCustomReconnectDelay(options_, reconnect_delay, nullptr), "reconnection");
  set_option(natsOptions_SetFailRequestsOnDisconnect(options_, true), "reconnection");
  set_option(natsOptions_SetDisconnectedCB(options_, on_disconnected, this), "callback");
  set_option(natsOptions_SetReconnectedCB(options_, on_reconnected, this), "callback");
  set_option(natsOptions_SetClosedCB(options_, on_closed, this), "callback");
  set_option(natsOptions_SetErrorHandler(options_, on_error, this), "callback");
}

/// Token, certificates, nkey.
void NatsClient::set_credentials() {
  const std::string token = address_.environment_token();
  if (!token.empty()) set_option(natsOptions_SetToken(options_, token.c_str()), kTokenVariable);
  if (address_.uses_tls()) set_option(natsOptions_SetSecure(options_, true), "TLS");
  if (!address_.ca.empty()) {
    set_option(natsOptions_LoadCATrustedCertificates(options_, address_.ca.c_str()), "--queue-ca");
  }
  if (!address_.certificate.empty()) {
    set_option(
        natsOptions_LoadCertificatesChain(options_, address_.certificate.c_str(), address_.key.c_str()),
        "--queue-cert, --queue-key");
  }
  if (!address_.nkey.empty()) {
    set_option(natsOptions_SetNKeyFromSeed(options_, read_nkey(address_.nkey).public_key.c_str(),
                                           address_.nkey.c_str()),
               "--queue-nkey");
  }
}

void NatsClient::warn_of_exposed_secret() const {
  static std::once_flag once;
  if (!address_.exposes_secret()) return;
  std::call_once(once, [this] {
    log_warning(format_text(
        "the token goes to {} unencrypted: whoever can listen on the way can use the queue. Off this machine "
        "use tls:// and --queue-nkey (experiments/cluster/README.md)",
        shown()));
  });
}

/// Until there is a connection, or one of the reasons not to try again.
void NatsClient::connect(bool wait_for_server) {
  constexpr int kSignatures = 4;
  for (auto wait = kFirstReconnect;; wait = std::min<decltype(wait)>(2 * wait, kLongestReconnect)) {
    natsStatus status = NATS_OK;
    // nats.c sends no signature that begins with a zero byte, one in 256: the next connection has another
    // one.
    for (int attempt = 0; attempt < (address_.nkey.empty() ? 1 : kSignatures); ++attempt) {
      status = natsConnection_Connect(&connection_, options_);
      if (status != NATS_CONNECTION_AUTH_FAILED) break;
    }
    if (status == NATS_OK) return;
    const char* last = nats_GetLastError(nullptr);
    const std::string reason = last != nullptr && *last != '\0' ? last : natsStatus_GetText(status);
    if (status == NATS_CONNECTION_AUTH_FAILED) {
      throw ConfigError(format_text(
          "--queue {}: the server refuses us: {}. Give its token as nats://TOKEN@host:port or in {}, or "
          "the user's key with --queue-nkey",
          shown(), reason, kTokenVariable));
    }
    if (status == NATS_SSL_ERROR || status == NATS_SECURE_CONNECTION_REQUIRED ||
        status == NATS_SECURE_CONNECTION_WANTED) {
      throw ConfigError(format_text("--queue {}: no TLS connection: {}", shown(), reason));
    }
    if (!wait_for_server) {
      throw InfrastructureError(format_text(
          "no queue at {}: {}. Start the server with: nats-server -js -a 127.0.0.1 --auth TOKEN -sd DIR",
          shown(), reason));
    }
    log_info(format_text("waiting for the queue at {}: {}", shown(), reason));
    for (auto slept = 0ms; slept < wait; slept += kRetry) {
      if (give_up_()) throw Interrupted("stopped while waiting for the queue");
      std::this_thread::sleep_for(kRetry);
    }
  }
}

NatsClient::~NatsClient() {
  // What was sent shortly before, acknowledgements above all, is to arrive.
  if (connected()) natsConnection_FlushTimeout(connection_, kCallMilliseconds);
  close();
}

void NatsClient::close() {
  jsCtx_Destroy(jetstream_);
  if (connection_ != nullptr) {
    closing_ = true;
    natsConnection_Close(connection_);
    // Callbacks come on a thread of the library; this object must not end before the last of them.
    closed_.get_future().wait();
    natsConnection_Destroy(connection_);
  }
  natsOptions_Destroy(options_);
}

void NatsClient::expect_open() const {
  if (closed()) fail("connection", NATS_CONNECTION_CLOSED, jsErrCode{});
}

/// A server that is still starting answers late; one without JetStream never.
void NatsClient::expect_jetstream(bool wait) {
  constexpr auto kStart = 5s;
  bool told = false;
  for (auto waited = 0ms;; waited += kRetry) {
    jsErrCode code{};
    jsAccountInfo* info = nullptr;
    const natsStatus status = js_GetAccountInfo(&info, jetstream_, nullptr, &code);
    jsAccountInfo_Destroy(info);
    if (status == NATS_OK) return;
    if (give_up_()) throw Interrupted("stopped while waiting for the queue");
    if (!is_transient(status) || (!wait && waited >= kStart)) fail("JetStream", status, code);
    if (waited >= kStart && !std::exchange(told, true)) {
      log_info(format_text("waiting for JetStream at {}: is it a nats-server with -js?", shown()));
    }
    std::this_thread::sleep_for(kRetry);
  }
}

bool NatsClient::connected() const {
  return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED;
}

bool NatsClient::fits(std::size_t bytes) const {
  const int64_t most = natsConnection_GetMaxPayload(connection_);
  return static_cast<int64_t>(bytes + kHeaderBytes) <= most;
}

std::string NatsClient::too_large(const std::string& what, std::size_t bytes) const {
  return format_text(
      "{} takes {} bytes and the queue's messages hold {} (with {} for headers): raise max_payload in the "
      "server's configuration, or evaluate fewer members and samples an item",
      what, bytes, natsConnection_GetMaxPayload(connection_), kHeaderBytes);
}

void NatsClient::on_disconnected(natsConnection*, void* self) {
  const auto& client = *static_cast<NatsClient*>(self);
  if (client.closing_) return;
  log_warning(format_text("the queue at {} is away; trying to reach it again", client.shown()));
}

void NatsClient::on_reconnected(natsConnection*, void* self) {
  auto& client = *static_cast<NatsClient*>(self);
  ++client.reconnections_;
  log_info(format_text("the queue at {} is back", client.shown()));
}

void NatsClient::on_closed(natsConnection*, void* self) {
  static_cast<NatsClient*>(self)->closed_.set_value();
}

void NatsClient::on_error(natsConnection*, natsSubscription*, natsStatus status, void*) {
  log_debug(format_text("queue: {}", natsStatus_GetText(status)));
}

int64_t NatsClient::reconnect_delay(natsConnection*, int attempts, void*) {
  const auto longest = std::chrono::milliseconds(kLongestReconnect).count();
  int64_t delay = std::chrono::milliseconds(kFirstReconnect).count();
  for (int i = 0; i < attempts && delay < longest; ++i) delay *= 2;
  return std::min<int64_t>(delay, longest);
}

void NatsClient::limit_waiting(std::optional<std::chrono::milliseconds> most) {
  wait_until_ = most ? Clock::now() + *most : Clock::time_point::max();
}

natsStatus NatsClient::persist(const std::function<natsStatus(jsErrCode*)>& call, jsErrCode* code) const {
  constexpr int kMostUnanswered = 150;  // half a minute: JetStream reads its store before it answers
  const auto expect_time = [this] {
    if (Clock::now() < wait_until_.load()) return;
    throw InfrastructureError(format_text("the queue at {} does not answer", shown()));
  };
  for (int unanswered = 0;;) {
    expect_time();
    *code = jsErrCode{};
    const natsStatus status = call(code);
    if (!is_transient(status) && !is_transient(*code)) return status;
    unanswered = status == NATS_NO_RESPONDERS ? unanswered + 1 : 0;
    if (unanswered > kMostUnanswered) return status;
    if (natsConnection_IsClosed(connection_)) return NATS_CONNECTION_CLOSED;
    if (give_up_()) throw Interrupted("stopped while the queue was away");
    std::this_thread::sleep_for(kRetry);
  }
}

void NatsClient::fail(const std::string& what, natsStatus status, jsErrCode code) const {
  const char* last = nats_GetLastError(nullptr);
  std::string reason = last != nullptr && *last != '\0' ? last : natsStatus_GetText(status);
  if (status == NATS_CONNECTION_CLOSED) {
    reason = "the connection is closed; has the server's token or certificate changed?";
  }
  if (code == JSNotEnabledErr || code == JSNotEnabledForAccountErr || status == NATS_NO_RESPONDERS) {
    reason = "the server has no JetStream; start it with: nats-server -js";
  }
  throw InfrastructureError(format_text("queue at {}: {}: {}", shown(), what, reason));
}

void NatsClient::fail_as_repetition(const std::string& message_id) const {
  throw InfrastructureError(
      format_text("queue at {}: the server took a message for a repetition and did not store it ({})",
                  shown(), message_id));
}

void NatsClient::expect(const std::string& what, natsStatus status, jsErrCode code) const {
  if (status != NATS_OK) fail(what, status, code);
}

natsStatus NatsClient::store(const std::string& subject, std::string_view bytes, jsPubOptions& options,
                             jsErrCode* code, Stored& stored) {
  options.MaxWait = kCallMilliseconds;
  jsPubAck* ack = nullptr;
  const natsStatus status = js_Publish(&ack, jetstream_, subject.c_str(), bytes.data(),
                                       static_cast<int>(bytes.size()), &options, code);
  if (status == NATS_OK) stored = {ack->Sequence, ack->Duplicate};
  jsPubAck_Destroy(ack);
  return status;
}

bool NatsClient::publish(const std::string& subject, std::string_view bytes, const std::string& message_id,
                         bool sent_before) {
  jsPubOptions options;
  jsPubOptions_Init(&options);
  if (!message_id.empty()) options.MsgId = message_id.c_str();
  bool repeated = false;
  // Without a stream on the subject nobody answers, which looks like a server that is still starting.
  int unanswered = 0;
  constexpr int kMostUnanswered = 25;
  jsErrCode code{};
  const natsStatus status = persist(
      [&](jsErrCode* failure) {
        Stored stored;
        const natsStatus result = store(subject, bytes, options, failure, stored);
        // A second call may meet what the first has stored, its answer lost on the way.
        if (result == NATS_OK) repeated = stored.duplicate && !sent_before;
        sent_before = true;
        if (result == NATS_NO_RESPONDERS && ++unanswered >= kMostUnanswered) return NATS_NOT_FOUND;
        return result;
      },
      &code);
  if (status == NATS_NOT_FOUND || code == JSStreamNotFoundErr) return false;
  expect("a message cannot be stored", status, code);
  if (repeated) fail_as_repetition(message_id);
  return true;
}

std::string NatsClient::new_inbox() const {
  natsInbox* raw = nullptr;
  expect("an inbox", natsInbox_Create(&raw), jsErrCode{});
  const std::unique_ptr<natsInbox, Destroy<natsInbox_Destroy>> inbox(raw);
  return raw;
}

/// Where the answers to several questions arrive, each under a number.
class NatsClient::AnswerBox {
 public:
  explicit AnswerBox(NatsClient& client)
      : prefix_(client.new_inbox() + "."), answers_(client.listen(prefix_ + "*")) {}
  std::string address(std::size_t question) const { return prefix_ + std::to_string(question); }

  struct Answer {
    std::size_t question = std::string::npos;
    Message message;  ///< none: nobody listens to one of the questions
  };
  std::optional<Answer> next(std::chrono::milliseconds wait) const {
    natsMsg* raw = nullptr;
    if (wait.count() <= 0) return std::nullopt;
    const natsStatus status = natsSubscription_NextMsg(&raw, answers_.get(), wait.count());
    if (status == NATS_NO_RESPONDERS) return Answer{};
    if (status != NATS_OK) return std::nullopt;
    Answer answer{std::string::npos, Message(raw)};
    const std::string_view subject = natsMsg_GetSubject(raw);
    if (subject.starts_with(prefix_)) {
      std::from_chars(subject.data() + prefix_.size(), subject.data() + subject.size(), answer.question);
    }
    return answer;
  }

 private:
  std::string prefix_;
  Subscription answers_;
};

bool NatsClient::publish_all(const std::vector<Publication>& messages) {
  if (messages.empty()) return true;
  // Sent ahead, the answers awaited together; what none came for is sent again under the same id.
  const AnswerBox box(*this);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Publication& publication = messages[i];
    natsMsg* raw = nullptr;
    expect("a message",
           natsMsg_Create(&raw, publication.subject.c_str(), box.address(i).c_str(), publication.bytes.data(),
                          static_cast<int>(publication.bytes.size())),
           jsErrCode{});
    const Message message(raw);
    if (!publication.message_id.empty()) {
      natsMsgHeader_Set(raw, "Nats-Msg-Id", publication.message_id.c_str());
    }
    if (natsConnection_PublishMsg(connection_, raw) != NATS_OK) break;
  }
  std::vector<bool> stored(messages.size(), false);
  for (std::size_t count = 0; count < messages.size(); ++count) {
    const auto answer = box.next(std::chrono::milliseconds(kCallMilliseconds));
    if (!answer || !answer->message) break;
    const std::size_t place = answer->question;
    const auto told = nlohmann::json::parse(data_of(answer->message.get()), nullptr, false);
    const bool good = told.is_object() && !told.contains("error") && told.value("seq", uint64_t{0}) > 0;
    if (!good || place >= messages.size()) continue;
    // Each was sent once so far: what it is a repetition of is another message, and this one is not stored.
    if (told.value("duplicate", false)) fail_as_repetition(messages[place].message_id);
    stored[place] = true;
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto& [subject, bytes, message_id] = messages[i];
    if (!stored[i] && !publish(subject, bytes, message_id, true)) return false;
  }
  return true;
}

void NatsClient::ensure_stream(const std::string& stream, const std::string& subject, bool work_queue) {
  const char* subjects[] = {subject.c_str()};
  jsStreamConfig config;
  jsStreamConfig_Init(&config);
  config.Name = stream.c_str();
  config.Subjects = subjects;
  config.SubjectsLen = 1;
  config.Retention = work_queue ? js_WorkQueuePolicy : js_LimitsPolicy;
  config.Storage = js_FileStorage;
  jsErrCode code{};
  expect("stream " + stream,
         persist(
             [&](jsErrCode* failure) { return js_AddStream(nullptr, jetstream_, &config, nullptr, failure); },
             &code),
         code);
}

void NatsClient::delete_stream(const std::string& stream) {
  jsErrCode code{};
  const natsStatus status = persist(
      [&](jsErrCode* failure) { return js_DeleteStream(jetstream_, stream.c_str(), nullptr, failure); },
      &code);
  if (code != JSStreamNotFoundErr && status != NATS_NOT_FOUND) expect("stream " + stream, status, code);
}

void NatsClient::purge(const std::string& stream, const std::string& subject) {
  jsOptions options;
  jsOptions_Init(&options);
  options.Wait = kCallMilliseconds;
  options.Stream.Purge.Subject = subject.c_str();
  jsErrCode code{};
  const natsStatus status = persist(
      [&](jsErrCode* failure) { return js_PurgeStream(jetstream_, stream.c_str(), &options, failure); },
      &code);
  if (code != JSStreamNotFoundErr && status != NATS_NOT_FOUND) expect("stream " + stream, status, code);
}

void NatsClient::delete_message(const std::string& stream, uint64_t sequence) {
  jsErrCode code{};
  // One that is gone already is as good.
  persist(
      [&](jsErrCode* failure) {
        return js_DeleteMsg(jetstream_, stream.c_str(), sequence, nullptr, failure);
      },
      &code);
}

std::optional<std::set<std::string>> NatsClient::subjects(const std::string& stream,
                                                          const std::string& matching) {
  jsOptions options;
  jsOptions_Init(&options);
  options.Wait = kCallMilliseconds;
  options.Stream.Info.SubjectsFilter = matching.c_str();
  jsErrCode code{};
  jsStreamInfo* raw = nullptr;
  const natsStatus status = persist(
      [&](jsErrCode* failure) {
        return js_GetStreamInfo(&raw, jetstream_, stream.c_str(), &options, failure);
      },
      &code);
  if (code == JSStreamNotFoundErr || status == NATS_NOT_FOUND) return std::nullopt;
  expect("stream " + stream, status, code);
  const Info info(raw);
  std::set<std::string> found;
  if (const jsStreamStateSubjects* list = info->State.Subjects) {
    for (int i = 0; i < list->Count; ++i) found.insert(list->List[i].Subject);
  }
  return found;
}

std::optional<BucketValue> NatsClient::last_message(const std::string& stream, const std::string& subject) {
  jsErrCode code{};
  natsMsg* raw = nullptr;
  const auto call = [&](jsErrCode* failure) {
    return js_GetLastMsg(&raw, jetstream_, stream.c_str(), subject.c_str(), nullptr, failure);
  };
  const natsStatus status = persist(call, &code);
  if (code == JSNoMessageFoundErr || code == JSStreamNotFoundErr || status == NATS_NOT_FOUND)
    return std::nullopt;
  expect("a message of " + stream, status, code);
  const Message message(raw);
  return BucketValue{std::string(data_of(raw)), natsMsg_GetSequence(raw)};
}

std::optional<NatsClient::StreamState> NatsClient::stream_state(const std::string& stream) {
  jsErrCode code{};
  jsStreamInfo* raw = nullptr;
  const natsStatus status = persist(
      [&](jsErrCode* failure) {
        return js_GetStreamInfo(&raw, jetstream_, stream.c_str(), nullptr, failure);
      },
      &code);
  if (code == JSStreamNotFoundErr || status == NATS_NOT_FOUND) return std::nullopt;
  expect("stream " + stream, status, code);
  const Info info(raw);
  return StreamState{info->State.Msgs, info->State.LastSeq, info->Created};
}

std::optional<std::string> NatsClient::subject_of(const std::string& stream, uint64_t sequence) {
  jsErrCode code{};
  natsMsg* raw = nullptr;
  const natsStatus status = persist(
      [&](jsErrCode* failure) {
        return js_GetMsg(&raw, jetstream_, stream.c_str(), sequence, nullptr, failure);
      },
      &code);
  if (code == JSNoMessageFoundErr || code == JSStreamNotFoundErr || status == NATS_NOT_FOUND)
    return std::nullopt;
  expect("a message of " + stream, status, code);
  const Message message(raw);
  return natsMsg_GetSubject(raw);
}

void NatsClient::add_consumer(const std::string& stream, jsConsumerConfig& config) {
  config.DeliverPolicy = js_DeliverAll;
  config.AckPolicy = js_AckExplicit;
  jsErrCode code{};
  const natsStatus status = persist(
      [&](jsErrCode* failure) {
        return js_AddConsumer(nullptr, jetstream_, stream.c_str(), &config, nullptr, failure);
      },
      &code);
  expect(format_text("consumer {}", config.Durable), status, code);
}

void NatsClient::ensure_consumer(const std::string& stream, const std::string& consumer,
                                 const std::string& subject, std::chrono::nanoseconds ack_wait,
                                 int64_t max_deliveries) {
  constexpr int64_t kMostWaiting = 20000;  // pull requests of all workers
  jsConsumerConfig config;
  jsConsumerConfig_Init(&config);
  config.Durable = consumer.c_str();
  config.AckWait = ack_wait.count();
  config.MaxDeliver = max_deliveries;
  config.MaxAckPending = -1;
  config.MaxWaiting = kMostWaiting;
  config.FilterSubject = subject.c_str();
  add_consumer(stream, config);
}

void NatsClient::delete_consumer(const std::string& stream, const std::string& consumer) {
  jsErrCode code{};
  persist(
      [&](jsErrCode* failure) {
        return js_DeleteConsumer(jetstream_, stream.c_str(), consumer.c_str(), nullptr, failure);
      },
      &code);
}

std::optional<ConsumerState> NatsClient::consumer_state(const std::string& stream,
                                                        const std::string& consumer) {
  jsErrCode code{};
  jsConsumerInfo* raw = nullptr;
  const natsStatus status = persist(
      [&](jsErrCode* failure) {
        return js_GetConsumerInfo(&raw, jetstream_, stream.c_str(), consumer.c_str(), nullptr, failure);
      },
      &code);
  if (status != NATS_OK) return std::nullopt;
  const ConsumerInfo info(raw);
  return ConsumerState{info->NumPending, info->NumAckPending, info->Config->MaxDeliver,
                       info->Delivered.Stream};
}

Subscription NatsClient::bind(
    const std::string& stream, const std::string& consumer,
    const std::function<natsStatus(natsSubscription**, jsSubOptions*, jsErrCode*)>& subscribe) {
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Stream = stream.c_str();
  options.Consumer = consumer.c_str();
  jsErrCode code{};
  natsSubscription* raw = nullptr;
  const natsStatus status =
      persist([&](jsErrCode* failure) { return subscribe(&raw, &options, failure); }, &code);
  expect("consumer " + consumer, status, code);
  return Subscription(raw);
}

Subscription NatsClient::pull(const std::string& stream, const std::string& consumer,
                              const std::string& subject) {
  return bind(stream, consumer,
              [&](natsSubscription** subscription, jsSubOptions* options, jsErrCode* failure) {
                return js_PullSubscribe(subscription, jetstream_, subject.c_str(), consumer.c_str(), nullptr,
                                        options, failure);
              });
}

Subscription NatsClient::push(const std::string& stream, const std::string& consumer,
                              const std::string& subject, std::chrono::nanoseconds ack_wait, int64_t most) {
  const std::string inbox = new_inbox();
  jsConsumerConfig config;
  jsConsumerConfig_Init(&config);
  config.Durable = consumer.c_str();
  config.DeliverSubject = inbox.c_str();
  config.AckWait = ack_wait.count();
  config.MaxAckPending = most;
  config.FilterSubject = subject.c_str();
  add_consumer(stream, config);
  Subscription subscription =
      bind(stream, consumer, [&](natsSubscription** bound, jsSubOptions* options, jsErrCode* failure) {
        options->ManualAck = true;
        return js_SubscribeSync(bound, jetstream_, subject.c_str(), nullptr, options, failure);
      });
  // The server's limit bounds what waits here; the library's own would drop messages.
  expect("consumer " + consumer, natsSubscription_SetPendingLimits(subscription.get(), -1, -1), jsErrCode{});
  return subscription;
}

void NatsClient::ensure_bucket(const std::string& bucket) {
  if (stream_state("KV_" + bucket)) return;
  kvConfig config;
  kvConfig_Init(&config);
  config.Bucket = bucket.c_str();
  config.History = 1;
  config.StorageType = js_FileStorage;
  kvStore* raw = nullptr;
  jsErrCode code{};
  expect("bucket " + bucket,
         persist([&](jsErrCode*) { return js_CreateKeyValue(&raw, jetstream_, &config); }, &code), code);
  kvStore_Destroy(raw);
}

bool NatsClient::put(const std::string& bucket, const std::string& key, std::string_view bytes) {
  return publish(key_subject(bucket, key), bytes, "");
}

std::optional<uint64_t> NatsClient::put_if(const std::string& bucket, const std::string& key,
                                           std::string_view bytes, uint64_t revision) {
  const std::string subject = key_subject(bucket, key);
  jsPubOptions options;
  jsPubOptions_Init(&options);
  options.ExpectLastSubjectSeq = revision;
  options.ExpectNoMessage = revision == 0;
  Stored stored;
  jsErrCode code{};
  const natsStatus status =
      persist([&](jsErrCode* failure) { return store(subject, bytes, options, failure, stored); }, &code);
  if (code == JSStreamWrongLastSequenceErr) return std::nullopt;
  expect("key " + key, status, code);
  return stored.sequence;
}

std::optional<BucketValue> NatsClient::get(const std::string& bucket, const std::string& key) {
  return last_message("KV_" + bucket, key_subject(bucket, key));
}

void NatsClient::purge_key(const std::string& bucket, const std::string& key) {
  purge("KV_" + bucket, key_subject(bucket, key));
}

void NatsClient::send(const std::string& subject, std::string_view bytes) {
  natsConnection_Publish(connection_, subject.c_str(), bytes.data(), static_cast<int>(bytes.size()));
}

Subscription NatsClient::listen(const std::string& subject) {
  natsSubscription* raw = nullptr;
  expect("subscription", natsConnection_SubscribeSync(&raw, connection_, subject.c_str()), jsErrCode{});
  return Subscription(raw);
}

std::optional<std::string> NatsClient::next_question(const Subscription& subscription,
                                                     std::chrono::milliseconds wait) {
  natsMsg* raw = nullptr;
  const natsStatus status = natsSubscription_NextMsg(&raw, subscription.get(), wait.count());
  if (status != NATS_OK) {
    if (status != NATS_TIMEOUT) std::this_thread::sleep_for(wait);
    return std::nullopt;
  }
  const Message message(raw);
  const char* reply = natsMsg_GetReply(raw);
  return reply == nullptr ? std::nullopt : std::optional<std::string>(reply);
}

std::vector<std::vector<std::string>> NatsClient::ask_all(const std::vector<std::string>& subjects,
                                                          std::chrono::milliseconds wait) {
  std::vector<std::vector<std::string>> answers(subjects.size());
  const AnswerBox box(*this);
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    natsConnection_PublishRequest(connection_, subjects[i].c_str(), box.address(i).c_str(), nullptr, 0);
  }
  const auto end = Clock::now() + wait;
  for (std::size_t deaf = 0; deaf < subjects.size();) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    const auto answer = box.next(left);
    if (!answer) break;
    if (!answer->message) {
      ++deaf;
    } else if (answer->question < subjects.size()) {
      answers[answer->question].emplace_back(data_of(answer->message.get()));
    }
  }
  return answers;
}

}  // namespace namm::evolution::nats
