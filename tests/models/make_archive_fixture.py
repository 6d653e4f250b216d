"""Writes a tiny archive with random weights: make_archive_fixture.py ARCHIVE.pt

tests/data/archives holds three of them, written once each by torch 2.9.1, 2.11.0 and 2.15.0 (see the README there); a test
loads them all, so that archives of neighbouring versions stay readable.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.export.__main__ import main as export

CONFIG = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "eos_token_id": 2,
}
WORDS = {"kind": "words", "words": ["<pad>", "<bos>", "<eos>", ".", "code", "paris"], "byte_base": 6}


def main() -> int:
    out = Path(sys.argv[1])
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * shape[-1] ** -0.5

    tensors = {"model.embed_tokens.weight": random(320, 16), "model.norm.weight": torch.ones(16)}
    for layer in range(CONFIG["num_hidden_layers"]):
        name = f"model.layers.{layer}."
        tensors[name + "input_layernorm.weight"] = torch.ones(16)
        tensors[name + "post_attention_layernorm.weight"] = torch.ones(16)
        for matrix, shape in {
            "self_attn.q_proj": (32, 16), "self_attn.k_proj": (16, 16), "self_attn.v_proj": (16, 16),
            "self_attn.o_proj": (16, 32), "mlp.gate_proj": (24, 16), "mlp.up_proj": (24, 16), "mlp.down_proj": (16, 24),
        }.items():  # fmt: skip
            tensors[f"{name}{matrix}.weight"] = random(*shape)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tiny-random"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(CONFIG))
        (folder / "namm_tokenizer.json").write_text(json.dumps(WORDS | {"pad_id": 0, "bos_id": 1, "eos_id": 2}))
        save_file(tensors, folder / "model.safetensors")
        return export(["llama", "--from", str(folder), "--out", str(out), "--quiet"])


if __name__ == "__main__":
    sys.exit(main())
