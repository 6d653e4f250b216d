"""Damaged files that the exporter may be given: refused with a sentence, without asking for what they claim.
tests/models/fuzz/run looks for more of them."""

from __future__ import annotations

import base64
import struct
import unittest
from typing import Any

from models.export.errors import ExportError
from models.export.rank_file import from_rank_file
from models.export.tokenizer import BYTE_LETTERS
from tests.models.fuzz.exporter_input import SMALL
from tests.models.gguf_files import write_gguf
from tests.models.support import CONFIG, TemporaryFolderTest, random_tensors, write_folder


class SizesTest(TemporaryFolderTest):
    def test_no_memory_for_sizes_that_the_tensors_do_not_have(self) -> None:
        for name, value in {
            "vocab_size": 10**12,
            "hidden_size": 2**31,
            "intermediate_size": 2**31,
            "num_hidden_layers": 10**9,
            "num_attention_heads": 10**9,
            "num_key_value_heads": 10**9,
            "head_dim": 2**31,
            "max_position_embeddings": 10**400,
        }.items():
            with self.subTest(name):
                folder = write_folder(self.folder / name, CONFIG | {name: value}, random_tensors(CONFIG))
                complaint = self.refused(folder)
                self.assertTrue(name in complaint or "has shape" in complaint, complaint)
                self.assertLess(len(complaint), 400)

    def test_numbers_that_give_no_frequencies(self) -> None:
        longrope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0] * 4, "factor": 2.0}
        for number, rule in enumerate(
            (
                {"rope_type": "dynamic", "factor": 1e308},
                longrope | {"original_max_position_embeddings": 1},
                longrope | {"original_max_position_embeddings": 0.5},
                {"rope_type": "linear", "factor": 1e-300},
            )
        ):
            with self.subTest(rule=rule):
                config = CONFIG | {"rope_scaling": rule}
                folder = write_folder(self.folder / f"rope{number}", config, random_tensors(config))
                self.assertIn("frequencies", self.refused(folder, "--max-positions", "4096"))

    def test_counts_of_a_gguf_file(self) -> None:
        whole = write_gguf(self.folder / "whole.gguf", random_tensors(CONFIG)).read_bytes()
        # Tensors and fields, in the header; an array of 2^60 bytes and a text of as many behind it.
        header = struct.Struct("<4sIQQ")
        magic, version, tensors, fields = header.unpack_from(whole)
        most = 2**60
        string = struct.Struct("<Q")
        array = string.pack(1) + b"a" + struct.pack("<IIQ", 9, 0, most)
        text = string.pack(1) + b"a" + struct.pack("<IQ", 8, most)
        for name, damaged in {
            "tensors": header.pack(magic, version, most, fields) + whole[header.size :],
            "fields": header.pack(magic, version, tensors, most) + whole[header.size :],
            "array": header.pack(magic, version, 0, 1) + array,
            "text": header.pack(magic, version, 0, 1) + text,
        }.items():
            with self.subTest(name):
                path = self.folder / f"{name}.gguf"
                path.write_bytes(damaged)
                self.assertIn("not a complete GGUF file", self.refused(path))


class TextTest(TemporaryFolderTest):
    def tokenizer(self, *added: dict[str, Any]) -> dict[str, Any]:
        letters = {letter: id for id, letter in enumerate(sorted(BYTE_LETTERS))}
        return {
            "model": {"type": "BPE", "vocab": letters, "merges": []},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
            "added_tokens": list(added),
        }

    def test_halves_of_surrogate_pairs(self) -> None:
        half = self.tokenizer({"id": 256, "content": "\ud800", "special": True})
        folder = write_folder(self.folder / "model", SMALL, random_tensors(SMALL), tokenizer=half)
        self.assertIn("cannot be written", self.refused(folder))

    def test_added_tokens_that_the_program_would_refuse(self) -> None:
        for number, token in enumerate(({"content": 3}, {"content": ""}, {"content": "x", "id": True})):
            broken = self.tokenizer({"id": 256, "special": True} | token)
            folder = write_folder(self.folder / f"added{number}", SMALL, random_tensors(SMALL), tokenizer=broken)
            self.assertIn("added token", self.refused(folder))

    def test_a_prefix_outside_the_vocabulary(self) -> None:
        texts = {"bos_token": "<s>", "add_bos_token": True}
        far = self.tokenizer({"id": 1030, "content": "<s>", "special": True})
        folder = write_folder(self.folder / "model", SMALL, random_tensors(SMALL), tokenizer=far, tokenizer_config=texts)
        self.assertIn("the model's vocabulary has 1024", self.refused(folder))

    def test_names_of_a_rank_file_that_are_no_text(self) -> None:
        path = self.folder / "tokenizer.model"
        path.write_bytes(b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256)))
        for content in ([], None, 3):
            with self.assertRaisesRegex(ExportError, "added_tokens_decoder"):
                from_rank_file(path, {"added_tokens_decoder": {"256": {"content": content}}}, 512)


if __name__ == "__main__":
    unittest.main()
