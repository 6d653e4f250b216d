"""Parquet files of benchmark records as JSON lines: DIR/<task>/*.parquet (in the order of their names; of several splits the test split) and DIR/<task>.parquet
become OUT/<task>.jsonl. Holds one batch of rows; a file is there whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet

BATCH_ROWS = 64


class RecordError(Exception):
    """What is wrong with the user's files."""


def data_sets(folder: Path) -> dict[str, list[Path]]:
    """The Parquet files of each task; of several splits the test split."""
    found: dict[str, list[Path]] = {file.stem: [file] for file in sorted(folder.glob("*.parquet"))}
    for task in sorted({file.parent for file in folder.glob("*/*.parquet")}):
        if task.name in found:
            raise RecordError(f"{found[task.name][0]} and {task}: which of the two is meant is not clear: move one away")
        files = sorted(task.glob("*.parquet"))
        found[task.name] = [file for file in files if file.name.startswith("test")] or files
    if not found:
        raise RecordError(f"{folder}: holds neither <task>.parquet nor <task>/*.parquet")
    return found


def write_records(files: list[Path], out: Path) -> int:
    """Writes every row as a JSON object; returns their number."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.new")
    count = 0
    try:
        with open(partial, "w", encoding="utf-8") as lines:
            for file in files:
                try:
                    for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS):
                        for row in batch.to_pylist():
                            lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                            count += 1
                except (pyarrow.ArrowException, ValueError, TypeError) as error:
                    raise RecordError(f"{file}: cannot be read as records: {error}") from error
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return count


def main(arguments: list[str]) -> int:
    folder, out = map(Path, arguments)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for task, files in data_sets(folder).items():
            print(f"{out / task}.jsonl: {write_records(files, out / f'{task}.jsonl')} records")
    except (RecordError, OSError) as error:
        print(f"parquet-records: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
