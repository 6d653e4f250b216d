"""Seeds for records_fuzzer: one small sound input of every kind, the kind's byte before it (records_fuzzer.cpp)."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def archive() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("data/trec.jsonl", '{"input": "x"}\n' * 20)
        made.writestr("README.md", "x", zipfile.ZIP_STORED)
    return target.getvalue()


def lines(*records: dict) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def longbench(**fields: object) -> bytes:
    record = {"input": "Where?", "context": "A box in Oslo.", "answers": ["Oslo"], "length": 5, "dataset": "x", "language": "en",
              "all_classes": None, "_id": "a"}
    return lines({**record, **fields}, {**record, **fields, "_id": "b"})


def infinitebench(**fields: object) -> bytes:
    return lines({"id": 1, "context": "A box, 12.", "input": "What number?", "answer": ["12"], "options": [], **fields})


OPTIONS = ["load", "parse", "write", "close"]
SEEDS = [
    longbench(answers=["City"], all_classes=["City", "State", "City name"]),
    longbench(answers=["Paragraph 3"]),
    longbench(),
    longbench(answers=["return 1  # é"]),
    infinitebench(answer="12"),
    infinitebench(answer=["parse"], options=OPTIONS),
    infinitebench(answer=[1, 3, -2]),
    infinitebench(answer=3.5, input="The second largest number of the list is"),
    infinitebench(answer=-4, input="Call func_12(-3) now"),
    infinitebench(answer="key"),
    infinitebench(answer=["the mill", "mill"]),
    archive(),
    lines({"pred": "City", "answers": ["City"], "all_classes": ["City", "State"], "length": 4}),
    lines({"id": 0, "prediction": "it is 3.0", "ground_truth": 3}, {"id": 1, "pred": "-3", "label": [3]}),
    lines({"id": "x", "metric": "rouge_score", "pred": "the mill. flooded", "answers": ["the mill"], "post": "none"},
          {"id": "y", "metric": "code_sim_score", "pred": "a = 1", "answers": ["a = 2"]}),
    lines({"id": "x", "task": "longbook_sum_eng", "prediction": "a\nb", "ground_truth": ["a b"]}),
]

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for kind, seed in enumerate(SEEDS):
    (folder / f"seed-{kind}").write_bytes(bytes([kind]) + seed)
    (folder / f"seed-{kind}-skip").write_bytes(bytes([128 + (kind - 128) % len(SEEDS)]) + seed + b"{\n")
