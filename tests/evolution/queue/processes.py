"""Processes of the queue's fault tests: a real nats-server, coordinators and workers of the fake problem."""

import atexit
import contextlib
import fcntl
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
from pathlib import Path

PROGRAMS = Path(os.environ.get("NAMM_TEST_PROGRAMS", "build/tests")).resolve()
TOKEN = "a-token"


def free_port():
    """A port below those that the system gives to connections, which would take it before the server does, or while that is away."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    draw = random.SystemRandom()
    for _ in range(100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", draw.randrange(10000, lowest) if lowest > 12000 else 0))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise AssertionError("no port is free")


def wait_until(condition, seconds=120, what="a condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class ServerProcess:
    """nats-server on a configuration; may be killed and started again. One that ends by itself is started again, as a supervisor
    would, and that is told: nats-server 2.9.10 crashes when a stream is read at the moment of its deletion."""

    def __init__(self, config, log, is_ready, environment=None):
        self.config, self.log, self.is_ready, self.environment = config, log, is_ready, environment
        self.process = None

    def start(self):
        self.spawn()
        self.ending = threading.Event()
        self.supervisor = threading.Thread(target=self.supervise, daemon=True)
        self.supervisor.start()
        wait_until(self.is_ready, what="the server's start")

    def spawn(self):
        with open(self.log, "a") as log:
            words = ["nats-server", "-c", str(self.config)]
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=self.environment)

    def supervise(self):
        while not self.ending.wait(0.05):
            if self.process.poll() is not None:
                print(f"nats-server ended by itself with status {self.process.returncode} and is started again", file=sys.stderr)
                self.spawn()

    def kill(self):
        if self.process is None:
            return
        self.ending.set()
        self.supervisor.join()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Server(ServerProcess):
    """With JetStream on loopback, its store in `folder`."""

    def __init__(self, folder, settings="", store="", jetstream=True):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.monitor = free_port(), free_port()
        super().__init__(self.folder / "server.conf", self.folder / "server.log", self.healthy)
        self.config.write_text(
            f"listen: 127.0.0.1:{self.port}\nhttp: 127.0.0.1:{self.monitor}\n"
            + (f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))}\n{store} }}\n" if jetstream else "")
            + (settings or f"authorization {{ token: {TOKEN} }}\n")
        )
        self.start()

    @property
    def url(self):
        return f"nats://{TOKEN}@127.0.0.1:{self.port}"

    def page(self, path):
        # Whatever proxy the environment names.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(f"http://127.0.0.1:{self.monitor}/{path}", timeout=30).read()

    def healthy(self):
        try:
            return b"ok" in self.page("healthz")
        except (OSError, http.client.HTTPException):
            return False

    def streams(self):
        """Stream name -> its entry of the monitoring page."""
        page = self.page("jsz?acc=$G&streams=true&consumers=true&config=true")
        accounts = json.loads(page).get("account_details", [])
        return {s["name"]: s for account in accounts for s in account.get("stream_detail", [])}

    def messages(self):
        return {name: stream["state"]["messages"] for name, stream in self.streams().items()}

    def publish(self, subject, payload):
        """A message of somebody who has the token but is not namm, on the wire protocol."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
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
        self.errors = tempfile.TemporaryFile()
        # The place in the file is the process's too: it writes at the end, whatever is read here meanwhile.
        fcntl.fcntl(self.errors, fcntl.F_SETFL, os.O_APPEND)
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
        return os.pread(self.errors.fileno(), os.fstat(self.errors.fileno()).st_size, 0).decode(errors="replace")

    def finish(self, seconds=240):
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

    def assert_done(self, coordinator, seconds=240, **arguments):
        """The coordinator ends well, at the undisturbed state; returns how often items were handed out again."""
        output, status = coordinator.finish(seconds)
        self.assertEqual(status, 0, coordinator.log())
        words = output.split()
        self.assertEqual(words[-3], self.expected(**arguments), coordinator.log())
        return int(words[-1])

    def assert_refused(self, program, status, *texts, seconds=240):
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

        def size():
            total = 0
            for path in folder.glob("*population*"):
                with contextlib.suppress(FileNotFoundError):  # its generation has ended
                    total += path.stat().st_size
            return total

        wait_until(lambda: size() > count, what="results in the journal")


def main():
    atexit.register(sys.stderr.flush)
    unittest.main(verbosity=2)
