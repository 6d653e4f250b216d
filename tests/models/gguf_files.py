"""Writes GGUF files of small models for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from models.export.families import FAMILIES
from tests.models.support import CONFIG


def write_gguf(
    path: Path,
    tensors: dict[str, torch.Tensor],
    config: dict[str, Any] = CONFIG,
    more: dict[str, Any] | None = None,
    **fields: Any,
) -> Path:
    """A GGUF file of the same model, rows of q and k interleaved where llama.cpp does so; `more` tensors as they are."""
    family = FAMILIES[config["model_type"]]
    writer = gguf.GGUFWriter(path, family.gguf)
    writer.add_name("test")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    for method, value in fields.items():
        getattr(writer, f"add_{method}")(value)
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k",
             "v_proj": "attn_v", "qkv_proj": "attn_qkv", "q_norm": "attn_q_norm", "k_norm": "attn_k_norm",
             "gate_up_proj": "ffn_up", "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up",
             "down_proj": "ffn_down"}  # fmt: skip
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
           "lm_head.weight": "output.weight"}  # fmt: skip
    for key, tensor in tensors.items():
        data = tensor.numpy()
        if key in top:
            writer.add_tensor(top[key], data)
            continue
        pieces = key.split(".")
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}.get(pieces[-2])
        if heads and family.gguf_permutes:
            rows, columns = data.shape
            data = data.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        writer.add_tensor(f"blk.{pieces[2]}.{names[pieces[-2]]}.{pieces[-1]}", np.ascontiguousarray(data))
    for key, data in (more or {}).items():
        writer.add_tensor(key, np.asarray(data, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
