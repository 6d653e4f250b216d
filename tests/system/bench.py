"""`namm bench`: the form of its JSON on the smallest case, the table, and names that are not in the list."""

from __future__ import annotations

import json

from program import Checks, namm

KEYS = ["name", "ratio", "target", "floor", "unit", "passed", "skipped", "baseline_seconds", "seconds", "note"]
checks = Checks()

result = namm("bench", "spectrogram", "--quick", "--json", "--threads", "1")
if checks.that(result.code == 0, "the smallest case runs", result):
    entries = json.loads(result.out)
    checks.that([entry["name"] for entry in entries] == ["spectrogram"], "one entry for one name", entries)
    entry = entries[0]
    checks.that(list(entry) == KEYS, "the keys of an entry", list(entry))
    checks.that(entry["ratio"] > 0 and entry["seconds"] > 0 and entry["baseline_seconds"] > 0, "figures are positive", entry)
    ratio = entry["baseline_seconds"] / entry["seconds"]
    checks.that(abs(entry["ratio"] - ratio) <= 1e-9 * ratio, "the ratio is baseline / ours", entry)
    checks.that(entry["passed"] == (entry["ratio"] >= entry["target"]), "passed says whether the target was reached", entry)
    checks.that(entry["skipped"] is False, "nothing was skipped", entry)

result = namm("bench", "spectrogram", "--repeats", "1", "--threads", "1")
rows = [line for line in result.out.splitlines() if line.startswith("| ")]
checks.that(result.code == 0 and len(rows) == 2 and rows[1].startswith("| spectrogram "), "a table without --json", result)
checks.that("LibTorch" in result.out.splitlines()[0] and "1 thread" in result.out.splitlines()[0], "the machine is named", result)

# Beside transformers in a process of its own; --repeats 1 takes seconds.
result = namm("bench", "small-prefill", "small-decode", "--repeats", "1", "--json")
if checks.that(result.code == 0, "the small model beside transformers", result):
    for entry in json.loads(result.out):
        checks.that(entry["ratio"] > 0 and "greedy ids equal" in entry["note"], "both programs answer alike", entry)

result = namm("bench", "spectogram")
checks.that(result.code == 2 and "did you mean spectrogram" in result.err, "an unknown name is refused", result)
result = namm("bench", "spectrogram", "--device", "cuda")
checks.that(result.code == 2 and "--device cuda" in result.err, "the processor is what is measured", result)
checks.finish()
