#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "evolution/queues/nats_address.h"
#include "tests/support/temporary_directory.h"

namespace namm::evolution {
namespace {

NatsAddress address(const std::string& url) {
  NatsAddress made;
  made.url = url;
  return made;
}

std::string refusal(const NatsAddress& wrong) {
  try {
    wrong.check();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(NatsAddress, SecretsAreNotShown) {
  EXPECT_EQ(address("nats://127.0.0.1:4222").shown(), "nats://127.0.0.1:4222");
  EXPECT_EQ(address("nats://s3cret@host:4222").shown(), "nats://***@host:4222");
  EXPECT_EQ(address("tls://user:s3cret@host").shown(), "tls://***@host");
  EXPECT_EQ(address("nats://s3@cret@host:4222").shown(), "nats://***@host:4222");
  EXPECT_EQ(address("nats://user:s3@cr@et@host").shown(), "nats://***@host");
  EXPECT_EQ(address("nats://@host").shown(), "nats://***@host");
}

TEST(NatsAddress, SecretsAreTakenOutOfCommandLines) {
  EXPECT_EQ(without_secrets("--queue=nats://s3cret@host:4222"), "--queue=nats://***@host:4222");
  EXPECT_EQ(without_secrets("nats://s3cret@one,nats://s3cret@two"), "nats://***@two");
  EXPECT_EQ(without_secrets("someone@example.org"), "someone@example.org");
  EXPECT_EQ(without_secrets("a@b nats://host"), "a@b nats://host");
  EXPECT_EQ(without_secrets(""), "");
  for (const char* text : {"nats://s3cret@h", "tls://u:s3cret@h", "x nats://s3cret@h", "nats://a@s3cret@h"}) {
    EXPECT_EQ(without_secrets(text).find("s3cret"), std::string::npos) << text;
  }
}

TEST(NatsAddress, GoodOnesAreTaken) {
  for (const char* url : {"nats://127.0.0.1:4222", "tls://host", "nats://token@host:1", "nats://u:p@host",
                          "nats://to@ken@host:4222", "nats://[::1]:4222"}) {
    EXPECT_NO_THROW(address(url).check()) << url;
  }
}

TEST(NatsAddress, AnotherSchemeOrNoHostIsRefusedWithoutTheSecret) {
  for (const char* url : {"", "host:4222", "http://host", "natss://host", "Nats://host", " nats://host"}) {
    EXPECT_NE(refusal(address(url)).find("an address of a NATS server"), std::string::npos) << url;
  }
  for (const char* url : {"nats://", "tls://", "nats://:4222", "nats://s3cret@", "tls://u:s3cret@:4222"}) {
    const std::string text = refusal(address(url));
    EXPECT_NE(text.find("no host"), std::string::npos) << url;
    EXPECT_EQ(text.find("s3cret"), std::string::npos) << text;
  }
}

TEST(NatsAddress, WhiteSpaceAndControlCharactersAreRefusedWithoutTheSecret) {
  for (const char* url :
       {"nats://s3cret\n@host:4222", "nats://s3cret@host:4222\n", "nats://s3 cret@host", "\x7f"}) {
    const std::string text = refusal(address(url));
    EXPECT_NE(text.find("white space or a control character"), std::string::npos) << text;
    EXPECT_EQ(text.find("s3"), std::string::npos) << text;
  }
}

/// The variable with the token, for as long as it lives.
class TokenVariable {
 public:
  explicit TokenVariable(const std::string& value) { ::setenv(kTokenVariable, value.c_str(), 1); }
  ~TokenVariable() { ::unsetenv(kTokenVariable); }
  TokenVariable(const TokenVariable&) = delete;
  TokenVariable& operator=(const TokenVariable&) = delete;
};

TEST(NatsAddress, TheTokenOfTheEnvironmentIsTakenWithoutWhiteSpaceAtItsEnds) {
  for (const char* value : {"s3cret", "s3cret\n", " s3cret\r\n", "\ts3cret "}) {
    const TokenVariable variable(value);
    EXPECT_EQ(address("nats://host").environment_token(), "s3cret");
    EXPECT_NO_THROW(address("nats://host").check());
    EXPECT_EQ(address("nats://own@host").environment_token(), "");
    NatsAddress with_key = address("tls://host");
    with_key.nkey = "user.nk";
    EXPECT_EQ(with_key.environment_token(), "");
  }
  for (const char* value : {"", " \n"}) {
    const TokenVariable variable(value);
    EXPECT_EQ(address("nats://host").environment_token(), "");
  }
  EXPECT_EQ(address("nats://host").environment_token(), "");
}

TEST(NatsAddress, ATokenThatCannotBeSentIsRefusedByName) {
  for (const char* value : {"s3c\nret", "s3c\x01ret", "s3c\tret", "s3c\"ret", "s3c\\ret", "s3cret\x7f"}) {
    const TokenVariable variable(value);
    const std::string text = refusal(address("nats://host"));
    EXPECT_NE(text.find("NAMM_QUEUE_TOKEN: "), std::string::npos) << text;
    EXPECT_EQ(text.find("s3c"), std::string::npos) << text;
    EXPECT_EQ(refusal(address("nats://own@host")), "accepted");
  }
}

TEST(NatsAddress, ASecretThatOthersCanReadOnItsWayIsKnown) {
  for (const char* url : {"nats://t@10.0.0.5:4222", "nats://u:p@queue.example", "nats://t@127.evil.example",
                          "nats://t@[2001:db8::1]:4222", "nats://t@localhost,nats://t@far.example:4222"}) {
    EXPECT_TRUE(address(url).exposes_secret()) << url;
    NatsAddress safe = address(url);
    safe.ca = "ca.pem";
    EXPECT_FALSE(safe.exposes_secret()) << url;
  }
  for (const char* url : {"nats://t@127.0.0.1:4222", "nats://t@localhost", "nats://t@[::1]:4222",
                          "nats://t@127.1", "tls://t@queue.example", "nats://queue.example"}) {
    EXPECT_FALSE(address(url).exposes_secret()) << url;
  }
  const TokenVariable variable("token");
  EXPECT_TRUE(address("nats://queue.example").exposes_secret());
  EXPECT_FALSE(address("nats://127.0.0.1").exposes_secret());
}

TEST(NatsAddress, FilesMustBeThereAndInPairs) {
  const testing::TemporaryDirectory directory;
  const auto file = directory / "file.pem";
  std::ofstream(file) << "x";
  const auto gone = directory / "gone.pem";

  NatsAddress tls = address("tls://host");
  tls.ca = tls.certificate = tls.key = tls.nkey = file;
  EXPECT_NO_THROW(tls.check());

  for (auto [member, option] : {std::pair(&NatsAddress::ca, "--queue-ca"),
                                {&NatsAddress::certificate, "--queue-cert"},
                                {&NatsAddress::key, "--queue-key"},
                                {&NatsAddress::nkey, "--queue-nkey"}}) {
    NatsAddress wrong = tls;
    wrong.*member = gone;
    const std::string text = refusal(wrong);
    EXPECT_NE(text.find(option), std::string::npos) << text;
    EXPECT_NE(text.find("gone.pem"), std::string::npos) << text;
    wrong.*member = directory.path();
    EXPECT_NE(refusal(wrong).find("no such file"), std::string::npos) << option;
  }
  for (auto member : {&NatsAddress::certificate, &NatsAddress::key}) {
    NatsAddress half = tls;
    half.*member = "";
    EXPECT_NE(refusal(half).find("belong together"), std::string::npos);
  }
}

}  // namespace
}  // namespace namm::evolution
