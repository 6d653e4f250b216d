"""Writes what the fuzzers begin with: python3 tests/models/fuzz/make_corpus.py FOLDER makes FOLDER/tokenizer and FOLDER/contract."""

import json
import sys
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"
KINDS = ["words", "byte-level-bpe", "sentencepiece-bpe"]  # as in tokenizer_fuzzer.cpp


def small(data: dict) -> dict:
    """A byte-level BPE of its first tokens and merges: a short input is mutated to more effect."""
    if "vocabulary" not in data:
        return data
    vocabulary = data["vocabulary"][:300]
    merges = [data["merges"][i : i + 3] for i in range(0, len(data["merges"]), 3)]
    kept = [merge for merge in merges if max(merge) < len(vocabulary)]
    added = [token for token in data["added"] if token["id"] < len(vocabulary)]
    return {**data, "vocabulary": vocabulary, "merges": [id for merge in kept for id in merge], "added": added}


def main() -> None:
    folder = Path(sys.argv[1])
    for name in ("tokenizer", "contract"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for file in sorted((DATA / "tokenizers").glob("*.json")):
        fixture = json.loads(file.read_text(encoding="utf-8"))
        kind = bytes([KINDS.index(fixture["settings"]["kind"])])
        for form, data in (("whole", fixture["data"]), ("small", small(fixture["data"]))):
            content = json.dumps(data, ensure_ascii=False).encode()
            (folder / "tokenizer" / f"{file.stem}-{form}").write_bytes(kind + content)
    for archive in sorted((DATA / "archives").glob("*.pt")):
        with zipfile.ZipFile(archive) as content:
            for entry in content.namelist():
                if entry.endswith("namm_contract.json"):
                    (folder / "contract" / archive.stem).write_bytes(content.read(entry))
                if entry.endswith("namm_tokenizer.json"):
                    (folder / "tokenizer" / f"{archive.stem}-archive").write_bytes(b"\0" + content.read(entry))


if __name__ == "__main__":
    main()
