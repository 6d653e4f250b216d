"""Bad input: the exit code, a text that says what, where and what to do, and nothing lost or left behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from program import ARCHIVE, SMOKE, Checks, Scratch, namm, signal, start, states, wait_for

checks = Checks()
expect = checks.refused


def config(folder: Path, text: str) -> Path:
    path = folder / "bad.yaml"
    path.write_text(text)
    return path


def configurations(folder: Path) -> None:
    base = f"base: {SMOKE}\n"
    out = folder / "never"
    cases = [
        (base + "seeed: 3\n", ("bad.yaml:2:1", "seeed", "did you mean", "seed")),
        (base + "seed: many\n", ("bad.yaml:2:7", "seed = many")),
        (base + "evolution: {sigma: -1}\n", ("bad.yaml:2:20", "evolution.sigma = -1", "above 0")),
        (base + "evolution: {kind: sgd}\n", ("evolution.kind = sgd", "cma-es", "cr-fm-nes")),
        (base + "memory: {period_tokens: 100}\n", ("memory.period_tokens = 100", "hop_length = 16")),
        (base + "model: {archive: nowhere.pt}\n", ()),
        (base + "task: {context_tokens: 32}\n", ("context_tokens = 32", "period_tokens = 64")),
        (base + "stages: []\n", ("stages",)),
        (base + "stages: [{}]\n", ("one of evolve and evaluate",)),
        (base + "stages: [{evolve: {tasks: [needle/hops]}}]\n", ("needle/hops", "needle/hop")),
        (
            base + "stages: [{evaluate: {tasks: [needle/hop], policies: [full, h2o]}}]\n",
            ("policies", "or give a budget"),
        ),
        ("base: missing.yaml\nname: x\n", ("missing.yaml",)),
        ("base: bad.yaml\nname: x\n", ("bases run in a circle",)),
        ("name: [\n", ("bad.yaml:",)),
    ]
    for text, expected in cases:
        result = namm("run", config(folder, text), "--out", out)
        expect(result, 3 if "nowhere" in text else 2, *(expected or ("nowhere.pt", "no such model archive")))
        checks.that(not out.exists(), "nothing is written for a wrong configuration", text)
    expect(namm("run", folder / "none.yaml"), 2, "none.yaml")
    expect(namm("run", SMOKE, "stages.0.evolve.generations=0", "--out", out), 2, "stages.0.evolve.generations = 0")
    expect(namm("run", SMOKE, "stages.7.evolve.generations=2", "--out", out), 2, "stages.7")
    # What only the optimiser or a task can tell is known before the run begins, too.
    expect(namm("run", SMOKE, "evolution.kind=auto", "evolution.population=7", "--out", out), 2, "evolution.population = 7")
    expect(namm("run", SMOKE, "evolution.population=4000000000000000000", "--out", out), 2, "evolution.population = 4")
    expect(namm("run", SMOKE, "task.density=100", "--out", out), 2, "density")
    evaluate = base + "stages: [{evaluate: {tasks: [needle/stale], policies: [full]}}]\n"
    expect(namm("run", config(folder, evaluate), "task.density=100", "--out", out), 2, "density")
    checks.that(not out.exists(), "nothing is written for settings that a stage cannot meet")
    expect(namm("run"), 2, "name a configuration")
    expect(namm("fly"), 2)
    expect(namm("run", SMOKE, "--device", "tpu"), 2, "tpu", "auto, cpu, cuda")
    expect(namm("run", SMOKE, "--log-level", "loud"), 2, "loud")


def damaged(path: Path, folder: Path) -> Path:
    copy = folder / ("cut-" + path.name)
    copy.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return copy


def run_directories(folder: Path) -> None:
    run = folder / "run"
    first = namm("run", SMOKE, "--out", run)
    if not checks.that(first.code == 0, "the smoke run works", first):
        return
    reference = states(run)
    expect(namm("run", SMOKE, "--out", run), 2, "exists", "--resume")
    expect(namm("run", SMOKE, "seed=8", "--resume", run), 2, "belongs to another configuration")
    expect(namm("run", "--resume", folder / "nowhere"), 3, "nowhere")
    checks.that(namm("run", "--resume", run).code == 0, "a complete run resumes to nothing")
    checks.that(states(run) == reference, "resuming a complete run changes nothing")

    lacking = folder / "lacking"
    shutil.copytree(run, lacking)
    shutil.rmtree(lacking / "checkpoints")
    (lacking / "memory.h5").unlink()
    expect(namm("run", "--resume", lacking), 3, "log.jsonl", "checkpoint")

    torn = folder / "torn"
    shutil.copytree(run, torn)
    (torn / "memory.h5").unlink()
    newest = max((torn / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    again = namm("run", "--resume", torn)
    checks.that(again.code == 0 and newest.name in again.err, "a torn checkpoint is named and the one before is used", again)
    checks.that(states(torn) == reference, "the run ends in the same state", states(torn))

    provenance = json.loads((run / "provenance.json").read_text())
    for key, value in (("device", "cuda:0"), ("cpu_capability", "Z80"), ("libtorch", "0.1")):
        elsewhere = folder / ("elsewhere-" + key)
        shutil.copytree(run, elsewhere)
        (elsewhere / "provenance.json").write_text(json.dumps({**provenance, key: value}))
        expect(namm("run", "--resume", elsewhere), 2, key, value, provenance[key], "--out")
    (elsewhere / "provenance.json").write_text(json.dumps({**provenance, "git_revision": "0123"}))
    again = namm("run", "--resume", elsewhere)
    checks.that(again.code == 0 and "began with revision 0123" in again.err, "another revision is a warning", again)
    (elsewhere / "provenance.json").write_text("[]")
    expect(namm("run", "--resume", elsewhere), 3, "provenance.json")

    expect(namm("table", run), 3, "no evaluate stage")
    expect(namm("describe", damaged(run / "memory.h5", folder)), 3, "cut-memory.h5")
    expect(namm("run", SMOKE, f"stages.0.evolve.start={damaged(run / 'memory.h5', folder)}", "--out", folder / "o1"), 3, "cut-memory")
    other = namm(
        "run", SMOKE, f"stages.0.evolve.start={run / 'memory.h5'}", "memory.recency.dimension=4", "--out", folder / "o2"
    )
    expect(other, 3, "memory.h5", "recency")
    others = ("memory.recency.dimension=4", "recency"), ("evolution.population=8", "population")
    for setting, text in others:
        expect(namm("run", SMOKE, f"stages.0.evolve.start={run}", setting, "--out", folder / "o2"), 3, text)
    lone = folder / newest.name
    shutil.copy(max((run / "checkpoints").iterdir()), lone)
    expect(namm("run", SMOKE, f"stages.0.evolve.start={lone}", "--out", folder / "o2"), 3, "config.yaml is missing")
    checks.that(not (folder / "o1").exists() and not (folder / "o2").exists(), "nothing is written")


def starts(folder: Path) -> None:
    """Where the directory of a run comes from, and what a run needs of its start."""
    made = folder / "made"
    made.mkdir()
    short = ("stages.0.evolve.generations=1", "stages.0.evolve.validation.every=0")
    first = namm("run", SMOKE, *short, "--out", f"{made}/slash/")
    checks.that(first.code == 0, "a slash at the end of --out", first)
    checks.that([path.name for path in made.iterdir()] == ["slash"], "nothing else is left", list(made.iterdir()))
    expect(namm("run", SMOKE, *short, "--out", f"{made}/slash/."), 2, "exists")
    # Runs that start at the same time each get a directory of their own.
    config(folder, f"base: {SMOKE}\nname: twin\n")
    twins = [start("run", folder / "bad.yaml", *short, cwd=folder) for _ in range(3)]
    codes = [twin.wait() for twin in twins]
    names = sorted(path.name for path in (folder / "runs").iterdir())
    checks.that(codes == [0, 0, 0] and names == ["twin", "twin-2", "twin-3"], "three runs at once", (codes, names))

    origin = folder / "origin"
    shutil.copytree(made / "slash", origin)
    later = folder / "later"
    changes = ("stages.0.evolve.generations=8", "stages.0.evolve.tasks=[needle/passage]", f"stages.0.evolve.start={origin}")
    process = start("run", SMOKE, *changes, "--out", later)
    checks.that(wait_for(lambda: len(states(later)) >= 1), "a run that starts from another one begins")
    process.send_signal(signal.SIGINT)
    process.wait()
    shutil.rmtree(origin)
    result = namm("run", "--resume", later)
    checks.that(result.code == 0, "it goes on when its start is gone", result)
    result = namm("describe", later / "memory.h5")
    checks.that("needle/hop, needle/stale, needle/passage" in result.out, "and knows what its start was evolved on", result)


def generation(folder: Path) -> None:
    empty = folder / "empty.txt"
    empty.write_bytes(b"")
    expect(namm("generate", "--model", ARCHIVE, "--prompt", empty), 3, "the prompt is empty")
    expect(namm("generate", "--model", ARCHIVE, "--prompt", folder / "none.txt"), 3, "none.txt")
    expect(namm("generate", "--model", ARCHIVE, "--ids", "1,x"), 2, "--ids", "token ids from 0 to")
    expect(namm("generate", "--model", ARCHIVE, "--ids", "1,99999"), 2, "99999")
    expect(namm("generate", "--model", ARCHIVE), 2, "--prompt FILE", "--ids")
    expect(namm("generate", "--model", folder / "none.pt", "--ids", "1"), 3, "none.pt")
    expect(namm("generate", "--model", damaged(ARCHIVE, folder), "--ids", "1"), 3, "cut-tiny-llama.pt")
    text = folder / "text.pt"
    text.write_text("no archive")
    expect(namm("generate", "--model", text, "--ids", "1"), 3, "text.pt")
    pipe = folder / "pipe.pt"
    os.mkfifo(pipe)
    expect(namm("generate", "--model", pipe, "--ids", "1"), 3, "pipe.pt", "not a file")
    expect(namm("generate", "--model", ARCHIVE, "--ids", "1", "--policy", "h2o"), 2, "--budget")
    expect(namm("generate", "--model", ARCHIVE, "--ids", "1", "--policy", "magic"), 2, "magic", "h2o")
    expect(namm("generate", "--model", ARCHIVE, "--ids", "1", "--memory", text), 3, "text.pt")

    raw = folder / "raw.bin"
    raw.write_bytes(b"code amber paris \xff\xfe\x00 .")
    result = namm("generate", "--model", ARCHIVE, "--prompt", raw, "--max-new-tokens", 4, "--json")
    checks.that(result.code == 0 and '"prompt_tokens"' in result.out, "bytes that are no UTF-8 are taken unchanged", result)
    long = folder / "long.txt"
    long.write_text("code amber paris . " * 400)
    result = namm("generate", "--model", ARCHIVE, "--prompt", long, "--max-new-tokens", 2, "--json")
    checks.that(result.code == 0, "a long prompt is read", result)


def predictions(folder: Path) -> None:
    bad = folder / "qasper.jsonl"
    bad.write_text('{"pred": "a", "answers": ["a"], "all_classes": null, "length": 3}\n{"pred": "b", "answ')
    expect(namm("score", "--benchmark", "longbench", "--predictions", bad), 3, "qasper.jsonl:2")
    expect(namm("score", "--benchmark", "nothing", "--predictions", bad), 2, "nothing", "longbench")
    expect(namm("score", "--benchmark", "longbench"), 2, "--predictions")
    data = folder / "data"
    data.mkdir()
    (data / "trec.jsonl").write_text('{"input": "x"\n')
    result = namm(
        "run", SMOKE, f"data.longbench={data}", "stages.0.evolve.tasks=[longbench/trec]", "task.record_splits=shared",
        "--out", folder / "records",
    )
    expect(result, 3, "trec.jsonl:1")
    checks.that(not (folder / "records").exists(), "nothing is written")

    record = {"input": "code ?", "context": "code amber paris . ", "answers": ["amber"], "length": 5, "all_classes": None}
    records = [record | {"context": record["context"] * 3000}, record | {"all_classes": [None]}]
    (data / "qasper.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    qasper = config(
        folder, f"base: {SMOKE}\ndata: {{longbench: {data}}}\nstages: [{{evaluate: {{tasks: [longbench/qasper], policies: [full]}}}}]\n"
    )
    expect(namm("run", qasper, "--out", folder / "records"), 3, "qasper.jsonl:2", "all_classes")
    result = namm("run", qasper, "task.skip_bad_records=true", "task.record_splits=test", "--out", folder / "records")
    checks.that(result.code == 0 and "1 prompts were longer" in result.out, "a prompt is cut to the model's positions", result)


with Scratch() as scratch:
    configurations(scratch)
    run_directories(scratch)
    starts(scratch)
    generation(scratch)
    predictions(scratch)
checks.finish()
