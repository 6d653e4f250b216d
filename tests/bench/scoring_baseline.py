"""`namm score` on as many predictions as LongBench has (4,750 in 21 data sets, real lengths), beside the Python packages behind
the official scorer on the same files, in one run, reading the files included. Times are processor seconds. Prints a table for RESULTS.md. The files are made from the recorded
predictions: answers to other records are the same ones with words left out, moved and replaced."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("NAMM_PROGRAM", ROOT / "build" / "namm"))
PREDICTIONS = ROOT / "tests" / "data" / "longbench" / "pred"
sys.path.insert(0, str(ROOT / "tests" / "tasks" / "differential"))

import jieba  # noqa: E402
import oracle  # noqa: E402

RECORDS = {"multifieldqa_en": 150, "lcc": 500, "repobench-p": 500}  # 200 in the others
SUMMARIES = {"gov_report", "qmsum", "multi_news"}
SUMMARY_WORDS = 380  # 512 tokens
SLOW = {*SUMMARIES, "vcsum", "dureader"}
MANY = 20
FIRST_LINE = {"trec", "triviaqa", "samsum", "lsht"}
ORIGINALS = {
    "qa_f1_score": oracle.qa_f1,
    "qa_f1_zh_score": oracle.qa_f1_zh,
    "rouge_score": oracle.rouge,
    "rouge_zh_score": oracle.rouge_zh,
    "classification_score": oracle.classification,
    "retrieval_score": oracle.retrieval,
    "retrieval_zh_score": oracle.retrieval_zh,
    "count_score": oracle.count,
    "code_sim_score": oracle.code_similarity(oracle.fuzz_with(levenshtein=False)),
}


def changed(text: str, chance: random.Random) -> str:
    words = text.split(" ")
    for _ in range(len(words) // 10):
        i, j = chance.randrange(len(words)), chance.randrange(len(words))
        words[i] = chance.choice([words[j], words[i], ""])
    return " ".join(words)


def scored(dataset: str) -> bool:
    """Whether this version of the program has the data set's metric."""
    command = [PROGRAM, "score", "--benchmark", "longbench", "--predictions", PREDICTIONS / f"{dataset}.jsonl"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def make_file(source: Path, target: Path, count: int, chance: random.Random) -> None:
    records = [json.loads(line) for line in source.read_text().splitlines()]
    with target.open("a") as file:
        for number in range(count):
            record = dict(records[number % len(records)])
            if source.stem in SUMMARIES:
                while len(record["pred"].split()) < SUMMARY_WORDS:
                    record["pred"] += " " + chance.choice(records)["pred"]
                record["pred"] = " ".join(record["pred"].split(" ")[:SUMMARY_WORDS])
            if number >= len(records):
                record["pred"] = changed(record["pred"], chance)
            file.write(json.dumps(record) + "\n")


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def score_ours(predictions: Path, *arguments: str) -> tuple[dict, float]:
    """The document, and the least processor time of three runs, program start included."""
    command = [PROGRAM, "score", "--benchmark", "longbench", "--predictions", predictions, "--json", *arguments]
    times = []
    for _ in range(3):
        before = children_seconds()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        times.append(children_seconds() - before)
    return json.loads(done.stdout), min(times)


def score_original(path: Path, metric: str, count: int) -> tuple[list[float | None], float]:
    began = time.process_time()
    scores = []
    for line in path.read_text().splitlines()[:count]:
        record = json.loads(line)
        if path.stem in FIRST_LINE:
            record["pred"] = record["pred"].lstrip("\n").split("\n")[0]
        values = [ORIGINALS[metric]({**record, "answer": answer}) for answer in record["answers"]]
        scores.append(None if None in values else max(values, default=0.0))
    return scores, time.process_time() - began


def main() -> None:
    jieba.setLogLevel("ERROR")
    oracle.jieba_words("warm")  # the dictionary is read once
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chance = random.Random(1)
        (folder / "all").mkdir()
        (folder / "many").mkdir()
        (folder / "count.jsonl").write_text('{"pred": "1", "answers": ["1"]}\n')
        start = score_ours(folder / "count.jsonl", "--dataset", "passage_count")[1]
        print(f"Start and end of the program, {start:.2f} s, are taken off the times by data set.\n")
        print("| data set | metric | Python, s for 1,000 | namm, s for 1,000 | ratio |\n|---|---|---|---|---|")
        total = 0.0
        for source in sorted(PREDICTIONS.glob("*.jsonl")):
            count = RECORDS.get(source.stem, 200)
            make_file(source, folder / "all" / source.name, count, chance)
            # Many more predictions than the benchmark has, so that there is something to measure.
            many = folder / "many" / source.name
            make_file(source, many, count * MANY, chance)
            if not scored(source.stem):
                print(f"| {source.stem} | not scored by this version | | | |")
                continue
            document, ours = score_ours(folder / "many", "--dataset", source.stem)
            entry = document["datasets"][0]
            original, theirs = score_original(many, entry["metric"], count if source.stem in SLOW else count * MANY)
            worst = max(abs(a - b) for a, b in zip(entry["samples"], original))
            if worst > 1e-9 or count * MANY != len(entry["samples"]):
                sys.exit(f"{source.stem}: the scores differ by {worst}")
            theirs, ours = theirs / len(original), (ours - start) / len(entry["samples"])
            total += theirs * count
            ratio = f"{theirs / ours:.0f}x" if ours > 0 else ""
            print(f"| {source.stem} | {entry['metric']} | {1000 * theirs:.3f} | {1000 * ours:.4f} | {ratio} |", flush=True)
        document, ours = score_ours(folder / "all")
        count = sum(len(entry["samples"]) for entry in document["datasets"])
        print(f"| all {count} of LongBench's number, s, start included | | {total:.1f} | {ours:.2f} | {total / ours:.0f}x |")
        began = time.monotonic()
        score_ours(folder / "all", "--jobs", "2")
        print(f"\nOn the clock with two threads: {(time.monotonic() - began) / 3:.2f} s.")


if __name__ == "__main__":
    main()
