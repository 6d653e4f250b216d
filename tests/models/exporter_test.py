"""The exporter as users meet it: what it reads, what it refuses and how it says so."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

from models.export.chat import ChatForm, chat_form
from models.export.checkpoint import ChatTemplate
from models.export.command import open_checkpoint, quiet_torchscript
from models.export.errors import ExportError
from models.export.families import FAMILIES
from models.export.huggingface import settings_of_config
from models.export.operator import register_attend
from models.export.rope import Rope, parse_rope, rope_of_config
from models.export.sentence_piece import from_document
from models.export.sentence_piece import from_gguf as sentence_piece_from_gguf
from models.export.tokenizer import BYTE_LETTERS, LLAMA3_PATTERN, QWEN2_PATTERN, Tokenizer, from_gguf, from_tokenizer_json
from tests.models.gguf_files import write_gguf
from tests.models.support import (
    CONFIG,
    ROOT,
    TemporaryFolderTest,
    archive_logits,
    contract_of,
    export,
    random_tensors,
    run_archive,
    write_folder,
)


class RopeTest(unittest.TestCase):
    def near(self, frequencies: torch.Tensor, expected: dict[int, float]) -> None:
        for index, value in expected.items():
            self.assertLess(abs(frequencies[index].item() / value - 1), 1e-6, index)

    def test_llama3(self) -> None:
        scaling = {"factor": 32, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}
        for spelling in ("rope_type", "type"):
            rope = rope_of_config({"rope_theta": 500000.0, "rope_scaling": scaling | {spelling: "llama3"}}, 131072, "config.json")
            self.near(
                rope.inverse_frequencies(64),
                {14: 3.2114459948e-03, 15: 1.2905479282e-03, 16: 4.2955679656e-04, 17: 9.7082878026e-05,
                 18: 1.9461638185e-05, 31: 9.4183067254e-08},
            )  # fmt: skip
        parameters = scaling | {"rope_type": "llama3", "factor": 8, "rope_theta": 500000.0}
        self.near(
            rope_of_config({"rope_parameters": parameters}, 131072, "config.json").inverse_frequencies(128),
            {28: 3.2114459948e-03, 30: 1.3718935678e-03, 32: 5.2484616099e-04, 35: 9.5562123540e-05, 63: 3.0689259889e-07},
        )

    def test_static_ntk_of_the_released_runs(self) -> None:
        rope = parse_rope("static-ntk:factor=4,alpha=2", 500000.0)
        self.near(
            rope.inverse_frequencies(128),
            {0: 1, 1: 0.789840391, 2: 0.623847843, 8: 0.151465845, 16: 0.0229419023, 32: 5.26330879e-4, 63: 3.50734399e-7},
        )
        rounded = parse_rope("static-ntk:factor=4,alpha=2,frequencies=bfloat16", 500000.0).inverse_frequencies(128)
        self.near(rounded, {1: 0.7890625, 2: 0.625, 8: 0.151367188, 16: 0.0229492188, 63: 3.50177288e-7})

    def test_what_is_refused(self) -> None:
        for text, complaint in {
            "ntk": "RoPE rule 'ntk' is not supported",
            "linear": "lacks factor",
            "linear:factor=0": "must be a positive number",
            "linear:factor=x": "not name=number",
            "plain:factor=2": "does not take factor",
            "linear:factor=nan": "must be a positive number",
        }.items():
            with self.assertRaisesRegex(ExportError, complaint):
                parse_rope(text, 10000.0)
        with self.assertRaisesRegex(ExportError, "rope type 'proportional' is not supported"):
            rope_of_config({"rope_scaling": {"rope_type": "proportional", "factor": 2.0}}, 64, "config.json")
        for divisors in (None, [], 3, ["x"]):
            with self.assertRaises((ExportError, ValueError)):
                longrope = {"rope_type": "longrope", "short_factor": divisors, "long_factor": [1.0]}
                rope_of_config({"rope_scaling": longrope}, 64, "config.json")
        with self.assertRaisesRegex(ExportError, "which only a checkpoint can give"):
            parse_rope("longrope:original=64,factor=2", 10000.0)

    def test_a_rule_that_is_not_named_is_no_rule(self) -> None:
        llama3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
        for config in ({"rope_scaling": {"factor": 4.0}}, {"rope_parameters": llama3 | {"rope_theta": 500000.0}}):
            with self.assertRaisesRegex(ExportError, "does not say its rope_type"):
                rope_of_config(config, 64, "config.json")
        with self.assertRaisesRegex(ExportError, "which one is meant"):
            rope_of_config({"rope_scaling": llama3 | {"rope_type": "default", "type": "llama3"}}, 64, "config.json")
        self.assertEqual(rope_of_config({"rope_parameters": {"rope_theta": 5.0}}, 64, "c"), Rope("plain", 5.0))

    def test_rules_that_depend_on_the_length_are_frozen(self) -> None:
        plain = Rope().inverse_frequencies(16)
        dynamic = rope_of_config({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, 64, "config.json")
        self.assertTrue(torch.equal(dynamic.inverse_frequencies(16), plain))
        self.assertTrue(torch.equal(dynamic.for_length(30).inverse_frequencies(16), plain))
        # theta (2 * 128 / 64 - 1)^(16 / 14)
        longer = Rope(theta=10000.0 * 3 ** (16 / 14)).inverse_frequencies(16)
        torch.testing.assert_close(dynamic.for_length(128).inverse_frequencies(16), longer, rtol=1e-6, atol=0)
        scaling = {"rope_type": "longrope", "short_factor": [1.0, 2.0], "long_factor": [4.0, 8.0]}
        config = {"rope_scaling": scaling, "original_max_position_embeddings": 64}
        longrope = rope_of_config(config, 256, "config.json")
        torch.testing.assert_close(longrope.inverse_frequencies(4), Rope().inverse_frequencies(4) / torch.tensor([4.0, 8.0]))
        short = longrope.for_length(64).inverse_frequencies(4)
        torch.testing.assert_close(short, Rope().inverse_frequencies(4) / torch.tensor([1.0, 2.0]))
        self.assertAlmostEqual(longrope.attention_factor(), (1 + math.log(4) / math.log(64)) ** 0.5)
        self.assertEqual(longrope.for_length(128).describe()["length"], 128)

    def test_original_length_beside_the_rule_and_a_factor_of_its_own(self) -> None:
        scaling = {"type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 3.0]}
        inside = scaling | {"original_max_position_embeddings": 512}
        for config, original, factor in (
            ({"rope_scaling": inside}, 512, 4),
            ({"rope_scaling": inside, "original_max_position_embeddings": 1024}, 1024, 2),
            ({"rope_scaling": inside | {"factor": 8.0}, "original_max_position_embeddings": 1024}, 1024, 8),
        ):
            rope = rope_of_config(config, 2048, "config.json")
            self.assertEqual((rope.numbers["original"], rope.numbers["factor"]), (original, factor))

    def test_theta_of_the_command_line(self) -> None:
        self.assertEqual(parse_rope("plain:theta=1000", 10000.0), Rope("plain", 1000.0))


class FolderTest(TemporaryFolderTest):
    def folder_with(self, config: dict[str, Any] = {}, tensors: dict[str, torch.Tensor] | None = None, **files: Any) -> Path:
        whole = CONFIG | config
        return write_folder(self.folder / "model", whole, random_tensors(whole) if tensors is None else tensors, **files)

    def test_contract(self) -> None:
        contract = contract_of(self.exported(self.folder_with(), "--max-positions", "512", "--rope", "linear:factor=2"))
        for name, value in {
            "version": 1, "family": "llama", "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 8, "hidden": 32,
            "vocabulary": 96, "max_positions": 512, "dtype": "float32", "tokenizer": {"kind": "none"}, "stop_ids": [],
        }.items():  # fmt: skip
            self.assertEqual(contract[name], value, name)
        self.assertEqual(contract["rope"]["rule"], "linear")

    def test_half_rotated_heads_keep_a_frequency_for_every_pair(self) -> None:
        """So that keys can be moved to other positions (Archive::inverse_frequencies); what is not rotated stands still."""
        config = CONFIG | {"model_type": "phi3", "partial_rotary_factor": 0.5}
        archive = self.exported(write_folder(self.folder / "model", config, random_tensors(config)))
        self.assertEqual(contract_of(archive)["rope"]["components"], 4)
        register_attend()
        with quiet_torchscript():
            frequencies = torch.jit.load(archive).inverse_frequencies
        torch.testing.assert_close(frequencies, torch.tensor([1.0, 0.01, 0.0, 0.0]))

    def test_stated_head_dimension_wins(self) -> None:
        config = {"hidden_size": 48, "num_attention_heads": 4, "head_dim": 16}
        self.assertEqual(contract_of(self.exported(self.folder_with(config)))["head_dim"], 16)
        shutil.rmtree(self.folder / "model")
        self.assertEqual(contract_of(self.exported(self.folder_with({"hidden_size": 48})))["head_dim"], 12)

    def test_shape_against_the_stated_head_dimension(self) -> None:
        folder = self.folder_with(tensors=random_tensors(CONFIG | {"head_dim": 16}))
        self.assertIn("has shape (64, 32), the settings ask for (32, 32)", self.refused(folder))

    def test_tied_without_output_matrix(self) -> None:
        tied = self.folder_with({"tie_word_embeddings": True})
        archive = self.exported(tied)
        tensors = random_tensors(CONFIG | {"tie_word_embeddings": True})
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        shutil.rmtree(tied)
        untied = self.exported(write_folder(self.folder / "untied", CONFIG, tensors))
        ours, theirs = (archive_logits(a, [[1, 2, 3]])[0] for a in (archive, untied))
        np.testing.assert_array_equal(ours, theirs)

    def test_tied_with_another_output_matrix(self) -> None:
        config = CONFIG | {"tie_word_embeddings": True}
        tensors = random_tensors(config)
        plain = self.exported(write_folder(self.folder / "plain", config, tensors))
        both = write_folder(self.folder / "both", config, tensors | {"lm_head.weight": torch.randn(96, 32)})
        done = export(both, self.folder / "both.pt")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("warning: ", done.stderr)
        self.assertIn("lm_head.weight is left out", done.stderr)
        ours, theirs = (archive_logits(a, [[1, 2, 3]])[0] for a in (self.folder / "both.pt", plain))
        np.testing.assert_array_equal(ours, theirs)

    def test_untied_without_output_matrix(self) -> None:
        tensors = random_tensors(CONFIG)
        del tensors["lm_head.weight"]
        self.assertIn("missing: lm_head.weight", self.refused(self.folder_with(tensors=tensors)))

    def test_unsupported_fields_are_named(self) -> None:
        for name, value in {
            "model_type": "smollm3",
            "attention_bias": True,
            "mlp_bias": True,
            "hidden_act": "gelu",
            "quantization_config": {"bits": 4},
            "rope_scaling": {"rope_type": "proportional", "factor": 4.0},
            "vocab_size": "many",
            "num_hidden_layers": 0,
            "rms_norm_eps": -1.0,
            "num_key_value_heads": 3,
        }.items():
            with self.subTest(name):
                folder = write_folder(self.folder / name, CONFIG | {name: value}, {"x": torch.zeros(1)})
                named = {"rope_scaling": "proportional", "num_key_value_heads": "3 key/value heads"}.get(name, name)
                self.assertIn(named, self.refused(folder))

    def test_missing_field_is_named(self) -> None:
        config = {name: value for name, value in CONFIG.items() if name != "hidden_size"}
        folder = write_folder(self.folder / "model", config, {"x": torch.zeros(1)})
        self.assertIn("the field hidden_size is missing", self.refused(folder))

    def test_missing_tensor_is_named(self) -> None:
        tensors = random_tensors(CONFIG)
        del tensors["model.layers.1.mlp.up_proj.weight"]
        self.assertIn("missing: model.layers.1.mlp.up_proj.weight", self.refused(self.folder_with(tensors=tensors)))

    def test_biases_are_refused(self) -> None:
        tensors = random_tensors(CONFIG) | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}
        self.assertIn("self_attn.q_proj.bias: a bias", self.refused(self.folder_with(tensors=tensors)))

    def test_sliding_windows(self) -> None:
        def windows(**changes: Any) -> tuple[int, ...]:
            return settings_of_config(CONFIG | {"num_hidden_layers": 3} | changes, "c").windows

        self.assertEqual(windows(), (0, 0, 0))
        self.assertEqual(windows(model_type="mistral", sliding_window=9), (9, 9, 9))
        self.assertEqual(windows(model_type="mistral", sliding_window=None), (0, 0, 0))
        qwen = {"model_type": "qwen2", "sliding_window": 9}
        self.assertEqual(windows(**qwen), (0, 0, 0))
        self.assertEqual(windows(**qwen, use_sliding_window=True, max_window_layers=2), (0, 0, 9))
        kinds = ["sliding_attention", "full_attention", "sliding_attention"]
        self.assertEqual(windows(**qwen, use_sliding_window=True, layer_types=kinds), (9, 0, 9))
        for wrong in (kinds[:2], ["chunked"] * 3, "full_attention"):
            with self.assertRaisesRegex(ExportError, "layer_types"):
                windows(**qwen, use_sliding_window=True, layer_types=wrong)
        with self.assertRaisesRegex(ExportError, "sliding_window"):
            windows(sliding_window=9)

    def test_partial_rotation(self) -> None:
        config = {"model_type": "phi3", "head_dim": 16, "partial_rotary_factor": 0.5}
        archive = self.exported(self.folder_with(config))
        self.assertEqual(contract_of(archive)["rope"]["components"], 8)
        shutil.rmtree(self.folder / "model")
        self.assertIn("RoPE on 5 of 16", self.refused(self.folder_with(config | {"partial_rotary_factor": 0.35})))

    def test_truncated_and_missing_files(self) -> None:
        folder = self.folder_with()
        weights = folder / "model.safetensors"
        whole = weights.read_bytes()
        for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
            weights.write_bytes(whole[:size])
            self.assertIn("model.safetensors", self.refused(folder))
        weights.unlink()
        self.assertIn("the weights are missing", self.refused(folder))
        (folder / "config.json").write_text('{"model_type": ')
        self.assertIn("not valid JSON", self.refused(folder))
        self.assertIn("no config.json", self.refused(self._empty()))
        self.assertIn("no such file or folder", self.refused(self.folder / "nowhere"))
        self.assertIn("neither a Hugging Face folder nor a .gguf file", self.refused(folder / "config.json"))

    def test_documents_of_another_form(self) -> None:
        """Every place of a document with a value of another kind: refused or harmless, never a stack trace."""
        letters = {letter: id for id, letter in enumerate(sorted(BYTE_LETTERS))} | {"ab": 256}
        post = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>"}}],
            "special_tokens": {"<s>": {"ids": [257]}},
        }
        documents = {
            "config": CONFIG | {"vocab_size": 320, "rope_scaling": {"type": "linear", "factor": 2.0}, "eos_token_id": [1]},
            "tokenizer": {
                "model": {"type": "BPE", "vocab": letters, "merges": [["a", "b"]]},
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                "post_processor": post,
                "added_tokens": [{"id": 257, "content": "<s>", "special": True}],
            },
            "tokenizer_config": {"bos_token": {"content": "<s>"}, "chat_template": [{"name": "default", "template": "x"}]},
            "namm_tokenizer": {"kind": "words", "words": ["a", "b"], "byte_base": 2, "pad_id": 0, "bos_id": 1},
        }

        def places(value: Any, path: tuple = ()) -> list[tuple]:
            below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            children = [place for key, child in list(below)[:12] for place in places(child, (*path, key))]
            return [path, *children] if path else children

        config = documents["config"]
        for name, document in documents.items():
            files = {key: documents[key] for key in documents if key not in ("config", "namm_tokenizer")}
            folder = write_folder(self.folder / name, config, {"x": torch.zeros(1)}, **files)
            for place in places(document):
                for other in (None, 3, -1.5, "x", [], {}, [[None]], {"id": {}}, 10**400):
                    changed = json.loads(json.dumps(document))
                    parent = changed
                    for key in place[:-1]:
                        parent = parent[key]
                    parent[place[-1]] = other
                    (folder / f"{name}.json").write_text(json.dumps(changed))
                    with self.subTest(file=name, place=place, other=str(other)[:20]):
                        try:
                            open_checkpoint(folder, with_tokenizer=True)
                        except ExportError as error:
                            self.assertIn(str(self.folder), str(error))
        (folder / "namm_tokenizer.json").write_text("[" * 100000)
        self.assertIn("namm_tokenizer.json: not valid JSON", self.refused(folder))
        (folder / "namm_tokenizer.json").unlink()
        (folder / "chat_template.jinja").write_bytes(b"\xff")
        self.assertIn("chat_template.jinja: not of the expected form", self.refused(folder))

    def _empty(self) -> Path:
        folder = self.folder / "empty"
        folder.mkdir()
        return folder

    def test_shards(self) -> None:
        tensors = random_tensors(CONFIG)
        whole = self.exported(self.folder_with(tensors=tensors))
        folder = write_folder(self.folder / "sharded", CONFIG, {"x": torch.zeros(1)})
        (folder / "model.safetensors").unlink()
        names = sorted(tensors)
        shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for shard, held in shards.items():
            save_file({name: tensors[name] for name in held}, folder / shard)
        index = {"weight_map": {name: shard for shard, held in shards.items() for name in held}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        sharded = self.exported(folder)
        ours, theirs = (archive_logits(a, [[1, 2, 3]])[0] for a in (sharded, whole))
        np.testing.assert_array_equal(ours, theirs)

    def test_an_existing_archive_survives_a_failed_export(self) -> None:
        archive = self.exported(self.folder_with())
        before = archive.read_bytes()
        (self.folder / "model" / "model.safetensors").write_bytes(b"torn")
        self.assertEqual(export(self.folder / "model", archive).returncode, 3)
        self.assertEqual(archive.read_bytes(), before)
        self.assertEqual([path.name for path in self.folder.glob(".*")], [])

    def test_bfloat16(self) -> None:
        archive = self.exported(self.folder_with(), "--dtype", "bfloat16")
        self.assertEqual(contract_of(archive)["dtype"], "bfloat16")
        whole = self.folder / "model"
        shutil.move(whole, self.folder / "again")
        exact = archive_logits(self.exported(self.folder / "again"), [[1, 2, 3, 4]])[0]
        rounded = archive_logits(archive, [[1, 2, 3, 4]])[0]
        self.assertLess(np.abs(exact - rounded).max(), 0.1)
        self.assertGreater(np.abs(exact - rounded).max(), 0)


class CommandLineTest(TemporaryFolderTest):
    """The program itself, from the repository root."""

    def run_program(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "models.export", *arguments]
        environment = os.environ | variables
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def test_export(self) -> None:
        folder = write_folder(self.folder / "model", CONFIG, random_tensors(CONFIG))
        done = self.run_program("llama", "--from", str(folder), "--out", str(self.folder / "model.pt"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("2 layers, hidden 32", done.stdout)
        self.assertTrue((self.folder / "model.pt").is_file())

    def test_two_processes_write_the_same_bytes(self) -> None:
        folder = write_folder(self.folder / "model", CONFIG, random_tensors(CONFIG))
        for seed in ("1", "2"):
            done = self.run_program("llama", "--from", str(folder), "--out", str(self.folder / f"{seed}.pt"), PYTHONHASHSEED=seed)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.folder / "1.pt").read_bytes(), (self.folder / "2.pt").read_bytes())

    def test_help_and_wrong_use(self) -> None:
        done = self.run_program("llama", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("static-ntk:factor=F,alpha=A", done.stdout)
        self.assertEqual(self.run_program("mamba").returncode, 2)
        done = self.run_program("llama", "--from", "nowhere", "--out", str(self.folder / "x.pt"))
        self.assertEqual((done.returncode, done.stderr), (3, "error: nowhere: no such file or folder\n"))


class TokenizerTest(unittest.TestCase):
    def document(self, **changes: Any) -> dict[str, Any]:
        letters = sorted(BYTE_LETTERS)
        vocabulary = {letter: id for id, letter in enumerate(letters)} | {"ab": 256}
        model = {"type": "BPE", "vocab": vocabulary, "merges": ["a b"], "ignore_merges": False}
        pre = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
        return {"model": model, "pre_tokenizer": pre, "added_tokens": []} | changes

    def test_both_spellings_of_merges(self) -> None:
        strings = from_tokenizer_json(self.document(), {}, "t", 0)
        pairs = self.document()
        pairs["model"]["merges"] = [["a", "b"]]
        self.assertEqual(strings.data, from_tokenizer_json(pairs, {}, "t", 0).data)

    def test_splitting_rules(self) -> None:
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
        plain = byte_level | {"use_regex": False}
        digits = {"type": "Digits", "individual_digits": True}
        split = {"type": "Split", "pattern": {"Regex": LLAMA3_PATTERN}, "behavior": "Isolated", "invert": False}
        rules = {
            "gpt2": byte_level,
            "smollm": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
            "llama3": {"type": "Sequence", "pretokenizers": [split, plain]},
            "qwen2": {"type": "Sequence", "pretokenizers": [split | {"pattern": {"Regex": QWEN2_PATTERN}}, plain]},
        }
        for name, rule in rules.items():
            self.assertEqual(from_tokenizer_json(self.document(pre_tokenizer=rule), {}, "t", 0).data["pre"], name)
        other = {"type": "Sequence", "pretokenizers": [split | {"pattern": {"Regex": r"\d"}}, plain]}
        for rule in (None, other, {"type": "Whitespace"}, byte_level | {"add_prefix_space": True}):
            with self.assertRaisesRegex(ExportError, "this splitting rule is not known"):
                from_tokenizer_json(self.document(pre_tokenizer=rule), {}, "t", 0)

    def test_what_is_refused(self) -> None:
        document = self.document()
        document["model"]["merges"] = ["a c"]
        for broken, complaint in {
            "merge": (document, "the merge 'a c'"),
            "normalizer": (self.document(normalizer={"type": "NFKC"}), "normalizer"),
            "model": (self.document(model={"type": "Unigram"}), "Unigram"),
        }.values():
            with self.assertRaisesRegex(ExportError, complaint):
                from_tokenizer_json(broken, {}, "t", 0)

    def test_normal_form(self) -> None:
        self.assertNotIn("normalizer", from_tokenizer_json(self.document(), {}, "t", 0).data)
        for form in ({"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}):
            self.assertEqual(from_tokenizer_json(self.document(normalizer=form), {}, "t", 0).data["normalizer"], "nfc")

    def test_flags_of_added_tokens(self) -> None:
        token = {"id": 257, "content": "<m>", "special": True, "lstrip": True, "rstrip": False, "normalized": True}
        data = from_tokenizer_json(self.document(added_tokens=[token]), {}, "t", 0).data
        self.assertEqual(data["added"], [{"id": 257, "text": "<m>", "special": True, "normalized": True, "lstrip": True}])

    def test_prefix(self) -> None:
        added = [{"id": 257, "content": "<s>", "special": True}]
        post = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [257], "tokens": ["<s>"]}},
        }
        with_post = self.document(added_tokens=added, post_processor=post)
        self.assertEqual(from_tokenizer_json(with_post, {}, "t", 0).settings["prefix_ids"], [257])
        off = {"bos_token": "<s>", "add_bos_token": False}
        self.assertEqual(from_tokenizer_json(with_post, off, "t", 0).settings["prefix_ids"], [])
        on = {"bos_token": {"content": "<s>"}, "add_bos_token": True}
        without = self.document(added_tokens=added)
        self.assertEqual(from_tokenizer_json(without, on, "t", 0).settings["prefix_ids"], [257])
        self.assertEqual(from_tokenizer_json(without, {}, "t", 0).settings["prefix_ids"], [])

    def test_gguf(self) -> None:
        values = {
            "model": "gpt2", "pre": "smollm", "tokens": ["<s>", "a", "b", "ab"], "token_type": [3, 1, 1, 1],
            "merges": ["a b"], "add_bos_token": True, "bos_token_id": 0,
        }  # fmt: skip
        tokenizer = from_gguf(values, "t")
        self.assertEqual(tokenizer.settings, {"kind": "byte-level-bpe", "prefix_ids": [0]})
        self.assertEqual(tokenizer.data["merges"], [1, 2, 3])
        self.assertEqual(tokenizer.data["added"], [{"id": 0, "text": "<s>", "special": True}])
        qwen2 = from_gguf(values | {"pre": "qwen2"}, "t").data
        self.assertEqual((qwen2["pre"], qwen2["normalizer"], qwen2["ignore_merges"]), ("qwen2", "nfc", False))
        for pre in ("deepseek-llm", "default", None):
            with self.assertRaisesRegex(ExportError, f"pre = {pre!r}: this splitting rule is not known"):
                from_gguf(values | {"pre": pre}, "t")
        with self.assertRaisesRegex(ExportError, "'bert' is not supported"):
            from_gguf(values | {"model": "bert"}, "t")

    def sentence_piece(self, **changes: Any) -> dict[str, Any]:
        texts = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "▁", "▁a"]
        model = {
            "type": "BPE", "vocab": {text: id for id, text in enumerate(texts)}, "merges": ["▁ a"], "unk_token": "<unk>",
            "byte_fallback": True, "fuse_unk": True,
        }  # fmt: skip
        pre = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
        steps = [{"type": kind} for kind in ("Replace", "ByteFallback", "Fuse", "Strip")]
        added = [{"id": 0, "content": "<unk>", "special": True}, {"id": 1, "content": "<s>", "special": True}]
        decoder = {"type": "Sequence", "decoders": steps}
        return {"model": model, "pre_tokenizer": pre, "decoder": decoder, "added_tokens": added} | changes

    def test_sentence_piece_documents(self) -> None:
        tokenizer = from_document(self.sentence_piece(), {"bos_token": "<s>", "add_bos_token": True}, "t")
        self.assertEqual(tokenizer.settings, {"kind": "sentencepiece-bpe", "prefix_ids": [1]})
        data = tokenizer.data
        self.assertEqual((data["blank"], data["strips_blank"]), ("first_unless_there", True))
        self.assertEqual(data["merges"], [259, 258, 260])
        self.assertEqual(data["types"][:3] + data["types"][-1:], [2, 1, 6, 1])
        prepend = {"type": "Prepend", "prepend": "▁"}
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        legacy = {"normalizer": {"type": "Sequence", "normalizers": [prepend, replace]}, "pre_tokenizer": None}
        self.assertEqual(from_document(self.sentence_piece(**legacy), {}, "t").data["blank"], "each")
        normalized = [{"id": 1, "content": "<s>", "special": True, "normalized": True}]
        fewer = self.sentence_piece()
        del fewer["model"]["vocab"]["<0x41>"]
        for broken, complaint in {
            "pre-tokenizer": (self.sentence_piece(pre_tokenizer={"type": "Whitespace"}), "pre_tokenizer are not supported"),
            "decoder": (self.sentence_piece(decoder={"type": "WordPiece"}), "the decoder"),
            "bytes": (fewer, "<0x41>"),
            "normalized": (self.sentence_piece(**legacy, added_tokens=normalized), "normalized"),
        }.values():
            with self.assertRaisesRegex(ExportError, complaint):
                from_document(broken, {}, "t")

    def test_sentence_piece_of_gguf(self) -> None:
        texts = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "▁", "▁a", "<tool>"]
        values = {
            "model": "llama", "tokens": texts, "scores": [0.0] * 258 + [-2.0, -3.0, -1.0, -1000.0],
            "token_type": [2, 3] + [6] * 256 + [1, 1, 1, 4], "add_bos_token": None, "add_space_prefix": None, "bos_token_id": 1,
        }  # fmt: skip
        tokenizer = sentence_piece_from_gguf(values, "t")
        self.assertEqual(tokenizer.settings["prefix_ids"], [1])
        self.assertEqual(tokenizer.data["blank"], "each")
        self.assertEqual([token["special"] for token in tokenizer.data["added"]], [True, True, False])
        without = sentence_piece_from_gguf(values | {"add_bos_token": False, "add_space_prefix": False}, "t")
        self.assertEqual((without.settings["prefix_ids"], without.data["blank"]), ([], "none"))
        with self.assertRaisesRegex(ExportError, "one of each a token"):
            sentence_piece_from_gguf(values | {"scores": None}, "t")


class ChatTest(unittest.TestCase):
    def form(self, template: str, prefix: list[int] = []) -> ChatForm:
        ids = {"<s>": 1, "</s>": 2, "<|eot_id|>": 9, "<|eot": 8}
        data = {"added": [{"id": id, "text": text, "special": True} for text, id in ids.items()]}
        tokenizer = Tokenizer({"kind": "byte-level-bpe", "prefix_ids": prefix}, data, ids)
        return chat_form(ChatTemplate(template, "<s>", "</s>"), tokenizer)

    def wrapper(self, template: str, prefix: list[int]) -> tuple[str, str]:
        form = self.form(template, prefix)
        return form.prefix, form.suffix

    def test_the_begin_token_stands_once(self) -> None:
        template = "{{ bos_token }}user: {{ messages[0]['content'] }}{% if add_generation_prompt %}{{ '\nbot:' }}{% endif %}"
        self.assertEqual(self.wrapper(template, [1]), ("user: ", "\nbot:"))
        self.assertEqual(self.wrapper(template, []), ("<s>user: ", "\nbot:"))
        # Written out, and with a prefix of two tokens.
        literal = template.replace("{{ bos_token }}", "<s>")
        self.assertEqual(self.wrapper(literal, [1]), ("user: ", "\nbot:"))
        self.assertEqual(self.wrapper(literal.replace("<s>", "<s></s>"), [1, 2]), ("user: ", "\nbot:"))
        self.assertEqual(self.wrapper(literal, [1, 2]), ("user: ", "\nbot:"))

    def test_an_answer_ends_at_the_token_of_the_template(self) -> None:
        turns = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }} <|eot_id|>\n{% endfor %}"
        self.assertEqual(self.form(turns), ChatForm("<|user|>", " <|eot_id|>\n", 9))
        for end, id in {"{{ eos_token }}": 2, "": None, "|eot_id|>": None}.items():
            self.assertEqual(self.form(turns.replace("<|eot_id|>", end)).stop_id, id)
        one = "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0].content }}:"
        self.assertEqual(self.form(one), ChatForm("", ":", None))

    def test_what_templates_of_instruct_models_use(self) -> None:
        date = "{% if strftime_now is defined %}{{ strftime_now('%Y') | length }}{% endif %}"
        loop = "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}[{{ m.content }}]{% endfor %}"
        self.assertEqual(self.form(date + loop), ChatForm("4[", "]", None))

    def test_templates_that_cannot_be_used(self) -> None:
        for template in ("{{ raise_exception('no') }}", "{{ messages[0].content | upper }}", "{% for %}", "{{ ''.__class__ }}"):
            with self.assertWarns(UserWarning):
                self.assertEqual(self.wrapper(template, []), ("", ""))


class ChatStopTest(TemporaryFolderTest):
    def test_llama3_instruct_stops_on_both(self) -> None:
        """Its config names the end of a text, its chat template ends a turn with another token."""
        letters = {letter: id for id, letter in enumerate(sorted(BYTE_LETTERS))}
        tokens = {"<|begin_of_text|>": 256, "<|end_of_text|>": 257, "<|eot_id|>": 258, "<|start_header_id|>": 259}
        tokenizer = {
            "model": {"type": "BPE", "vocab": letters, "merges": []},
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
            "added_tokens": [{"id": id, "content": text, "special": True} for text, id in tokens.items()],
        }
        template = (
            "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}<|start_header_id|>{{ m['role'] }}\n\n"
            "{{ m['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant{% endif %}"
        )
        config = CONFIG | {"vocab_size": 260, "eos_token_id": 257}
        texts = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "chat_template": template}
        folder = write_folder(
            self.folder / "model", config, random_tensors(config), tokenizer=tokenizer, tokenizer_config=texts
        )
        contract = contract_of(self.exported(folder))
        self.assertEqual(contract["stop_ids"], [257, 258])
        self.assertEqual(contract["chat_prefix"], "<|begin_of_text|><|start_header_id|>user\n\n")
        self.assertEqual(contract["chat_suffix"], "<|eot_id|><|start_header_id|>assistant")


class TokenizerSwitchesTest(TemporaryFolderTest):
    def test_they_stand_in_the_contract(self) -> None:
        config = CONFIG | {"vocab_size": 264}
        texts = {
            "bos_token": "<s>", "add_bos_token": True, "clean_up_tokenization_spaces": True,
            "chat_template": "{{ bos_token }}[{{ messages[0].content }}]",
        }  # fmt: skip
        folder = write_folder(
            self.folder / "model", config, random_tensors(config), tokenizer=TokenizerTest().sentence_piece(), tokenizer_config=texts
        )
        settings = {"kind": "sentencepiece-bpe", "prefix_ids": [1], "chat_after_prefix": True}
        archive = self.exported(folder)
        self.assertEqual(contract_of(archive)["tokenizer"], settings)
        # The chat form stands behind <s>, so that no blank is put before it.
        request = {"prompts": [{"text": "a", "chat": True}, {"text": "a", "chat": False}], "new_tokens": 0}
        ids = [row["prompt"] for row in run_archive(archive, request)["rows"]]
        self.assertEqual(ids, [[1, 2 + ord("["), 258, 2 + ord("]")], [1, 260]])
        cleaned = contract_of(self.exported(folder, "--clean-up-spaces"))["tokenizer"]
        self.assertEqual(cleaned, settings | {"clean_up_tokenization_spaces": True})
        write_folder(folder, config, random_tensors(config), tokenizer_config=texts | {"clean_up_tokenization_spaces": False})
        self.assertEqual(contract_of(self.exported(folder, "--clean-up-spaces"))["tokenizer"], settings)


class GgufTest(TemporaryFolderTest):
    def write(self, name: str, *model: Any, **fields: Any) -> Path:
        return write_gguf(self.folder / name, *model, **fields)

    def test_gives_the_same_model_as_the_folder(self) -> None:
        for tied in (False, True):
            config = CONFIG | {"tie_word_embeddings": tied}
            tensors = random_tensors(config)
            theirs = self.exported(write_folder(self.folder / f"folder{tied}", config, tensors))
            path = self.write(f"model{tied}.gguf", tensors, config, eos_token_id=7, eot_token_id=9)
            ours = self.exported(path)
            self.assertEqual(contract_of(ours)["stop_ids"], [7, 9])
            a, b = (archive_logits(x, [[1, 2, 3, 4, 5]])[0] for x in (ours, theirs))
            np.testing.assert_allclose(a, b, atol=1e-6)

    def test_every_family_gives_the_same_model_as_its_folder(self) -> None:
        for family in FAMILIES:
            with self.subTest(family):
                config = CONFIG | {"model_type": family, "head_dim": 8}
                tensors = random_tensors(config)
                theirs = self.exported(write_folder(self.folder / family, config, tensors))
                ours = self.exported(self.write(f"{family}.gguf", tensors, config))
                a, b = (archive_logits(x, [[1, 2, 3, 4, 5]])[0] for x in (ours, theirs))
                np.testing.assert_array_equal(a, b)

    def test_rotary_rules(self) -> None:
        tensors = random_tensors(CONFIG)

        def rope(name: str, **given: Any) -> dict[str, Any]:
            return contract_of(self.exported(self.write(f"{name}.gguf", tensors, **given)))["rope"]

        self.assertEqual(rope("freqs", more={"rope_freqs.weight": [1, 1, 2, 8]})["divisors"], [1, 1, 2, 8])
        scaling = {"rope_scaling_type": gguf.RopeScalingType.YARN, "rope_scaling_factor": 4.0, "rope_scaling_orig_ctx_len": 64}
        yarn = rope("yarn", **scaling)
        self.assertEqual((yarn["rule"], yarn["factor"], yarn["original"]), ("yarn", 4.0, 64.0))
        factors = {"rope_factors_short.weight": [1, 1, 1, 1], "rope_factors_long.weight": [1, 2, 3, 4]}
        longrope = rope("long", more=factors, rope_scaling_orig_ctx_len=64)
        self.assertEqual((longrope["rule"], longrope["length"], longrope["divisors"]), ("longrope", 256.0, [1, 2, 3, 4]))
        path = self.write("wrong.gguf", tensors, more={"rope_freqs.weight": [1, 1]})
        self.assertIn("2 divisors: 4 positive numbers", self.refused(path))

    def test_stated_head_dimension_wins(self) -> None:
        config = CONFIG | {"head_dim": 16}
        path = self.write("wide.gguf", random_tensors(config), config, key_length=16)
        self.assertEqual(contract_of(self.exported(path))["head_dim"], 16)
        self.assertIn("the settings ask for", self.refused(self.write("wrong.gguf", random_tensors(config), config)))

    def test_truncated(self) -> None:
        path = self.write("model.gguf", random_tensors(CONFIG))
        whole = path.read_bytes()
        for size in (0, 3, 24, 300, len(whole) // 2, len(whole) - 64):
            path.write_bytes(whole[:size])
            self.assertIn("model.gguf", self.refused(path))

    def test_missing_tensor(self) -> None:
        tensors = random_tensors(CONFIG)
        del tensors["model.layers.0.self_attn.v_proj.weight"]
        complaint = self.refused(self.write("model.gguf", tensors))
        self.assertIn("missing: model.layers.0.self_attn.v_proj.weight", complaint)

    def test_unknown_splitting_rule(self) -> None:
        path = self.write(
            "model.gguf", random_tensors(CONFIG), tokenizer_model="gpt2", tokenizer_pre="mystery",
            token_list=["a", "b"], token_merges=["a b"],
        )  # fmt: skip
        self.assertIn("tokenizer.ggml.pre = 'mystery'", self.refused(path))
        self.assertEqual(contract_of(self.exported(path, "--no-tokenizer"))["tokenizer"], {"kind": "none"})


if __name__ == "__main__":
    unittest.main()
