"""A small Llama whose parameters carry the Hugging Face names, and the structured induction start."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from models.tiny.vocabulary import VOCABULARY_FILE, Vocabulary


@dataclass(frozen=True)
class Config:
    vocabulary: int
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    intermediate: int = 256
    norm_eps: float = 1e-5
    rope_theta: float = 100000.0
    trained_length: int = 256


def inverse_frequencies(config: Config, ntk_factor: float | None = None) -> torch.Tensor:
    """RoPE frequencies [head_dim / 2]; static NTK scaling with alpha 2 when a factor is given."""
    base, dim = config.rope_theta, config.head_dim
    if ntk_factor is not None:
        base *= (2.0 * ntk_factor - 1.0) ** (dim / (dim - 2))
    return 1.0 / base ** (torch.arange(0, dim, 2).float() / dim)


def rotate(x: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of x [..., tokens, head_dim] at positions 0, 1, ..."""
    angle = torch.arange(x.shape[-2]).float()[:, None] * frequencies
    angle = torch.cat([angle, angle], -1)
    half = x.shape[-1] // 2
    return x * angle.cos() + torch.cat([-x[..., half:], x[..., :half]], -1) * angle.sin()


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden, q, bias=False)
        self.k_proj = nn.Linear(config.hidden, kv, bias=False)
        self.v_proj = nn.Linear(config.hidden, kv, bias=False)
        self.o_proj = nn.Linear(q, config.hidden, bias=False)

    def project(self, x: torch.Tensor, frequencies: torch.Tensor):
        """Rotated queries and keys, and values: [rows, heads, tokens, head_dim], KV heads repeated."""
        rows, tokens, _ = x.shape
        c = self.config
        q = self.q_proj(x).view(rows, tokens, c.heads, c.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(rows, tokens, c.kv_heads, c.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(rows, tokens, c.kv_heads, c.head_dim).transpose(1, 2)
        group = c.heads // c.kv_heads
        k, v = rotate(k, frequencies).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        return rotate(q, frequencies), k, v

    def forward(self, x: torch.Tensor, frequencies: torch.Tensor, return_weights: bool = False):
        """Output [rows, tokens, hidden] and, when asked, the weights [rows, heads, queries, keys]."""
        q, k, v = self.project(x, frequencies)
        weights = None
        if return_weights:
            weights = causal_weights(q, k)
            out = weights @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).flatten(2)), weights


def causal_weights(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Softmax attention weights [rows, heads, queries, keys] of a causal model."""
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -1e30).softmax(-1)


class MLP(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden, config.norm_eps)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor, frequencies: torch.Tensor, return_weights: bool = False):
        out, weights = self.self_attn(self.input_layernorm(x), frequencies, return_weights)
        x = x + out
        return x + self.mlp(self.post_attention_layernorm(x)), weights


class Decoder(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocabulary, config.hidden)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden, config.norm_eps)


class Llama(nn.Module):
    """Llama for causal language modelling with a tied embedding."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        for name, p in self.named_parameters():
            if name == "model.embed_tokens.weight":
                nn.init.normal_(p, 0.0, 0.1)
            elif p.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, 0.0, (0.1 if residual else 1.0) / math.sqrt(p.shape[1]))

    def forward(self, tokens: torch.Tensor, weights_of: int | None = None, ntk_factor: float | None = None):
        """Logits [rows, tokens, vocabulary] and the attention weights of layer `weights_of`, or None."""
        frequencies = inverse_frequencies(self.config, ntk_factor)
        x = self.model.embed_tokens(tokens)
        weights = None
        for index, layer in enumerate(self.model.layers):
            x, layer_weights = layer(x, frequencies, index == weights_of)
            weights = layer_weights if index == weights_of else weights
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight), weights

    def attention_weights(
        self, tokens: torch.Tensor, layer_index: int, ntk_factor: float | None
    ) -> torch.Tensor:
        """Attention weights of one layer [rows, heads, queries, keys]; computes nothing above it."""
        frequencies = inverse_frequencies(self.config, ntk_factor)
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers[:layer_index]:
            x, _ = layer(x, frequencies)
        layer = self.model.layers[layer_index]
        q, k, _ = layer.self_attn.project(layer.input_layernorm(x), frequencies)
        return causal_weights(q, k)


@torch.no_grad()
def structured_induction_start(
    model: Llama,
    constant: float = 0.4,
    phase_strength: float = 8.0,
    match_strength: float = 4.2,
    write_gain: float = 0.12,
    copy_gain: float = 0.4,
) -> None:
    """Places a previous-token head in layer 0 and a matching, copying head in layer 1; training moves both.

    Channel 0 of the embedding becomes a constant, from which the rotary phases of KV head 0 of layer 0 read
    positions: query head 0 looks one token back, query head 1 two. Query head 0 writes the earlier token,
    through a random projection, into directions which the keys of KV head 0 of layer 1 read. The queries of
    query head 0 of layer 1 read the current token through the same projection, on the lower half of the
    frequencies, where a distance hardly turns the vectors.
    """
    c = model.config
    dim, half = c.head_dim, c.head_dim // 2
    frequencies = inverse_frequencies(c)
    embedding = model.model.embed_tokens.weight
    embedding[:, 0] = constant
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn

    strength = phase_strength * embedding.square().mean(1).sqrt().mean().item() / constant
    first.q_proj.weight[: 2 * dim] = 0
    first.k_proj.weight[:dim] = 0
    first.k_proj.weight[:half, 0] = strength
    for head, distance in ((0, 1), (1, 2)):
        rows = first.q_proj.weight[head * dim : (head + 1) * dim]
        rows[:half, 0] = strength * torch.cos(distance * frequencies)
        rows[half:, 0] = -strength * torch.sin(distance * frequencies)

    read = torch.linalg.qr(torch.randn(c.hidden, c.hidden))[0][:dim]
    read[:, 0] = 0
    write = torch.linalg.qr(torch.randn(c.hidden, dim))[0]
    write[0] = 0
    first.v_proj.weight[:dim] = read
    first.o_proj.weight[:, :dim] = write * write_gain

    low = [*range(dim // 4, half), *range(dim * 3 // 4, dim)]
    second.q_proj.weight[:dim] = 0
    second.k_proj.weight[:dim] = 0
    for index, channel in enumerate(low):
        second.q_proj.weight[channel] = match_strength * read[index]
        second.k_proj.weight[channel] = match_strength * write[:, index]
    copy = torch.linalg.qr(torch.randn(c.hidden, c.hidden))[0][:dim]
    copy[:, 0] = 0
    second.v_proj.weight[:dim] = copy
    second.o_proj.weight[:, :dim] = copy.T * copy_gain


def save_checkpoint(model: Llama, vocabulary: Vocabulary, folder: Path) -> None:
    """Writes config.json, model.safetensors and namm_tokenizer.json in the layout of Hugging Face."""
    c = model.config
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": c.vocabulary,
        "hidden_size": c.hidden,
        "intermediate_size": c.intermediate,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_theta,
        "max_position_embeddings": c.trained_length,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "pad_token_id": vocabulary.pad,
        "bos_token_id": vocabulary.bos,
        "eos_token_id": vocabulary.eos,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    shutil.copyfile(VOCABULARY_FILE, folder / "namm_tokenizer.json")


def load_weights(model: Llama, folder: Path) -> None:
    """Loads the weights of a folder written by `save_checkpoint`."""
    model.load_state_dict(load_file(folder / "model.safetensors"))
