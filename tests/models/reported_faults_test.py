"""Faults that were reported of other programs, as tests of the exporter and of what it exports; each names its report."""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from models.export.families import FAMILIES
from models.export.llama import Llama
from models.export.rope import rope_of_config
from models.export.tokenizer import BYTE_LETTERS
from tests.models.gguf_files import write_gguf
from tests.models.support import (
    CONFIG,
    TemporaryFolderTest,
    archive_logits,
    contract_of,
    export,
    random_tensors,
    run_archive,
    write_folder,
)

# tests/support/tolerances.h, implementations::attention: a matrix product of another number of tokens rounds otherwise.
PACKING = 1e-5


def random_ids(length: int, vocabulary: int, seed: int) -> list[int]:
    return torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


class StateBetweenRequestsTest(TemporaryFolderTest):
    """Public report models-02: what a prompt gives depends neither on what was read before it nor on what is read with it."""

    DYNAMIC = CONFIG | {
        "hidden_size": 64,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "max_position_embeddings": 2048,
        "rope_scaling": {"rope_type": "dynamic", "factor": 2.0},
    }

    def test_the_base_of_a_length(self) -> None:
        rope = rope_of_config(self.DYNAMIC, 2048, "config.json")
        for length, base in {20: 10000.0, 2048: 10000.0, 4096: 31082.236667}.items():
            expected = base ** -(torch.arange(0, 64, 2, dtype=torch.float64) / 64)
            ours = rope.for_length(length).inverse_frequencies(64).double()
            torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)

    def test_a_long_prompt_leaves_nothing_behind(self) -> None:
        a, b, other = random_ids(20, 96, 1), random_ids(4096, 96, 2), random_ids(4096, 96, 3)
        plain = CONFIG | {"max_position_embeddings": 4096}
        models = {"plain": (plain, None), "2048": (self.DYNAMIC, 2048), "4096": (self.DYNAMIC, 4096)}
        for name, (config, length) in models.items():
            with self.subTest(name):
                folder = write_folder(self.folder / name, config, random_tensors(config))
                archive = self.exported(folder, *([] if length is None else ["--max-positions", str(length)]))
                before, long, after = archive_logits(archive, [a, b, a], apart=True)
                np.testing.assert_array_equal(after, before)
                # In one step with B: the same bits whatever B is; alone, what differs is rounding.
                beside, packed_b = archive_logits(archive, [a, b])
                np.testing.assert_array_equal(archive_logits(archive, [a, other])[0], beside)
                np.testing.assert_allclose(beside, before, rtol=PACKING, atol=PACKING)
                np.testing.assert_allclose(packed_b, long, rtol=PACKING, atol=PACKING)

    def test_generated_ids_of_rows_side_by_side(self) -> None:
        prompts = [random_ids(length, 96, length) for length in (20, 700, 3)]
        folder = write_folder(self.folder / "model", self.DYNAMIC, random_tensors(self.DYNAMIC))
        archive = self.exported(folder, "--max-positions", "4096")
        request = {"prompts": [{"ids": ids} for ids in prompts], "new_tokens": 16}
        alone, together = (
            [row["generated"] for row in run_archive(archive, request | {"together": together})["rows"]]
            for together in (False, True)
        )
        self.assertEqual(together, alone)


class MissingTensorTest(TemporaryFolderTest):
    """Public report models-05: a tensor that is not there is named, never made up."""

    def test_every_tensor_of_every_family(self) -> None:
        refusals = 0
        for family in FAMILIES:
            for tied in (False, True):
                config = CONFIG | {"model_type": family, "head_dim": 8, "tie_word_embeddings": tied}
                tensors = random_tensors(config)
                for name in tensors:
                    rest = {other: tensor for other, tensor in tensors.items() if other != name}
                    with self.subTest(family, missing=name, tied=tied):
                        self.assertIn(f"missing: {name}", self.refused(write_folder(self.folder / "model", config, rest)))
                        if name == "lm_head.weight":
                            continue  # a GGUF file says by its absence that the output is tied
                        named = "token_embd.weight is missing" if "embed_tokens" in name else f"missing: {name}"
                        self.assertIn(named, self.refused(write_gguf(self.folder / "model.gguf", rest, config)))
                        refusals += 2
        self.assertGreaterEqual(refusals, 2 * 2 * len(FAMILIES) * 16)

    def test_tied_output_weights(self) -> None:
        ids = [[1, 2, 3, 4, 5]]
        for family in FAMILIES:
            with self.subTest(family):
                config = CONFIG | {"model_type": family, "head_dim": 8, "tie_word_embeddings": True}
                tensors = random_tensors(config)
                embedding = tensors["model.embed_tokens.weight"]
                other = {"lm_head.weight": torch.randn(embedding.shape, generator=torch.Generator().manual_seed(9))}

                tied = self.exported(write_folder(self.folder / f"{family}-tied", config, tensors))
                expected = archive_logits(tied, ids)[0]
                done = export(write_folder(self.folder / f"{family}-both", config, tensors | other), self.folder / "both.pt")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("warning: ", done.stderr)
                self.assertIn("the output is tied to the embedding, lm_head.weight is left out", done.stderr)
                np.testing.assert_array_equal(archive_logits(self.folder / "both.pt", ids)[0], expected)

                # As GGUF: no output matrix, and one; and an untied folder whose output is the embedding.
                gguf = self.exported(write_gguf(self.folder / f"{family}.gguf", tensors, config))
                np.testing.assert_array_equal(archive_logits(gguf, ids)[0], expected)
                untied = config | {"tie_word_embeddings": False}
                same = tensors | {"lm_head.weight": embedding.clone()}
                folder = self.exported(write_folder(self.folder / f"{family}-untied", untied, same))
                np.testing.assert_array_equal(archive_logits(folder, ids)[0], expected)
                ours, theirs = (
                    archive_logits(self.exported(source), ids)[0]
                    for source in (
                        write_gguf(self.folder / f"{family}-other.gguf", tensors | other, untied),
                        write_folder(self.folder / f"{family}-other", untied, tensors | other),
                    )
                )
                np.testing.assert_array_equal(ours, theirs)
                self.assertGreater(np.abs(ours - expected).max(), 0.1)
                complaint = self.refused(write_folder(self.folder / f"{family}-none", untied, tensors))
                self.assertIn("missing: lm_head.weight (the config says that the output is not tied", complaint)


class StopTest(TemporaryFolderTest):
    """Public report models-06. A model rigged to emit 5, 9, 5, 5, 5, ... behind 3, and 7, 3, 5, 9, 5, ... behind 4."""

    VOCABULARY = 320
    RIGGED = CONFIG | {
        "vocab_size": VOCABULARY,
        "hidden_size": VOCABULARY,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 8,
    }

    def chain(self) -> dict[str, torch.Tensor]:
        tensors = random_tensors(self.RIGGED)
        for name in tensors:
            tensors[name].fill_(1) if "norm" in name else tensors[name].zero_()
        tensors["model.embed_tokens.weight"] = torch.eye(self.VOCABULARY)
        for token, following in {3: 5, 5: 9, 9: 5, 7: 3, 4: 7}.items():
            tensors["lm_head.weight"][following, token] = 1
        # Attention, even over all tokens, tells whether a 9 was read: in a component that no token has, and that speaks for 5.
        mark = self.VOCABULARY - 1
        tensors["model.layers.0.self_attn.v_proj.weight"][0, 9] = 100
        tensors["model.layers.0.self_attn.o_proj.weight"][mark, 0] = 1
        tensors["lm_head.weight"][5, mark] = 1
        return tensors

    def contract_and_ids(self, source: Path, prompt: list[int]) -> tuple[list[int], list[int]]:
        archive = self.exported(source)
        request = {"prompts": [{"ids": prompt}], "new_tokens": 6, "stop": True}
        return contract_of(archive)["stop_ids"], run_archive(archive, request)["rows"][0]["generated"]

    def of_folder(self, prompt: list[int], config: dict[str, Any] = {}, **files: Any) -> tuple[list[int], list[int]]:
        name = f"model{len(list(self.folder.iterdir()))}"
        return self.contract_and_ids(write_folder(self.folder / name, self.RIGGED | config, self.chain(), **files), prompt)

    def of_gguf(self, prompt: list[int], **fields: int) -> tuple[list[int], list[int]]:
        path = self.folder / f"model{len(list(self.folder.iterdir()))}.gguf"
        return self.contract_and_ids(write_gguf(path, self.chain(), self.RIGGED, key_length=8, **fields), prompt)

    def tokenizer(self, eos: int) -> dict[str, Any]:
        """Files of a tokenizer whose end token has this id."""
        letters = sorted(BYTE_LETTERS)
        vocabulary = {letter: id if id < eos else id + 1 for id, letter in enumerate(letters)}
        model = {"type": "BPE", "vocab": vocabulary | {"</s>": eos}, "merges": []}
        added = [{"id": eos, "content": "</s>", "special": True}]
        pre = {"type": "ByteLevel", "add_prefix_space": False}
        return {
            "tokenizer": {"model": model, "pre_tokenizer": pre, "added_tokens": added},
            "tokenizer_config": {"eos_token": "</s>"},
        }

    def test_without_a_stop_id(self) -> None:
        self.assertEqual(self.of_folder([3]), ([], [5, 9, 5, 5, 5, 5]))
        self.assertEqual(self.of_folder([4]), ([], [7, 3, 5, 9, 5, 5]))

    def test_every_id_of_a_list_stops(self) -> None:
        both = self.tokenizer(7) | {"generation_config": {"eos_token_id": [7, 9]}}
        self.assertEqual(self.of_folder([3], **both), ([7, 9], [5, 9]))
        self.assertEqual(self.of_folder([4], **both), ([7, 9], [7]))
        self.assertEqual(self.of_folder([3], {"eos_token_id": [7, 9]}), ([7, 9], [5, 9]))
        self.assertEqual(self.of_folder([4], {"eos_token_id": [7, 9]}), ([7, 9], [7]))

    def test_generation_config_over_config_over_tokenizer(self) -> None:
        tokenizer = self.tokenizer(7)
        self.assertEqual(self.of_folder([4], **tokenizer), ([7], [7]))
        self.assertEqual(self.of_folder([4], {"eos_token_id": 9}, **tokenizer), ([9], [7, 3, 5, 9]))
        scalar = {"generation_config": {"eos_token_id": 9}}
        self.assertEqual(self.of_folder([4], {"eos_token_id": 7}, **tokenizer, **scalar), ([9], [7, 3, 5, 9]))
        listed = {"generation_config": {"eos_token_id": [9, 3]}}
        self.assertEqual(self.of_folder([4], {"eos_token_id": 7}, **tokenizer, **listed), ([9, 3], [7, 3]))
        # One that says nothing of it leaves it to the next.
        silent = {"generation_config": {"temperature": 0.6, "eos_token_id": None}}
        self.assertEqual(self.of_folder([4], {"eos_token_id": 9}, **tokenizer, **silent), ([9], [7, 3, 5, 9]))

    def test_gguf(self) -> None:
        self.assertEqual(self.of_gguf([3]), ([], [5, 9, 5, 5, 5, 5]))
        self.assertEqual(self.of_gguf([3], eos_token_id=7, eot_token_id=9), ([7, 9], [5, 9]))
        self.assertEqual(self.of_gguf([4], eos_token_id=7, eot_token_id=9), ([7, 9], [7]))
        self.assertEqual(self.of_gguf([3], eos_token_id=9), ([9], [5, 9]))
        self.assertEqual(self.of_gguf([3], eot_token_id=9), ([9], [5, 9]))


class WritingLlama(Llama):
    """A model of somebody's own, which writes to its weights: they lie in the mapped archive."""

    @torch.jit.export
    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        self.embedding.weight.mul_(1.0)
        return F.embedding(ids, self.embedding.weight)


class MappedWeightsTest(TemporaryFolderTest):
    def test_a_model_may_write_to_its_weights(self) -> None:
        folder = write_folder(self.folder / "model", CONFIG, random_tensors(CONFIG))
        plain = self.exported(folder)
        expected = archive_logits(plain, [[1, 2, 3]])[0]
        with mock.patch("models.export.command.Llama", WritingLlama):
            writing = self.exported(folder)
        before = writing.read_bytes()
        np.testing.assert_array_equal(archive_logits(writing, [[1, 2, 3]])[0], expected)
        self.assertEqual(writing.read_bytes(), before, "what is written stays in the process")


if __name__ == "__main__":
    unittest.main()
