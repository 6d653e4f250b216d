"""Random kill -9 of workers, coordinator and server while runs go on: nothing is lost, nothing counted twice, and the
final state is that of the undisturbed run in one process.
    kills.py [--kills 50] [--seed 1]
"""

import argparse
import random
import re
import sys
import time
import unittest

from tests.evolution.queue.processes import QueueTest, wait_until

GENERATIONS = 12
WORKERS = 2
OPTIONS = argparse.Namespace(kills=50, seed=1)


class Kills(QueueTest):
    def started_again(self, coordinator, arguments):
        """One that was started while the server was away ends soon; whoever started it tries again."""
        while coordinator.process.poll() == 4 and re.search("no queue at|queue at .*: JetStream: ", coordinator.log()):
            coordinator.close()
            coordinator = self.coordinator(**arguments)
            time.sleep(0.1)
        return coordinator

    def ended(self, coordinator, arguments):
        wait_until(lambda: coordinator.process.poll() is not None, 300, "the end of the run")
        again = self.started_again(coordinator, arguments)
        return coordinator if again is coordinator else self.ended(again, arguments)

    def test_random_kills(self):
        draw = random.Random(OPTIONS.seed)
        done = {"worker": 0, "coordinator": 0, "server": 0}
        runs = 0
        begin = time.monotonic()
        workers = [self.worker(milliseconds=20) for _ in range(WORKERS)]
        while sum(done.values()) < OPTIONS.kills:
            runs += 1
            out = {"run": f"run{runs}", "out": self.folder / f"run{runs}", "generations": GENERATIONS}
            coordinator = self.coordinator(**out)
            while coordinator.process.poll() is None and sum(done.values()) < OPTIONS.kills:
                time.sleep(draw.uniform(0.02, 1.0))
                coordinator = self.started_again(coordinator, out)
                if coordinator.process.poll() is not None:
                    break
                victim = draw.choice(["worker", "worker", "coordinator", "coordinator", "server"])
                if victim == "worker":
                    place = draw.randrange(WORKERS)
                    workers[place].close()
                    workers[place] = self.worker(milliseconds=20)
                elif victim == "coordinator":
                    coordinator.close()
                    coordinator = self.coordinator(**out)
                else:
                    self.server.kill()
                    time.sleep(draw.uniform(0, 0.3))
                    self.server.start()
                done[victim] += 1
            coordinator = self.ended(coordinator, out)
            self.assert_done(coordinator, generations=GENERATIONS)
            rows = (self.folder / f"run{runs}" / "log.jsonl").read_text().splitlines()
            self.assertEqual(len(rows), GENERATIONS, "a generation is missing or stands twice in log.jsonl")
            coordinator.close()
            if OPTIONS.kills > 100:
                print(f"{sum(done.values())} kills, {time.monotonic() - begin:.0f} s", flush=True)
        seconds = time.monotonic() - begin
        print(f"{sum(done.values())} kills ({done}) in {runs} runs, {seconds:.0f} s, seed {OPTIONS.seed}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
