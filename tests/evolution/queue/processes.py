"""Processes of the queue's fault tests: a real nats-server, coordinators and workers of the fake problem."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

PROGRAMS = Path(os.environ.get("NAMM_TEST_PROGRAMS", "build/tests")).resolve()
TOKEN = "a-token"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=30, what="a condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class Server:
    """nats-server with JetStream on loopback, its store in `folder`; survives being killed and started again."""

    def __init__(self, folder, settings="", store="", jetstream=True):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.monitor = free_port(), free_port()
        self.config = self.folder / "server.conf"
        self.config.write_text(
            f"listen: 127.0.0.1:{self.port}\nhttp: 127.0.0.1:{self.monitor}\n"
            + (f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))}\n{store} }}\n" if jetstream else "")
            + (settings or f"authorization {{ token: {TOKEN} }}\n")
        )
        self.process = None
        self.start()

    @property
    def url(self):
        return f"nats://{TOKEN}@127.0.0.1:{self.port}"

    def start(self):
        log = open(self.folder / "server.log", "a")
        self.process = subprocess.Popen(["nats-server", "-c", str(self.config)], stdout=log, stderr=log)
        log.close()
        wait_until(self.healthy, 20, "the server's start")

    def healthy(self):
        try:
            return b"ok" in urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/healthz", timeout=2).read()
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def streams(self):
        """Stream name -> its entry of the monitoring page."""
        page = urllib.request.urlopen(
            f"http://127.0.0.1:{self.monitor}/jsz?acc=$G&streams=true&consumers=true&config=true", timeout=5
        ).read()
        accounts = json.loads(page).get("account_details", [])
        return {s["name"]: s for account in accounts for s in account.get("stream_detail", [])}

    def messages(self):
        return {name: stream["state"]["messages"] for name, stream in self.streams().items()}

    def publish(self, subject, payload):
        """A message of somebody who has the token but is not namm, on the wire protocol."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            stream = connection.makefile("rwb")
            stream.readline()
            options = json.dumps({"verbose": True, "pedantic": False, "auth_token": TOKEN, "headers": True})
            stream.write(f"CONNECT {options}\r\n".encode())
            stream.write(f"PUB {subject} {len(payload)}\r\n".encode() + payload + b"\r\nPING\r\n")
            stream.flush()
            while b"PONG" not in stream.readline():
                pass


class Program:
    """A process with key=value arguments; killed when the test ends."""

    def __init__(self, program, environment=None, /, **arguments):
        words = [str(PROGRAMS / program)] + [f"{key}={value}" for key, value in arguments.items()]
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def signal(self, number):
        self.process.send_signal(number)

    def answer(self):
        """Lets a coordinator with step=1 go on."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait()

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def finish(self, seconds=60):
        """Output and exit status; its log stands in the failure where it does not end in time."""
        try:
            output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.process.args[0]} did not end within {seconds} s:\n{self.log()}") from None
        return output, self.process.returncode

    def close(self):
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            stream.close()


class QueueTest(unittest.TestCase):
    """A fresh server for every test, and the state that an undisturbed run in one process reaches."""

    settings, store, jetstream = "", "", True
    undisturbed = {}

    def setUp(self):
        if shutil.which("nats-server") is None:
            self.fail("nats-server is not installed; ./setup.sh --tests brings it")
        self.folder = Path(tempfile.mkdtemp(prefix="namm_queue_"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = Server(self.folder / "server", self.settings, self.store, self.jetstream)
        self.addCleanup(self.server.kill)

    def start(self, program_name, environment=None, **arguments):
        program = Program(program_name, environment, **arguments)
        self.addCleanup(program.close)
        return program

    def worker(self, **arguments):
        return self.start("fake_worker", **{"queue": self.server.url, **arguments})

    def coordinator(self, **arguments):
        return self.start("fake_coordinator", **{"queue": self.server.url, "out": self.folder / "run", **arguments})

    def expected(self, **arguments):
        """The hash of the run in one process, with threads."""
        key = tuple(sorted(arguments.items()))
        if key not in self.undisturbed:
            with tempfile.TemporaryDirectory() as folder:
                program = Program("fake_coordinator", out=Path(folder) / "run", **arguments)
                output, status = program.finish()
                self.assertEqual(status, 0, program.log())
                program.close()
                self.undisturbed[key] = output.split()[0]
        return self.undisturbed[key]

    def assert_done(self, coordinator, seconds=60, **arguments):
        """The coordinator ends well, at the undisturbed state; returns how often items were handed out again."""
        output, status = coordinator.finish(seconds)
        self.assertEqual(status, 0, coordinator.log())
        words = output.split()
        self.assertEqual(words[-3], self.expected(**arguments), coordinator.log())
        return int(words[-1])

    def assert_refused(self, program, status, *texts, seconds=30):
        _, code = program.finish(seconds)
        log = program.log()
        self.assertEqual(code, status, log)
        for text in texts:
            self.assertIn(text, log)

    def evaluations(self, name="evaluations"):
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def journaled(self, count):
        """Waits until the running generation's journal holds so many bytes of results."""
        folder = self.folder / "run" / "journal"
        wait_until(
            lambda: sum(path.stat().st_size for path in folder.glob("*population*")) > count,
            what="results in the journal",
        )


def main():
    atexit.register(sys.stderr.flush)
    unittest.main(verbosity=2)
