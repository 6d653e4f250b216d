"""The real program on a queue: a run of every kind of stage with workers in other processes, killed and resumed, ends in the
state and the table of the run in one process."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

from program import ARCHIVE, ENVIRONMENT, PROGRAM, ROOT, SMOKE, Checks, Scratch, log_rows, namm, states, wait_for

sys.path.insert(0, str(ROOT))
from tests.evolution.queue.processes import TOKEN, Server  # noqa: E402

checks = Checks()

CONFIG = (
    "base: {smoke}\nname: queue.test\nqueue: {{lease_seconds: 1}}\nstages:\n"
    "  - evolve: {{tasks: [needle/hop, needle/stale], generations: 25, contexts_per_task: 1, fitness: {{cache_weight: 0.1}},"
    " validation: {{every: 2, contexts_per_task: 2, bias_shifts: [0, 0.1]}}, calibration: {{contexts_per_task: 1}}}}\n"
    "  - evaluate: {{tasks: [needle/hop, needle/stale], policies: [full, namm, h2o], contexts_per_task: 2}}\n"
    "  - evolve: {{tasks: [needle/hop], generations: 1, contexts_per_task: 1, validation: {{every: 1, contexts_per_task: 1}}}}\n"
    "  - evaluate: {{tasks: [needle/hop], policies: [full, namm], contexts_per_task: 2}}\n"
)


class Process:
    """`namm` with its standard error in a file."""

    def __init__(self, log, *arguments):
        self.log = log
        environment = {**ENVIRONMENT, "NAMM_QUEUE_TOKEN": TOKEN}
        self.process = subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)], env=environment, stdout=subprocess.DEVNULL, stderr=open(log, "w")
        )

    def says(self, text) -> bool:
        return text in self.log.read_text()

    def end(self, number=signal.SIGKILL) -> int:
        self.process.send_signal(number)
        return self.process.wait(240)


def listed(server) -> list[dict]:
    """The runs on the queue."""
    return json.loads(namm("status", server.url, "--json").out)


def table_of(run) -> str:
    result = namm("table", run, "--format", "csv")
    return result.out if result.code == 0 else str(result)


def stages_hand_over(run) -> None:
    """The second evolve stage begins with the step size at which the first ended."""
    rows = [row for row in log_rows(run) if row["stage"] in (0, 2)]
    last, first = [row for row in rows if row["stage"] == 0][-1], [row for row in rows if row["stage"] == 2][0]
    change = abs(first["sigma"] / last["sigma"] - 1)
    checks.that(change < 0.2 and last["sigma"] != 0.065, "the step size is handed over", (last["sigma"], first["sigma"]))


def main() -> int:
    if shutil.which("nats-server") is None:
        print("FAILED: nats-server is not installed; ./setup.sh --tests brings it")
        return 1
    with Scratch() as folder:
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(smoke=SMOKE))
        result = namm("run", config, "--out", folder / "local")
        checks.that(result.code == 0, "the run in one process", result)
        stages_hand_over(folder / "local")
        server = Server(folder / "server")
        address = server.url.replace(TOKEN + "@", "")
        try:
            workers = [Process(folder / f"worker-{i}.log", "worker", "--queue", address, "--threads", 1) for i in range(2)]
            for worker in workers:
                checks.that(wait_for(lambda: worker.says("waiting for a run")), "a worker waits for a run", worker.log.read_text())
            run = folder / "run"
            coordinator = Process(folder / "run.log", "run", config, "--out", run, "--queue", address)
            # The first is then on the server, too.
            checks.that(wait_for(lambda: len(log_rows(run)) >= 2), "two generations", coordinator.log.read_text())
            # What follows looks at a run that stands still, so that it is not over before.
            coordinator.process.send_signal(signal.SIGSTOP)
            for worker in workers:
                checks.that(wait_for(lambda: worker.says("serving run")), "a worker serves the run", worker.log.read_text())
            status = namm("status", server.url)
            checks.that(status.code == 0 and "queue-test-" in status.out and "workers" in status.out, "status", status)
            both = wait_for(lambda: [len(one["workers"]) for one in listed(server)] == [2])
            checks.that(both, "two workers answer", listed(server))
            (reported,) = listed(server)
            row = reported["last_generation"]
            checks.that(0 < row.get("told", 0) <= row.get("generations", 0) == 25, "generations of the stage", reported)
            timed = reported["state"] != "running" or reported["seconds_left"] is not None
            checks.that(timed, "time left of a run that goes on", reported)
            checks.refused(namm("run", "--resume", run), 2, "another process works in this run directory")
            coordinator.end()
            workers.pop().end()
            workers.append(Process(folder / "worker-2.log", "worker", "--queue", address, "--threads", 2))
            result = namm("run", "--resume", run, "--queue", server.url)
            checks.that(result.code == 0, "the killed run resumes on the queue", result)
            checks.that(states(run) == states(folder / "local"), "the same states", states(run))
            checks.that(table_of(run) == table_of(folder / "local"), "the same table", table_of(run))
            checks.that(TOKEN not in (run / "provenance.json").read_text(), "the token stands in no file of the run")
            checks.that(server.messages() == {"KV_namm": 0}, "a finished run leaves nothing on the server", server.messages())

            waiting = Process(folder / "waiting.log", "run", config, "--out", folder / "waiting", "--queue", address)
            checks.that(wait_for(lambda: listed(server)), "another run is announced", waiting.log.read_text())
            waiting.process.send_signal(signal.SIGSTOP)
            run_id = listed(server)[0]["run"]
            refused = namm("worker", "--queue", server.url, "--run", run_id, "seed=99")
            checks.refused(refused, 2, "settings and data")
            other = folder / "other.pt"
            data = bytearray(ARCHIVE.read_bytes())
            data[10] ^= 1  # the time of its first member: other bytes, the same model
            other.write_bytes(data)
            refused = namm("worker", "--queue", server.url, "--run", run_id, f"model.archive={other}")
            checks.refused(refused, 2, "the run needs model")
            waiting.process.send_signal(signal.SIGCONT)
            checks.that(wait_for(lambda: waiting.says("cannot serve run")), "the coordinator is told", waiting.log.read_text())
            checks.that(waiting.process.wait(300) == 0, "the refused worker harms no run", waiting.log.read_text())
            for worker in workers:
                checks.that(worker.end(signal.SIGTERM) == 0, "a worker that is told to stop ends well", worker.log.read_text())
        finally:
            server.kill()
    print(f"{checks.count} checks, {checks.failures} failures")
    return 1 if checks.failures else 0


if __name__ == "__main__":
    sys.exit(main())
