"""SmolLM2-135M-Instruct seen by other programs: the weights of the GGUF file in `transformers`, its tokenizer in `tokenizers`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from tests.models.support import ROOT

ARCHIVE = ROOT / "models" / "downloads" / "smollm2-135m-instruct.pt"
GGUF = ROOT / "models" / "downloads" / "cache" / "SmolLM2-135M-Instruct.Q4_1.gguf"

CHAT_PREFIX = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\n"
)
CHAT_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n"

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def bring() -> Path:
    """The archive, downloaded and exported if it is not there."""
    subprocess.run([ROOT / "experiments" / "get-smollm2"], check=True)
    return ARCHIVE


def transformers_model() -> LlamaForCausalLM:
    """The same de-quantised weights in transformers, with SDPA attention in float32."""
    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, head_dim=64, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=1e5,
        tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2, attn_implementation="sdpa",
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    tensors = {}
    for stored in gguf.GGUFReader(GGUF).tensors:
        data = gguf.dequantize(stored.data, stored.tensor_type).astype(np.float32)
        pieces = stored.name.split(".")
        if pieces[0] == "token_embd":
            name = "model.embed_tokens.weight"
        elif pieces[0] == "output_norm":
            name = "model.norm.weight"
        else:
            name = f"model.layers.{pieces[1]}.{LAYER_NAMES[pieces[2]]}.weight"
            heads = {"attn_q": 9, "attn_k": 3}.get(pieces[2])
            if heads:
                rows, columns = data.shape
                data = data.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
        tensors[name] = torch.from_numpy(np.array(data))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert missing in ([], ["lm_head.weight"]) and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval()


def tokenizers_tokenizer() -> Tokenizer:
    """With the digit split of the pre-tokenizer `smollm`, which transformers' own conversion leaves out."""
    fields = gguf.GGUFReader(GGUF).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens[:17]])
    return tokenizer
