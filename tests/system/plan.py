"""namm plan: the paper's stages without model and data, the small model measured, item times saved and read again; namm status
on runs that go on, were killed, and are complete."""

from __future__ import annotations

import json
import time

from program import ROOT, SMOKE, Checks, Scratch, log_rows, namm, signal, start, wait_for

checks = Checks()
RUN = ROOT / "configs" / "run"


def planned(*arguments: object) -> dict:
    result = namm("plan", *arguments, "--json")
    return json.loads(result.out) if checks.that(result.code == 0, f"plan {arguments}", result) else {}


def planned_alike(*arguments: object) -> dict:
    """With times of results and checkpoints that are not this disk's: a slow one bounds what many workers gain."""
    with Scratch() as folder:
        times = folder / "times.json"
        planned(*arguments, "--workers", "1", "--save", times)
        document = json.loads(times.read_text())
        document["coordinator"] |= {"checkpoint_seconds": 2.0, "result_seconds": 0.001}
        times.write_text(json.dumps(document))
        return planned(*arguments, "--times", times)


# The paper's run: 300 + 250 + 120 generations, as far as is known of it.
hours = 0.0
for stage, generations in ((1, 300), (2, 250), (3, 120)):
    plan = planned_alike(
        RUN / f"paper-stage-{stage}.yaml",
        f"stages.0.evolve.generations={generations}",
        "model.archive=nowhere.pt",
        "data={}",
        "--update-seconds=8",
        "--mtbf-hours=24",
    )
    if not plan:
        continue
    checks.that(plan["memory"]["parameters"] == 4172, "4172 parameters", plan["memory"])
    work = plan["stages"][0]
    checks.that(work["population_items"] == 32 * 64 * stage and work["reference_items"] == 64 * stage, "items", work)
    checks.that(work["generations"] == generations, "generations", work)
    rows = plan["rows"]
    checks.that([row["workers"] for row in rows] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000], "workers", rows)
    checks.that(all(row["items"] == work["items"] for row in rows), "every item is computed once", rows)
    checks.that(all(0 < row["utilisation"] <= 1 for row in rows), "utilisation", rows)
    # At the end of the list every worker has an item or none, and a failure more can cost what the next worker gains.
    checks.that(all(1.01 * a["hours"] > b["hours"] for a, b in zip(rows, rows[1:])), "more workers are not slower", rows)
    checks.that(all(a["hours"] > 1.1 * b["hours"] for a, b in zip(rows[:8], rows[1:8])), "more workers are faster", rows)
    checks.that(rows[0]["items_lost"] > 0 and rows[0]["failures"] > 0, "workers fail", rows[0])
    checks.that(any("Nothing was measured" in text for text in plan["assumptions"]), "assumptions", plan["assumptions"])
    hours += rows[0]["hours"]
checks.that(100 < hours < 10000, "GPU-hours of the paper's run on one H100", hours)

text = namm("plan", RUN / "paper-stage-1.yaml", "model.archive=nowhere.pt", "--workers", "1,8", "--update-seconds=8")
checks.that(text.code == 0 and "4172 parameters" in text.out and "GPU-hours" in text.out, "table", text)
checks.that("No worker fails" in text.out and "one H100, predicted" in text.out, "assumptions are printed", text)

with Scratch() as folder:
    measured = planned(SMOKE, "--workers", "1,2", "--threads", "1", "--save", folder / "times.json")
    again = planned(SMOKE, "--workers", "1,2", "--times", folder / "times.json")
    checks.that(measured.get("rows") == again.get("rows"), "saved times give the same plan", (measured, again))
    checks.that(measured["device"] == "cpu" and measured["coordinator"]["checkpoint_bytes"] > 1000, "measured", measured)
    checks.that(sorted(folder.iterdir()) == [folder / "times.json"], "nothing else is written", list(folder.iterdir()))

    twice = planned(SMOKE, "evolution.reevaluations=2", "--workers", "1,2", "--threads", "1", "--repeats", "1")
    checks.that(twice and twice["rows"][0]["items"] == twice["stages"][0]["items"], "members evaluated again", twice)

    # Measured against a real run, with bounds for a busy machine: RESULTS.md has the comparison.
    began = time.monotonic()
    ran = namm("run", SMOKE, "--threads", "1", "--out", folder / "run", "--log-level", "error")
    seconds = time.monotonic() - began
    checks.that(ran.code == 0, "the run", ran)
    for _ in range(5):  # a machine or a disk that stops for a moment is given another chance
        predicted = planned(SMOKE, "--workers", "1", "--threads", "1", "--prefetch", "0")["rows"][0]
        if predicted["seconds"] < 5 * seconds + 1:
            break
    checks.that(predicted["seconds"] < 5 * seconds + 1, "no more than the run took", (predicted, seconds))
    status = namm("status", folder / "run", "--json")
    checks.that(status.code == 0, "status of a complete run", status)
    said = json.loads(status.out)
    checks.that(said["state"] == "complete" and said["stages"][0]["told"] == 3, "complete", said)
    evaluations = sum(row["evaluations"] for row in log_rows(folder / "run"))
    items = predicted["items"]
    checks.that(evaluations > items > 0, "blocks of several evaluations", (evaluations, items))

    run = folder / "killed"
    process = start("run", SMOKE, "stages.0.evolve.generations=1000", "--out", run)
    checks.that(wait_for(lambda: len(log_rows(run)) >= 2), "two generations")
    status = namm("status", run, "--json")
    checks.that(status.code == 0 and json.loads(status.out)["state"] == "running", "running", status)
    rows = len(log_rows(run))
    for _ in range(20):
        status = namm("status", run)
        checks.that(status.code == 0, "status while the run goes on", status)
    checks.that(wait_for(lambda: len(log_rows(run)) > rows + 1), "the run goes on")
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    status = namm("status", run, "--json")
    said = json.loads(status.out)
    checks.that(status.code == 0 and said["state"] == "stopped", "stopped", status)
    checks.that(said["stages"][0]["told"] == len(log_rows(run)) and said["stages"][0]["seconds_left"] > 0, "generation", said)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    checks.that(before == after, "nothing is changed")
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.write_bytes(b"torn")
    damaged = namm("status", run)
    checks.refused(damaged, 3, "none of its", "cannot be resumed")
    checks.that("stage 1 of 1" in damaged.out, "what can be read is shown", damaged)
    checks.refused(namm("status", folder / "nowhere"), 3, "no such run directory")
    checks.refused(namm("status", "nats://127.0.0.1:1"), 4, "no queue at")
    (folder / "bad.json").write_text("{}")
    checks.refused(namm("plan", SMOKE, "--times", folder / "bad.json"), 3, "bad.json")
    checks.refused(namm("plan", SMOKE, "--workers", "0"), 2, "--workers")
    checks.refused(namm("plan", SMOKE, "data.longbench=/nowhere", "stages.0.evolve.tasks=[longbench/qasper]"), 3, "/nowhere")
checks.finish()
