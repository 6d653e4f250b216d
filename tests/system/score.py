"""`namm score` from outside: documents, bad records of every kind with their exit code and place, settings."""

from __future__ import annotations

import json
from pathlib import Path

from program import ROOT, Checks, Result, Scratch, namm

checks = Checks()
expect = checks.refused
DATA = ROOT / "tests" / "data"
LONGBENCH = '{"pred": "Paris", "answers": ["paris"], "all_classes": null, "length": 10}\n'
INFINITEBENCH = '{"id": 0, "prediction": "7", "ground_truth": "7"}\n'


def score(benchmark: str, path: Path, *arguments: object) -> Result:
    return namm("score", "--benchmark", benchmark, "--predictions", path, *arguments)


def recorded_scores() -> None:
    """Every data set's score as the official script printed it, over --json."""
    for benchmark, arguments, expected in [
        ("longbench", (), {name: entry["score"] for name, entry in load("longbench")["datasets"].items()}),
        *(
            ("infinitebench", ("--set", f"scorer={version}", "--set", "model_name=gpt4"), {
                name: entry["versions"][version]["score"] for name, entry in load("infinitebench")["models"]["gpt4"]["tasks"].items()
            })
            for version in ("2024-06", "2024-08")
        ),
    ]:
        result = score(benchmark, DATA / benchmark / "pred", "--jobs", 2, "--json", *arguments)
        checks.that(result.code == 0, f"{benchmark} is scored", result)
        document = json.loads(result.out)
        checks.that(document["benchmark"] == benchmark, "the document names the benchmark", document)
        skipped = {entry["dataset"] for entry in document["skipped"]}
        scored = {entry["dataset"]: entry["score"] for entry in document["datasets"]}
        checks.that(set(scored) | skipped == set(expected), "every file is scored or listed", scored)
        for name, value in scored.items():
            checks.that(abs(value - expected[name]) <= 1e-9, f"{benchmark} {name} is {expected[name]}", value)


def load(benchmark: str) -> dict:
    return json.loads((DATA / benchmark / "expected.json").read_text())


def bad_records(folder: Path) -> None:
    cases = {
        "longbench": (LONGBENCH, "qasper.jsonl", [
            (b'{"pred": "x", "answers": ["x"]', "not valid JSON"),
            (b'{"pred": "x", "answers": [NaN]}', "not valid JSON"),
            (b'{"pred": "\xff", "answers": ["x"]}', "UTF-8"),
            (b'["pred"]', "object"),
            (b'{"answers": ["x"]}', "`pred`"),
            (b'{"pred": "x"}', "`answers`"),
            (b'{"pred": "x", "answers": "x"}', "`answers`"),
            (b'{"pred": "x", "answers": [1]}', "`answers`"),
            (b'{"pred": "x", "answers": []}', "empty"),
            (b'{"pred": "x", "answers": ["x"], "all_classes": 3}', "`all_classes`"),
            (b"[" * 5000, "found array"),
            (b'{"pred": ' + b"[" * 5000, "deep"),
        ]),
        "infinitebench": (INFINITEBENCH, "preds_passkey.jsonl", [
            (b'{"id": 1, "prediction": "x", "ground_truth": "x"', "not valid JSON"),
            (b'{"id": 1, "prediction": "x", "ground_truth": NaN}', "not valid JSON"),
            (b'{"id": 1, "prediction": "\xff", "ground_truth": "x"}', "UTF-8"),
            (b'{"id": 1, "ground_truth": "x"}', "`prediction`"),
            (b'{"id": 1, "prediction": "x", "ground_truth": []}', "empty"),
            (b'{"id": 1, "prediction": "x", "ground_truth": {}}', "`ground_truth`"),
            (b'{"id": 0, "prediction": "x", "ground_truth": "x"}', "line 1"),
        ]),
    }  # fmt: skip
    for benchmark, (good, name, lines) in cases.items():
        path = folder / name
        for line, reason in lines:
            path.write_bytes(good.encode() + line + b"\n")
            expect(score(benchmark, path), 3, f"{name}:2: ", reason)
            result = score(benchmark, path, "--set", "skip_bad_records=true", "--json")
            entry = json.loads(result.out)["datasets"][0] if result.code == 0 else {}
            checks.that(entry.get("skipped_records") == 1 and f"{name}:2: " in entry["skipped_reasons"][0], f"left out: {line!r}", result)
            checks.that(len(entry.get("samples", [])) == 1, "the good record is scored", result)
            text = score(benchmark, path, "--set", "skip_bad_records=true")
            checks.that("left out 1 bad record" in text.out and f"{name}:2: " in text.out, "the text form shows it", text)
        path.write_bytes(b"\n")
        expect(score(benchmark, path), 3, name, "no prediction")
        path.unlink()


def counts(folder: Path) -> None:
    path = folder / "preds_passkey.jsonl"
    path.write_text(INFINITEBENCH)
    data = folder / "data"
    data.mkdir()
    for records, reason in [(0, "other data"), (2, "missing")]:
        (data / "passkey.jsonl").write_text('{"id": 0}\n' * records)
        expect(score("infinitebench", path, "--data", data), 3, "1 predictions", f"{records} records", reason)
    (data / "passkey.jsonl").write_text('{"id": 0}\n\n')
    checks.that(score("infinitebench", path, "--data", data).code == 0, "as many predictions as records")
    checks.that(score("infinitebench", path, "--data", folder).code == 0, "data in a folder within")
    (data / "passkey.jsonl").unlink()
    expect(score("infinitebench", path, "--data", folder), 3, "passkey.jsonl", "--data")


def no_score(folder: Path) -> None:
    path = folder / "preds_math_find.jsonl"
    path.write_text('{"prediction": "5.0", "ground_truth": 5}\n{"prediction": "5", "ground_truth": 5}\n')
    document = json.loads(score("infinitebench", path, "--json").out)["datasets"][0]
    checks.that(document["samples"] == [None, 1.0], "null where the official function raises", document)
    checks.that(document["score"] is None and document["raised"] == 1, "then the data set has no score", document)
    checks.that("1 where the official function raises" in score("infinitebench", path).out, "the text form counts it")


def settings(folder: Path) -> None:
    path = folder / "preds_passkey.jsonl"
    path.write_text(INFINITEBENCH)
    expect(score("helm", path), 2, "helm", "longbench", "infinitebench")
    expect(score("infinitebench", path, "--set", "buckets=true"), 2, "buckets", "scorer (2024-06, 2024-08)")
    expect(score("infinitebench", path, "--set", "scorer=2023"), 2, "scorer=2023", "2024-06")
    expect(score("longbench", path, "--set", "scorer=2024-06"), 2, "scorer", "edit_similarity")
    expect(score("infinitebench", path, "--dataset", "poems"), 2, "poems", "passkey")
    expect(score("infinitebench", folder / "none.jsonl"), 3, "none.jsonl")
    expect(namm("score", "--benchmark", "infinitebench"), 2, "--predictions")


def main() -> None:
    recorded_scores()
    for check in (bad_records, counts, no_score, settings):
        with Scratch() as folder:
            check(folder)
    checks.finish()


if __name__ == "__main__":
    main()
