"""What can happen to a run on a queue between processes (workers, coordinator, server, messages), each time with the
same final state as the undisturbed run in one process."""

import collections
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.evolution.queue.processes import TOKEN, QueueTest, free_port, main, wait_until


class Workers(QueueTest):
    def test_any_number_of_workers_gives_the_same_state(self):
        for count in (1, 2, 4):
            with self.subTest(workers=count):
                workers = [self.worker(run=f"w{count}", milliseconds=3 * i) for i in range(count)]
                self.assert_done(self.coordinator(run=f"w{count}", out=self.folder / f"run{count}"))
                for worker in workers:
                    worker.kill()

    def test_workers_may_start_before_server_and_run(self):
        self.server.kill()
        worker = self.worker()
        time.sleep(0.5)
        self.server.start()
        time.sleep(0.5)
        self.assert_done(self.coordinator())
        worker.signal(signal.SIGTERM)
        output, status = worker.finish()
        self.assertEqual(status, 0, worker.log())
        self.assertGreater(int(output.split()[0]), 0)

    def test_killed_worker(self):
        dying = self.worker(die=3)
        coordinator = self.coordinator()
        dying.finish()
        self.worker()
        self.assertGreaterEqual(self.assert_done(coordinator), 1)

    def test_stopped_past_its_lease_and_continued(self):
        # Items so long that it is stopped within one, however late this process is.
        slow = self.worker(milliseconds=1500, evaluations=self.folder / "evaluations")
        coordinator = self.coordinator(generations=3)
        wait_until(lambda: any("population" in line for line in self.evaluations()), what="a population item in hand")
        slow.signal(signal.SIGSTOP)
        fast = self.worker()
        time.sleep(1.6)
        slow.signal(signal.SIGCONT)
        self.assertGreaterEqual(self.assert_done(coordinator, generations=3), 1)
        self.assertNotIn("different results", coordinator.log())
        fast.kill()

    def test_worker_joins_in_the_middle_of_a_generation(self):
        self.worker(milliseconds=200)
        coordinator = self.coordinator(generations=3)
        self.journaled(1)
        self.worker(milliseconds=50, evaluations=self.folder / "evaluations")
        self.assert_done(coordinator, generations=3)
        self.assertGreater(len(self.evaluations()), 3)

    def test_all_workers_die_and_new_ones_finish(self):
        first = [self.worker(milliseconds=40) for _ in range(2)]
        coordinator = self.coordinator()
        self.journaled(1)
        for worker in first:
            worker.kill()
        time.sleep(0.3)
        self.worker()
        self.assert_done(coordinator)

    def test_stopped_worker_ends_the_item_in_hand(self):
        worker = self.worker(milliseconds=3000, evaluations=self.folder / "evaluations")
        coordinator = self.coordinator(generations=1)
        wait_until(self.evaluations, what="an evaluation")
        worker.signal(signal.SIGINT)
        output, status = worker.finish()
        self.assertEqual((output, status), ("1 items\n", 0), worker.log())
        self.worker(evaluations=self.folder / "evaluations")
        self.assert_done(coordinator, generations=1)
        counts = collections.Counter(self.evaluations())
        self.assertEqual(set(counts.values()), {1}, "an item was computed twice")

    def test_failing_worker_beside_a_good_one(self):
        # The item's next turn comes after seconds of others: time enough to end the worker before the third failure.
        failing = self.worker(fail=2, milliseconds=500)
        coordinator = self.coordinator(generations=1)
        wait_until(lambda: "made to fail" in coordinator.log(), what="a failure")
        failing.kill()
        self.worker()
        self.assertGreaterEqual(self.assert_done(coordinator, generations=1), 1)

    def test_item_that_fails_three_times_stops_the_run_and_a_repaired_worker_finishes_it(self):
        failing = self.worker(fail=2)
        self.assert_refused(self.coordinator(), 4, "population item 2 failed 3 times", "made to fail", "resume")
        failing.kill()
        self.worker()
        self.assert_done(self.coordinator())

    def test_nan_ranks_last(self):
        self.worker(nan=1)
        output, status = self.coordinator(generations=1).finish()
        self.assertEqual(status, 0)
        with self.assertRaises(AssertionError):
            self.assertEqual(output.split()[0], self.expected(generations=1))
        log = (self.folder / "run" / "log.jsonl").read_text()
        self.assertRegex(log, '"non_finite":[1-9]')


class Leases(QueueTest):
    def test_long_items_are_computed_once(self):
        # A lease that outlives what a busy machine lets a process wait, and another worker that would take what ran out.
        arguments = {"generations": 1, "population": 2, "members_per_item": 1, "samples_per_item": 6, "validate_every": 0}
        for _ in range(2):
            self.worker(milliseconds=9000, evaluations=self.folder / "evaluations")
        reissued = self.assert_done(self.coordinator(lease=4, **arguments), **arguments)
        self.assertEqual(reissued, 0)
        counts = collections.Counter(self.evaluations())
        self.assertEqual(set(counts.values()), {1}, counts)

    def test_lease_is_given_in_the_servers_unit(self):
        self.coordinator(lease=45)
        stream = wait_until(lambda: self.server.streams().get("NAMM_fake_ITEMS"), what="the stream of items")
        (consumer,) = wait_until(
            lambda: self.server.streams()["NAMM_fake_ITEMS"].get("consumer_detail"), what="the workers' consumer"
        )
        self.assertEqual(consumer["config"]["ack_wait"], 45_000_000_000)
        self.assertEqual(stream["config"]["retention"], "workqueue")

    def test_item_that_kills_every_worker_is_named_and_the_rest_is_kept(self):
        workers = [self.worker(die=3, evaluations=self.folder / "evaluations") for _ in range(4)]
        coordinator = self.coordinator(lease=0.4, max_deliveries=3, generations=1)
        self.assert_refused(coordinator, 4, "population item 3", "handed out 3 times", "resume")
        for worker in workers:
            worker.kill()
        before = collections.Counter(self.evaluations())
        self.worker(evaluations=self.folder / "evaluations")
        self.assert_done(self.coordinator(lease=0.4, max_deliveries=3, generations=1), generations=1)
        again = collections.Counter(self.evaluations()) - before
        repeated = [item for item in again if before[item] > 0]
        self.assertEqual(repeated, [], "results of good items were not kept")

    def test_hanging_item_is_given_up_and_ends_elsewhere(self):
        hanging = self.worker(hang=3)
        coordinator = self.coordinator(generations=1, item_limit=1)
        self.assert_refused(hanging, 4, "longer than queue.item_limit_seconds")
        self.worker()
        self.assertGreaterEqual(self.assert_done(coordinator, generations=1), 1)

    def test_item_that_hangs_everywhere_stops_the_run(self):
        for _ in range(3):
            self.worker(hang=3, name="the sleepy one")
        self.assert_refused(
            self.coordinator(generations=1, item_limit=1),
            4,
            "population item 3 failed 3 times, the last time on the sleepy one: ",
            "item_limit_seconds",
        )

    def test_item_of_a_worker_that_is_told_to_stop_is_not_given_away(self):
        stopping = self.worker(milliseconds=10000, evaluations=self.folder / "evaluations")
        arguments = {"generations": 1, "population": 2, "members_per_item": 1, "samples_per_item": 6}
        coordinator = self.coordinator(lease=4, **arguments)
        wait_until(self.evaluations, what="an evaluation")
        self.worker(evaluations=self.folder / "evaluations")
        stopping.signal(signal.SIGTERM)
        self.assert_done(coordinator, **arguments)
        counts = collections.Counter(self.evaluations())
        self.assertEqual(set(counts.values()), {1}, counts)


class Coordinators(QueueTest):
    def test_killed_and_restarted(self):
        self.worker(milliseconds=50, evaluations=self.folder / "evaluations")
        # A lease that does not run out: what is computed twice was handed out twice.
        coordinator = self.coordinator(lease=60)
        for _ in range(3):
            self.journaled(400)
            coordinator.kill()
            time.sleep(0.1)
            coordinator = self.coordinator(lease=60)
        self.assert_done(coordinator)
        counts = collections.Counter(self.evaluations())
        # Nothing that was answered is computed again: items and results outlive the coordinator on the server.
        self.assertEqual(max(counts.values()), 1, counts.most_common(3))

    def test_interrupted_and_resumed(self):
        self.worker(milliseconds=60)
        coordinator = self.coordinator()
        self.journaled(1)
        coordinator.signal(signal.SIGINT)
        _, status = coordinator.finish()
        self.assertEqual(status, 130, coordinator.log())
        self.assertEqual(self.server.messages()["NAMM_fake_ITEMS"], 0)
        self.assert_done(self.coordinator())

    def test_second_coordinator_in_the_same_directory_is_refused(self):
        first = self.coordinator(lease=5)
        wait_until(lambda: self.server.messages().get("NAMM_fake_ITEMS"), what="items")
        self.assert_refused(self.coordinator(queue="", threads=1), 2, "another process works in this run directory")
        self.worker()
        self.assert_done(first)

    def test_second_coordinator_of_the_same_run_elsewhere_is_refused(self):
        first = self.coordinator(lease=5)
        wait_until(lambda: "NAMM_fake_ITEMS" in self.server.streams(), what="the first coordinator")
        self.assert_refused(self.coordinator(lease=5, out=self.folder / "copy"), 2, "has a coordinator that is alive")
        self.worker()
        self.assert_done(first)

    def test_one_that_was_frozen_finds_itself_replaced(self):
        first = self.coordinator(lease=1)
        wait_until(lambda: self.server.messages().get("NAMM_fake_ITEMS"), what="items")
        first.signal(signal.SIGSTOP)
        second = self.coordinator(lease=1, out=self.folder / "copy")
        wait_until(lambda: "waiting whether it is alive" in second.log(), what="the second coordinator")
        wait_until(lambda: "no worker answers" in second.log(), what="the second coordinator's turn")
        first.signal(signal.SIGCONT)
        self.assert_refused(first, 4, "taken over by another coordinator")
        self.worker()
        self.assert_done(second)


class Machines(QueueTest):
    """Disk and clock."""

    def test_full_disk_stops_the_run_and_room_lets_it_go_on(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("no right to mount a small disk: " + mounted.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)])
        arguments = {"generations": 6, "out": disk / "run"}
        coordinator = self.coordinator(queue="", step=1, **arguments)
        self.assertIn("generation 0", coordinator.process.stdout.readline(), coordinator.log())
        coordinator.answer()
        self.assertIn("generation 1", coordinator.process.stdout.readline(), coordinator.log())
        filler = disk / "filler"
        with self.assertRaises(OSError), open(filler, "wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        coordinator.answer()
        self.assert_refused(coordinator, 4, "No space left on device")
        filler.unlink()
        self.assert_done(self.coordinator(queue="", **arguments), generations=6)

    def test_clocks_that_differ_and_jump(self):
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        self.assertIsNotNone(library, "faketime is not installed; ./setup.sh --tests brings it")
        clock = self.folder / "clock"
        clock.write_text("+0")
        faked = {"LD_PRELOAD": str(library), "DONT_FAKE_MONOTONIC": "1"}
        jumping = {**faked, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
        date = subprocess.run(
            ["date", "+%s"], env={**os.environ, **faked, "FAKETIME": "+40d"}, capture_output=True, check=True
        )
        self.assertGreater(int(date.stdout), time.time() + 39 * 86400, "the clock is not faked")
        self.start("fake_worker", {**faked, "FAKETIME": "+40d"}, queue=self.server.url, milliseconds=100)
        self.start("fake_worker", jumping, queue=self.server.url, milliseconds=100)
        coordinator = self.start("fake_coordinator", jumping, queue=self.server.url, out=self.folder / "run")
        for jump in ("+3d", "-2d", "+0"):
            self.journaled(1)
            clock.write_text(jump)
            time.sleep(0.3)
        self.assert_done(coordinator)


class Servers(QueueTest):
    def test_killed_and_restarted_in_the_middle(self):
        self.worker(milliseconds=60)
        coordinator = self.coordinator()
        for _ in range(3):
            self.journaled(1)
            self.server.kill()
            time.sleep(0.3)
            self.server.start()
        self.assert_done(coordinator)

    def test_everything_on_its_disk_is_lost(self):
        self.worker(milliseconds=60)
        coordinator = self.coordinator()
        self.journaled(1)
        self.server.kill()
        subprocess.run(["rm", "-rf", str(self.server.folder / "store")], check=True)
        self.server.start()
        self.assert_done(coordinator)

    def test_another_token_ends_both_sides(self):
        worker = self.worker(milliseconds=60)
        coordinator = self.coordinator()
        self.journaled(1)
        self.server.kill()
        self.server.config.write_text(self.server.config.read_text().replace(TOKEN, "another-token"))
        self.server.start()
        self.assert_refused(coordinator, 4, "the connection is closed")
        self.assert_refused(worker, 4, "the connection is closed")

    def test_streams_and_candidates_that_somebody_deletes(self):
        self.worker(milliseconds=150)
        coordinator = self.coordinator(generations=3, lease=0.5)
        deletions = [
            ("$JS.API.STREAM.DELETE.NAMM_fake_ITEMS", b""),
            ("$JS.API.STREAM.DELETE.NAMM_fake_RESULTS", b""),
            ("$JS.API.STREAM.PURGE.KV_namm-fake", b'{"filter": "$KV.namm-fake.g.>"}'),
        ]
        for subject, payload in deletions:
            self.journaled(1)
            self.server.publish(subject, payload)
            time.sleep(0.5)
        self.assert_done(coordinator, generations=3)

    def test_message_counts_return_after_each_generation(self):
        self.worker()
        # A lease that does not run out: no second result comes late.
        coordinator = self.coordinator(step=1, lease=60)
        counts = []
        for _ in range(5):
            line = coordinator.process.stdout.readline()
            self.assertIn("generation", line, coordinator.log())
            counts.append(self.server.messages())
            coordinator.answer()
        self.assert_done(coordinator)
        self.assertEqual(set(counts[0]), {"NAMM_fake_ITEMS", "NAMM_fake_RESULTS", "KV_namm-fake", "KV_namm"})
        self.assertEqual(counts[0]["NAMM_fake_ITEMS"], 0)
        self.assertEqual(counts[0]["NAMM_fake_RESULTS"], 0)
        for later in counts[1:]:
            self.assertEqual(later, counts[0])
        self.assertEqual(self.server.messages(), {"KV_namm": 0}, "a finished run leaves nothing behind")

    def test_two_runs_do_not_mix(self):
        workers = [self.worker(), self.worker()]
        one = self.coordinator(run="one", out=self.folder / "one")
        two = self.coordinator(run="two", out=self.folder / "two", dimension=9)
        self.assert_done(one)
        self.assert_done(two, dimension=9)
        del workers

    def test_the_documented_server_listens_on_loopback_only(self):
        with tempfile.TemporaryDirectory() as store:
            port = free_port()
            process = subprocess.Popen(
                ["nats-server", "-js", "-a", "127.0.0.1", "-p", str(port), "--auth", TOKEN, "-sd", store],
                stderr=subprocess.DEVNULL,
            )
            try:
                def sockets():
                    rows = [line.split() for line in Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]]
                    return {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}

                self.assertEqual(wait_until(sockets, what="the port"), {f"0100007F:{port:04X}"})
            finally:
                process.kill()
                process.wait()


class Messages(QueueTest):
    def test_wrong_token_is_refused(self):
        wrong = self.server.url.replace(TOKEN, "wrong-token")
        for program in (self.coordinator(queue=wrong), self.worker(queue=wrong)):
            self.assert_refused(program, 2, "the server refuses us", "NAMM_QUEUE_TOKEN")
            self.assertNotIn("wrong-token", program.log())

    def test_token_from_the_environment(self):
        url = self.server.url.replace(TOKEN + "@", "")
        # As a secret that was made from a file holds it.
        environment = {"NAMM_QUEUE_TOKEN": TOKEN + "\n"}
        self.start("fake_worker", environment, queue=url)
        coordinator = self.start("fake_coordinator", environment, queue=url, out=self.folder / "run")
        self.assert_done(coordinator)

    def test_token_that_cannot_be_sent_is_refused(self):
        url = self.server.url.replace(TOKEN + "@", "")
        for token in ("a\ntoken", 'a"token'):
            for program in ("fake_worker", "fake_coordinator"):
                started = self.start(program, {"NAMM_QUEUE_TOKEN": token}, queue=url, out=self.folder / "run")
                self.assert_refused(started, 2, "NAMM_QUEUE_TOKEN: the token holds a control character")

    def test_token_in_plain_text_to_another_machine_is_told_once(self):
        # A name for this machine that does not say so.
        far = self.server.url.replace("127.0.0.1", "0.0.0.0")
        worker = self.worker(queue=far)
        coordinator = self.coordinator(queue=far)
        self.assert_done(coordinator)
        for program in (worker, coordinator):
            self.assertEqual(program.log().count("unencrypted"), 1, program.log())
            self.assertNotIn(TOKEN, program.log())
        near = self.coordinator(run="near", out=self.folder / "near")
        self.assert_done(near)
        self.assertNotIn("unencrypted", near.log())

    def test_no_server(self):
        self.server.kill()
        self.assert_refused(self.coordinator(), 4, "no queue at", "nats-server -js -a 127.0.0.1")

    def test_worker_of_another_build_is_refused_and_the_coordinator_is_told(self):
        coordinator = self.coordinator()
        other = self.worker(build="two", name="the old one")
        wait_until(lambda: "the old one cannot serve" in coordinator.log(), what="the refusal")
        # The worker tells the coordinator first.
        wait_until(lambda: "the run needs build one, this worker has two" in other.log(), what="the reason in the worker's log")
        named = self.worker(build="two", run="fake")
        self.assert_refused(named, 2, "the run needs build one")
        self.worker()
        self.assert_done(coordinator)

    def test_run_that_is_resumed_by_the_workers_build_is_served(self):
        self.worker(name="faithful")
        coordinator = self.coordinator(build="two", generations=1)
        wait_until(lambda: "faithful cannot serve" in coordinator.log(), what="the refusal")
        coordinator.signal(signal.SIGINT)
        coordinator.finish()
        self.assert_done(self.coordinator(generations=1), generations=1)

    def test_foreign_and_damaged_messages_are_ignored(self):
        coordinator = self.coordinator()
        wait_until(lambda: self.server.messages().get("NAMM_fake_ITEMS"), what="items")
        for payload in (b"", b"hello", b"NAMM" + bytes(40), os.urandom(2000), b"NAMM\x01\x00\x00\x00\x02" + b"\xff" * 64):
            self.server.publish("namm.fake.results.0.0.population.0.1", payload)
            self.server.publish("namm.fake.results.what.ever", payload)
            self.server.publish("namm.fake.items.0.0.population.0.1", payload)
            self.server.publish("namm.fake.items.nonsense", payload)
            self.server.publish("$KV.namm.other", payload)
        worker = self.worker()
        self.assert_done(coordinator)
        self.assertIn("is ignored", coordinator.log())
        self.assertIn("is not computed", worker.log())

    def test_damaged_announcement_stops_no_worker(self):
        worker = self.worker()
        coordinator = self.coordinator(run="good")
        self.assert_done(coordinator)
        self.server.publish("$KV.namm.good", b"{broken")
        self.assert_done(self.coordinator(run="better", out=self.folder / "better"))
        self.assertIsNone(worker.process.poll())


class SmallMessages(QueueTest):
    settings = f"authorization {{ token: {TOKEN} }}\nmax_payload: 20000\n"

    def test_candidate_beyond_the_servers_limit_is_refused_before_it_is_sent(self):
        self.worker()
        self.assert_refused(
            self.coordinator(dimension=8000), 2, "a candidate takes 32", "20000", "max_payload", "fewer members"
        )

    def test_candidates_travel_one_by_one(self):
        self.worker()
        arguments = {"dimension": 3800, "population": 32, "generations": 1}
        self.assert_done(self.coordinator(**arguments), **arguments)


class FullStore(QueueTest):
    settings = f"authorization {{ token: {TOKEN} }}\n"
    store = "max_file_store: 60000"

    def test_server_without_room_is_named(self):
        self.worker()
        self.assert_refused(self.coordinator(dimension=4000), 4, "queue at", "resource")


class NoJetStream(QueueTest):
    jetstream = False

    def test_is_named(self):
        self.assert_refused(self.coordinator(), 4, "no JetStream", "nats-server -js")


class Keys(QueueTest):
    """TLS, and an nkey user; keys made by openssl."""

    def setUp(self):
        with tempfile.TemporaryDirectory() as folder:
            self.make_keys(folder)
            super().setUp()

    def make_keys(self, folder):
        self.keys = tempfile.mkdtemp(prefix="namm_keys_")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.keys])
        openssl = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True)  # noqa: E731
        openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", f"{self.keys}/key.pem", "-out",
                f"{self.keys}/cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.settings = (
            f'tls {{ cert_file: "{self.keys}/cert.pem", key_file: "{self.keys}/key.pem" }}\n'
            f"authorization {{ users: [{{ nkey: {self.make_nkey(openssl)} }}] }}\n"
        )

    def make_nkey(self, openssl):
        import base64
        import binascii

        openssl("genpkey", "-algorithm", "ed25519", "-out", f"{self.keys}/user.pem")
        seed = openssl("pkey", "-in", f"{self.keys}/user.pem", "-outform", "DER").stdout[-32:]
        public = openssl("pkey", "-in", f"{self.keys}/user.pem", "-pubout", "-outform", "DER").stdout[-32:]

        def encoded(prefix, raw):
            body = prefix + raw
            checksum = binascii.crc_hqx(body, 0).to_bytes(2, "little")
            return base64.b32encode(body + checksum).decode().rstrip("=")

        user, kind = 20 << 3, 18 << 3  # "U" and "S"
        name = encoded(bytes([user]), public)
        secret = encoded(bytes([kind | (user >> 5), (user & 31) << 3]), seed)
        with open(f"{self.keys}/user.nk", "w") as file:
            file.write(f"{secret}\n{name}\n")
        return name

    def test_tls_and_nkey(self):
        arguments = {
            "queue": f"tls://127.0.0.1:{self.server.port}",
            "ca": f"{self.keys}/cert.pem",
            "nkey": f"{self.keys}/user.nk",
        }
        self.worker(**arguments)
        self.assert_done(self.coordinator(**arguments))

    def test_without_the_authority_or_the_key(self):
        url = f"tls://127.0.0.1:{self.server.port}"
        self.assert_refused(self.coordinator(queue=url, nkey=f"{self.keys}/user.nk"), 2, "no TLS connection")
        self.assert_refused(self.coordinator(queue=url, ca=f"{self.keys}/cert.pem"), 2, "the server refuses us")


if __name__ == "__main__":
    main()
