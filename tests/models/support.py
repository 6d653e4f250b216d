"""What the Python tests of `models` share: small checkpoints, the exporter, and the program that runs archives."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import tempfile
import unittest
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from models.export.__main__ import main as export_main

ROOT = Path(__file__).resolve().parents[2]

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}


def random_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of a model of the Llama kind with the names of Hugging Face; `model_type` says which."""
    generator = torch.Generator().manual_seed(seed)
    hidden, width, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or hidden // heads

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * shape[-1] ** -0.5

    tensors = {"model.embed_tokens.weight": random(vocabulary, hidden), "model.norm.weight": 1 + 0.1 * random(hidden)}
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = random(vocabulary, hidden)
    for layer in range(config["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{name}{norm}.weight"] = 1 + 0.1 * random(hidden)
        shapes = {
            "self_attn.q_proj": (heads * dim, hidden),
            "self_attn.k_proj": (kv_heads * dim, hidden),
            "self_attn.v_proj": (kv_heads * dim, hidden),
            "self_attn.o_proj": (hidden, heads * dim),
            "mlp.gate_proj": (width, hidden),
            "mlp.up_proj": (width, hidden),
            "mlp.down_proj": (hidden, width),
        }
        tensors |= {f"{name}{matrix}.weight": random(*shape) for matrix, shape in shapes.items()}
        family = config["model_type"]
        if family == "qwen2":
            tensors |= {f"{name}self_attn.{x}_proj.bias": random(shapes[f"self_attn.{x}_proj"][0]) for x in "qkv"}
        if family == "qwen3":
            tensors |= {f"{name}self_attn.{x}_norm.weight": 1 + 0.1 * random(dim) for x in "qk"}
        if family == "phi3":
            for fused, parts in (("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
                                 ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj"))):  # fmt: skip
                tensors[f"{name}{fused}.weight"] = torch.cat([tensors.pop(f"{name}{part}.weight") for part in parts])
    return tensors


def write_folder(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], **files: Any) -> Path:
    """A Hugging Face folder; `files` are further JSON files by stem."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    return folder


@dataclass
class Exported:
    returncode: int
    stdout: str
    stderr: str


def export(source: Path, out: Path, *options: str) -> Exported:
    """Runs the exporter's command line in this process (a new one spends seconds on importing torch)."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = export_main(["llama", "--from", str(source), "--out", str(out), *options])
    return Exported(code, stdout.getvalue(), stderr.getvalue())


def run_archive(archive: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Result of tests/models/run_archive.cpp."""
    program = os.environ.get("NAMM_RUN_ARCHIVE", str(ROOT / "build" / "tests" / "run_archive"))
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(request, file)
        file.flush()
        done = subprocess.run([program, str(archive), file.name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"run_archive: exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


@dataclass
class Outputs:
    """What an archive gives for every token of a prompt."""

    hidden: np.ndarray  # float32 [tokens, hidden], what `step` returns
    logits: np.ndarray  # float32 [tokens, vocabulary]


def archive_outputs(archive: Path, prompts: list[list[int]], chunk: int, apart: bool = False) -> list[Outputs]:
    """Of every prompt; all packed into common steps, or `apart`: one after another, in one process."""
    contract = contract_of(archive)
    borders = np.cumsum([len(ids) for ids in prompts])[:-1]
    with tempfile.TemporaryDirectory() as directory:
        files = {name: str(Path(directory) / name) for name in ("hidden", "logits")}
        run_archive(archive, {"prompts": [{"ids": ids} for ids in prompts], "chunk": chunk, "apart": apart, **files})
        hidden, logits = (
            np.split(np.fromfile(files[name], np.float32).reshape(-1, contract[size]), borders)
            for name, size in (("hidden", "hidden"), ("logits", "vocabulary"))
        )
    return [Outputs(*both) for both in zip(hidden, logits)]


def archive_logits(archive: Path, prompts: list[list[int]], chunk: int = 512, apart: bool = False) -> list[np.ndarray]:
    """float32 [tokens, vocabulary] of every prompt, see `archive_outputs`."""
    return [outputs.logits for outputs in archive_outputs(archive, prompts, chunk, apart)]


def contract_of(archive: Path) -> dict[str, Any]:
    with zipfile.ZipFile(archive) as file:
        name = next(n for n in file.namelist() if n.endswith("extra/namm_contract.json"))
        return json.loads(file.read(name))


class TemporaryFolderTest(unittest.TestCase):
    """Exports into a folder that goes when the test ends."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)

    def refused(self, source: Path, *options: str) -> str:
        """Text of the exporter's complaint; nothing may be left behind."""
        out = self.folder / "out" / "refused.pt"
        done = export(source, out, *options)
        self.assertEqual(done.returncode, 3, done.stderr + done.stdout)
        self.assertTrue(done.stderr.startswith("error: "), done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertEqual(list(out.parent.glob("*")) if out.parent.exists() else [], [])
        return done.stderr

    def exported(self, source: Path, *options: str) -> Path:
        out = self.folder / f"{source.name}.pt"
        done = export(source, out, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out
