"""ChouBun's Parquet files as JSON lines: rows, types and their order kept, several files of a task joined, nothing half-written."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

import pyarrow
import pyarrow.parquet

from tasks.records import parquet_records


def rows(start: int, count: int) -> list[dict]:
    return [
        {"context": f"第{i}期\nの売上高", "input": "", "answers": [f"{i}億円", "不明"], "length": 10 + i, "all_classes": None, "_id": str(i)}
        for i in range(start, start + count)
    ]


class ParquetRecords(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.addCleanup(self.scratch.cleanup)

    def write(self, name: str, records: list[dict]) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), file)

    def read(self, name: str) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "out" / name).read_text(encoding="utf-8").splitlines()]

    def convert(self) -> int:
        return parquet_records.main([str(self.folder / "in"), str(self.folder / "out")])

    def test_rows_are_kept_in_order(self) -> None:
        self.write("in/wiki_qa/test-00000-of-00002.parquet", rows(0, 100))
        self.write("in/wiki_qa/test-00001-of-00002.parquet", rows(100, 30))
        self.write("in/wiki_qa/train-00000-of-00001.parquet", rows(500, 3))
        self.write("in/edinet_qa.parquet", rows(5, 1))
        self.assertEqual(self.convert(), 0)
        self.assertEqual(self.read("wiki_qa.jsonl"), rows(0, 130))
        self.assertEqual(self.read("edinet_qa.jsonl"), rows(5, 1))

    def test_two_sources_of_one_task_are_refused(self) -> None:
        self.write("in/wiki_qa/test.parquet", rows(0, 1))
        self.write("in/wiki_qa.parquet", rows(0, 1))
        self.assertEqual(self.convert(), 3)

    def test_what_cannot_be_read_leaves_nothing(self) -> None:
        (self.folder / "in").mkdir()
        self.assertEqual(self.convert(), 3)
        self.write("in/whole/a.parquet", rows(0, 200))
        data = (self.folder / "in/whole/a.parquet").read_bytes()
        for name, damaged in {"cut.parquet": data[: len(data) // 2], "text.parquet": b"no parquet", "empty.parquet": b""}.items():
            (self.folder / "in" / name).write_bytes(damaged)
            self.assertEqual(self.convert(), 3)
            self.assertFalse(list((self.folder / "out").glob(f"*{name[:-8]}*")))
            (self.folder / "in" / name).unlink()


if __name__ == "__main__":
    unittest.main()
