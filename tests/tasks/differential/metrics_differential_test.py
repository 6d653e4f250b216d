"""Random and adversarial pairs of prediction and answer through `namm score --cases` and through the original Python packages:
the scores must be the same. --pairs N: so many a metric; one in fifty is long."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import oracle
from texts import Texts

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("NAMM_PROGRAM", ROOT / "build" / "namm"))
TOLERANCE = 1e-9
BATCH = 5000
ONE_LONG_IN = 50


class Metric:
    """`score(record)` is the original; `arguments` and `fields` make `namm score` do the same."""

    def __init__(self, name: str, benchmark: str, fields: dict, make, score, *settings: str):
        self.name, self.benchmark, self.fields, self.make, self.score, self.settings = name, benchmark, fields, make, score, settings

    def record(self, texts: Texts, number: int) -> dict:
        return {"id": f"{number}", **self.fields, **self.make(texts, number % ONE_LONG_IN == 0)}


def longbench(name: str, metric: str, make, score, *settings: str) -> Metric:
    def record(texts: Texts, long: bool) -> dict:
        prediction, answer, *classes = make(texts, long)
        return {"pred": prediction, "answer": answer, "answers": [answer], "all_classes": classes[0] if classes else None}

    return Metric(name, "longbench", {"metric": metric}, record, score, *settings)


def infinitebench(task: str, version: str) -> Metric:
    def record(texts: Texts, long: bool) -> dict:
        prediction, label = texts.infinitebench(task, long)
        return {"prediction": prediction, "ground_truth": label, "model_name": texts.pick(["gpt4", "yarn-mistral"])}

    score = oracle.infinitebench(task, version)
    return Metric(f"{task} {version}", "infinitebench", {"task": task}, record, score, f"scorer={version}")


def limited_rouge(steps: int) -> Metric:
    """Single sentences whose trace-backs end near the limit; first, because that needs the real limit."""

    def make(texts: Texts, long: bool) -> tuple[str, str]:
        def words(count: int) -> str:
            return " ".join(f"w{texts.random.randint(0, texts.pick([3, 100]))}" for _ in range(count))

        if texts.random.random() < 0.5:
            text = words(steps + texts.random.randint(-3, 2))
            return text, text
        return words(texts.random.randint(1, steps)), words(texts.random.randint(steps // 3, steps))

    return longbench(
        f"rouge with {steps} steps", "rouge_score", make, lambda r: oracle.rouge_with_limit(r, steps), f"rouge_recursion_limit={steps}"
    )


METRICS = [
    longbench("qa_f1", "qa_f1_score", Texts.pair, oracle.qa_f1),
    longbench("rouge", "rouge_score", Texts.pair, oracle.rouge, "rouge_recursion_limit=0"),
    longbench("classification", "classification_score", Texts.class_pair, oracle.classification),
    longbench("count", "count_score", Texts.number_pair, oracle.count),
    longbench("retrieval", "retrieval_score", lambda t, long: t.marked_pair(long, "Paragraph "), oracle.retrieval),
    longbench("retrieval_zh", "retrieval_zh_score", lambda t, long: t.marked_pair(long, "段落"), oracle.retrieval_zh),
    longbench("code_sim", "code_sim_score", Texts.code_pair, oracle.code_similarity(oracle.fuzz_with(levenshtein=False))),
    longbench(
        "code_sim on Levenshtein",
        "code_sim_score",
        Texts.code_pair,
        oracle.code_similarity(oracle.fuzz_with(levenshtein=True)),
        "edit_similarity=levenshtein",
    ),
    longbench("qa_f1_zh", "qa_f1_zh_score", Texts.chinese_pair, oracle.qa_f1_zh),
    longbench("rouge_zh", "rouge_zh_score", Texts.chinese_pair, oracle.rouge_zh, "rouge_recursion_limit=0"),
    longbench("qa_f1_ja", "qa_f1_ja_score", Texts.japanese_pair, oracle.qa_f1_ja),
    longbench("rouge_ja", "rouge_ja_score", Texts.japanese_pair, oracle.rouge_ja, "rouge_recursion_limit=0"),
    *(infinitebench(task, version) for task in oracle.INFINITEBENCH for version in ("2024-06", "2024-08")),
    limited_rouge(40),
    limited_rouge(90),
]


def ours(metric: Metric, records: list[dict]) -> list[float | None]:
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="ascii") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
        file.flush()
        command = [PROGRAM, "score", "--benchmark", metric.benchmark, "--cases", file.name, "--json"]
        for setting in metric.settings:
            command += ["--set", setting]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{metric.name}: {done.stderr.decode('utf-8', 'replace')}")
    cases = json.loads(done.stdout)["datasets"][0]["cases"]
    if [case["id"] for case in cases] != [record["id"] for record in records]:
        raise RuntimeError(f"{metric.name}: the cases come back in another order")
    return [case["score"] for case in cases]


def same(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else abs(a - b) <= TOLERANCE


def compare(task: tuple[int, int, int, int]) -> dict:
    """One batch: (place in the list of metrics, first number, pairs, seed)."""
    place, start, count, seed = task
    metric = METRICS[place]
    texts = Texts(seed)
    records = [metric.record(texts, number) for number in range(start, start + count)]
    result = {"name": metric.name, "pairs": count, "scores": 0, "raised": 0, "mismatches": [], "seconds": 0.0}

    def original() -> None:
        began = time.process_time()
        result["original"] = [metric.score(record) for record in records]
        result["seconds"] = time.process_time() - began

    # The packages recurse once a word: without a limit, on a thread with room for it.
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    threading.stack_size(512 << 20)
    thread = threading.Thread(target=original)
    thread.start()
    thread.join()
    sys.setrecursionlimit(before)
    for record, got, wanted in zip(records, ours(metric, records), result.pop("original")):
        result["scores"] += bool(wanted)
        result["raised"] += wanted is None
        if not same(got, wanted):
            result["mismatches"].append({**record, "namm": got, "original": wanted})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--metric", default="", help="only metrics whose name has this in it")
    arguments = parser.parse_args()
    tasks = [
        (place, start, min(BATCH, arguments.pairs - start), arguments.seed * 1_000_003 + place * 1009 + start)
        for place, metric in enumerate(METRICS)
        if arguments.metric in metric.name
        for start in range(0, arguments.pairs, BATCH)
    ]
    totals: dict[str, dict] = {}
    failed = False
    with multiprocessing.Pool(arguments.jobs) as pool:
        for result in pool.imap(compare, tasks):
            total = totals.setdefault(result["name"], {"pairs": 0, "scores": 0, "raised": 0, "seconds": 0.0, "mismatches": 0})
            for key in ("pairs", "scores", "raised", "seconds"):
                total[key] += result[key]
            total["mismatches"] += len(result["mismatches"])
            for mismatch in result["mismatches"][:3]:
                print(f"MISMATCH {result['name']}: {json.dumps(mismatch)[:2000]}", flush=True)
    for name, total in totals.items():
        # A metric that scores nothing was not tested.
        failed = failed or total["mismatches"] > 0 or total["scores"] < total["pairs"] // 50
        print(f"{name:32} {total['pairs']:7} pairs, {total['scores']:6} above 0, {total['raised']:6} without a score, "
              f"{total['mismatches']} mismatches, {total['seconds']:.1f} s of Python")  # fmt: skip
    sys.exit(1 if failed or not totals else 0)


if __name__ == "__main__":
    main()
