"""Benchmark files as users have them: looked at, run and scored, from a folder and from a zip archive, with records of 200,000
tokens made here in the official schema, and with files that are broken or hostile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from program import ENVIRONMENT, PROGRAM, ROOT, SMOKE, Checks, Result, Scratch, namm

checks = Checks()
RECORDS = ROOT / "tests" / "data" / "longbench" / "data"
MEMORY = ROOT / "models" / "tiny" / "namm.h5"
LONG_TOKENS = 200_000
LONG_RECORDS = 40
# Words of the small model, about four bytes with their blank: one token each.
SENTENCE = "box map key lamp stone river "


def peak_bytes(*arguments: object) -> tuple[Result, int]:
    """Runs the program alone below GNU time's own means: the peak of a child that is waited for."""
    script = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); " \
             "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr); sys.exit(done.returncode)"
    done = subprocess.run([sys.executable, "-c", script, str(PROGRAM), *map(str, arguments)], env=ENVIRONMENT, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    error = done.stderr.decode().rstrip().rsplit("\n", 1)
    return Result(done.returncode, done.stdout.decode(), error[0] if len(error) > 1 else ""), int(error[-1])


def long_record(number: int) -> str:
    words = SENTENCE * (LONG_TOKENS // 6)
    place = len(words) * (number % 10) // 10
    context = words[:place] + f"The pass key is {71432 + number}. " + words[place:]
    return json.dumps({"id": number, "context": context, "input": "What is the pass key?", "answer": str(71432 + number), "options": []})


def run(name: str, folder: Path, tasks: str, *more: str) -> Result:
    stage = f"stages=[{{evaluate: {{tasks: [{tasks}], policies: [full, namm], budget: match_namm}}}}]"
    return namm("run", SMOKE, stage, "samples_per_task=2", "task.record_splits=test", "task.max_prompt_tokens=400",
                f"memory.file={MEMORY}", "memory.period_tokens=128", *more, "--out", folder / name)


def predictions(out: Path, policy: str) -> dict[str, list[dict]]:
    files = sorted((out / "predictions" / "stage_0" / policy).glob("*.jsonl"))
    return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files}


def check_long_records(folder: Path) -> None:
    data = folder / "infinitebench"
    data.mkdir()
    with open(data / "passkey.jsonl", "w", encoding="utf-8") as file:
        for number in range(LONG_RECORDS):
            file.write(long_record(number) + "\n")
    size = (data / "passkey.jsonl").stat().st_size
    with zipfile.ZipFile(folder / "infinitebench.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(data / "passkey.jsonl", "InfiniteBench/passkey.jsonl")
    bare = max(peak_bytes("--version")[1] for _ in range(2))  # the first may have to read its libraries from the disk
    for source in (data, folder / "infinitebench.zip"):
        result, peak = peak_bytes("data", "check", source, "--json")
        if checks.that(result.code == 0, f"{source.name} is sound", result):
            entry = json.loads(result.out)["benchmarks"][0]["files"][0]
            checks.that(entry["records"] == LONG_RECORDS and entry["official_records"] == 590, "records are counted", entry)
        record = size // LONG_RECORDS
        checks.that(peak - bare < 24 * record, f"{source.name}: memory is bounded by a record, not by the file", (peak - bare, record, size))
        print(f"{source.name}: {size / 1e6:.0f} MB in {LONG_RECORDS} records, {(peak - bare) / 1e6:.1f} MB beyond an idle program")
    out = run("long", folder, "infinitebench/passkey", f"data.infinitebench={folder / 'infinitebench.zip'}")
    if checks.that(out.code == 0, "long records are cut and answered", out):
        table = (folder / "long" / "table.md").read_text()
        checks.that("4 prompts were longer" in table or "2 prompts were longer" in table, "cut prompts are counted", table)
        checks.that("infinitebench: unofficial prompts" in table, "prompts of our own are named", table)
        records = predictions(folder / "long", "namm")["preds_passkey"]
        checks.that([record["id"] for record in records] == [0, 1] and records[0]["ground_truth"] == "71432", "official fields", records)
        scored = namm("score", "--benchmark", "infinitebench", "--predictions", folder / "long" / "predictions" / "stage_0" / "namm",
                      "--json")
        if checks.that(scored.code == 0, "the predictions are scored", scored):
            samples = json.loads(scored.out)["datasets"][0]["samples"]
            checks.that(samples == [record["score"] for record in records], "run and score agree", (samples, records))


def check_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for task in ("multifieldqa_en", "trec", "passage_count"):
            archive.write(RECORDS / f"{task}.jsonl", f"data/{task}.jsonl")
    tasks = "longbench/multifieldqa_en, longbench/trec, longbench/passage_count"
    tables = []
    for name, source in (("folder", RECORDS), ("zip", folder / "data.zip")):
        result = run(name, folder, tasks, f"data.longbench={source}")
        if checks.that(result.code == 0, f"LongBench from a {name}", result):
            tables.append([predictions(folder / name, policy) for policy in ("full", "namm")])
    checks.that(len(tables) == 2 and tables[0] == tables[1], "folder and archive give the same predictions")
    listed = namm("table", folder / "zip", "--layout", ROOT / "configs" / "table" / "longbench.yaml")
    checks.that(listed.code == 0 and "Left out, the results lack their tasks" in listed.out and "published" in listed.out,
                "the official layout shows what is there", listed)
    result = namm("data", "check", folder / "data.zip")
    checks.that(result.code == 0 and "longbench: 3 of 21 files" in result.out and "missing:" in result.out,
                "an archive is looked at", result)


def check_hostile(folder: Path) -> None:
    def archive(name: str, member: str, text: bytes) -> Path:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr(member, text)
        return folder / name

    for path, reason in (
        (archive("bomb.zip", "data/trec.jsonl", b" " * 50_000_000), "zip bomb"),
        (archive("up.zip", "../trec.jsonl", b"{}"), "outside of the archive"),
    ):
        for command in (("data", "check", path), ("run", SMOKE, f"data.longbench={path}", "task.record_splits=test",
                                                  "stages=[{evaluate: {tasks: [longbench/trec], policies: [full]}}]",
                                                  "--out", folder / "never")):
            result = namm(*command)
            checks.that(result.code == 3 and reason in result.err, f"{path.name} is refused by {command[0]}", result)
        checks.that(not (folder / "never").exists(), "nothing is written for it")

    first = (RECORDS / "trec.jsonl").read_text(encoding="utf-8").splitlines()[0]
    good = [first, json.dumps({**json.loads(first), "_id": "another"})]
    cases = {
        "no JSON": "{",
        "not UTF-8": None,
        "NaN": json.dumps({**json.loads(good[0]), "length": float("nan"), "_id": "x"}),
        "no answers": json.dumps({**json.loads(good[0]), "answers": [], "_id": "x"}),
        "a missing field": json.dumps({key: value for key, value in json.loads(good[0]).items() if key != "context"}),
        "a wrong type": json.dumps({**json.loads(good[0]), "answers": "text", "_id": "x"}),
        "an id that is there twice": good[0],
    }
    for what, line in cases.items():
        data = folder / "bad"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        bad = b'{"input": "\xff"}' if line is None else line.encode()
        (data / "trec.jsonl").write_bytes("\n".join([good[0]]).encode() + b"\n" + bad + b"\n" + good[1].encode() + b"\n")
        result = namm("data", "check", data)
        checks.that(result.code == 3 and "trec.jsonl:2: " in result.out, f"{what} is named", result)
        refused = run("never", folder, "longbench/trec", f"data.longbench={data}")
        checks.that(refused.code == 3 and "trec.jsonl:2: " in refused.err, f"{what} ends a run before it begins", refused)
    result = run("skipped", folder, "longbench/trec", f"data.longbench={data}", "--skip-bad-records")
    checks.that(result.code == 0 and "1 malformed records were left out" in (folder / "skipped" / "table.md").read_text(),
                "records that are left out are counted in the table", result)


with Scratch() as scratch:
    check_long_records(scratch)
    check_zip(scratch)
    check_hostile(scratch)
checks.finish()
