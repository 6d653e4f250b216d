"""A Llama in the form that namm's archives have: packed tokens, attention through the operator namm::attend.

Operations on fresh tensors work in place: new memory for every intermediate costs a tenth of a prefill's time. Numbers are
attributes and not torch.jit.Final: those are written in the order of a set, which no two processes have in common.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from models.export.rope import Rope


@dataclass(frozen=True)
class LlamaSettings:
    """Sizes and constants of one Llama."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float
    max_positions: int
    tied: bool
    rope: Rope
    rotary_dim: int  # first components of a head that RoPE rotates; the others stay
    windows: tuple[int, ...]  # [layers], tokens that a query sees back to, itself included; 0: all
    qkv_bias: bool = False
    qk_norm: bool = False
    fused: bool = False  # the checkpoint holds q, k, v in one tensor, gate and up in another


class RMSNorm(nn.Module):
    """Normalises in float32, returns to the model's type and only then multiplies by the weight."""

    def __init__(self, size: int, eps: float, dtype: torch.dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, dtype=dtype), requires_grad=False)
        self.size, self.eps = size, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.rms_norm(x.float(), [self.size], None, self.eps).to(x.dtype).mul_(self.weight)


class Linear(nn.Module):
    """y = W x (+ b); several matrices of a checkpoint may stand in one, rows one after another."""

    def __init__(self, inputs: int, outputs: int, dtype: torch.dtype, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=dtype), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs, dtype=dtype), requires_grad=False) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


class HeadNorm(nn.Module):
    """Normalises every query and key head by itself: RMS norms over its components, a weight for queries and one for keys."""

    def __init__(self, size: int, heads: int, eps: float, dtype: torch.dtype):
        super().__init__()
        self.query = nn.Parameter(torch.empty(size, dtype=dtype), requires_grad=False)
        self.key = nn.Parameter(torch.empty(size, dtype=dtype), requires_grad=False)
        self.size, self.eps, self.heads = size, eps, heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [S, heads + KV heads, d]"""
        normal = torch.rms_norm(x.float(), [self.size], None, self.eps).to(x.dtype)
        normal[:, : self.heads].mul_(self.query)
        normal[:, self.heads :].mul_(self.key)
        return normal


def rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotates x [S, heads, d]; component i pairs with i + d / 2. cosine [S, 1, d]: of the angles, twice; sine [S, 1, d]: minus
    the sines of the angles, then the sines."""
    half = x.shape[-1] // 2
    swapped = torch.cat([x[..., half:], x[..., :half]], -1)
    return (x * cosine).add_(swapped.mul_(sine))


class Attention(nn.Module):
    def __init__(self, settings: LlamaSettings, layer: int, dtype: torch.dtype):
        super().__init__()
        self.layer, self.window = layer, settings.windows[layer]
        self.heads, self.kv_heads = settings.heads, settings.kv_heads
        self.head_dim, self.scale = settings.head_dim, settings.head_dim**-0.5
        self.qkv = Linear(settings.hidden, (self.heads + 2 * self.kv_heads) * self.head_dim, dtype, settings.qkv_bias)
        self.norm = HeadNorm(self.head_dim, self.heads, settings.norm_eps, dtype) if settings.qk_norm else None
        self.out = Linear(self.heads * self.head_dim, settings.hidden, dtype)

    def project(
        self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x [S, hidden] -> queries [S, H, d], keys, values [S, Hk, d], position encoding applied."""
        rotated = self.heads + self.kv_heads
        qkv = self.qkv(x).view(x.shape[0], rotated + self.kv_heads, self.head_dim)
        qk = qkv[:, :rotated]
        if self.norm is not None:
            qk = self.norm(qk)
        qk = rotate(qk, cosine, sine)
        return qk[:, : self.heads], qk[:, self.heads :], qkv[:, rotated:]

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, session: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x, cosine, sine)
        out = torch.ops.namm.attend(session, q, k, v, self.layer, self.scale, self.window)
        return self.out(out.reshape(x.shape[0], self.heads * self.head_dim))


class MLP(nn.Module):
    def __init__(self, settings: LlamaSettings, dtype: torch.dtype):
        super().__init__()
        self.gate_up = Linear(settings.hidden, 2 * settings.intermediate, dtype)
        self.down = Linear(settings.intermediate, settings.hidden, dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate, inplace=True).mul_(up))


class Layer(nn.Module):
    def __init__(self, settings: LlamaSettings, layer: int, dtype: torch.dtype):
        super().__init__()
        self.attention_norm = RMSNorm(settings.hidden, settings.norm_eps, dtype)
        self.attention = Attention(settings, layer, dtype)
        self.mlp_norm = RMSNorm(settings.hidden, settings.norm_eps, dtype)
        self.mlp = MLP(settings, dtype)

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, session: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), cosine, sine, session)
        return x.add_(self.mlp(self.mlp_norm(x)))


class Llama(nn.Module):
    """Methods `embed`, `step` and `logits` of a namm archive. S: packed tokens of a step.

    The final norm stands in `logits`, which is called on the last tokens of a prompt only.
    """

    def __init__(self, settings: LlamaSettings, dtype: torch.dtype):
        super().__init__()
        self.tied = settings.tied
        self.embedding = Linear(settings.hidden, settings.vocabulary, dtype)
        self.layers = nn.ModuleList(Layer(settings, layer, dtype) for layer in range(settings.layers))
        self.norm = RMSNorm(settings.hidden, settings.norm_eps, dtype)
        self.output = Linear(settings.hidden, 0 if settings.tied else settings.vocabulary, dtype)
        # Components that a model does not rotate form pairs of frequency 0 and factor 1 behind the others (Place.ordered), so
        # that whoever moves keys to other positions need not know of them.
        still = (settings.head_dim - settings.rotary_dim) // 2
        frequencies, factor = settings.rope.inverse_frequencies(settings.rotary_dim), settings.rope.attention_factor()
        self.register_buffer("inverse_frequencies", F.pad(frequencies, (0, still)))
        self.register_buffer("factors", F.pad(torch.full_like(frequencies, factor), (0, still), value=1.0))
        self.scaled = factor != 1.0

    @torch.jit.export
    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """ids int64 [S] -> [S, hidden]."""
        return F.embedding(ids, self.embedding.weight)

    def rotation(self, pos: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """pos int64 [S] -> cosines and sines [S, 1, d] as `rotate` takes them."""
        angles = pos.float().unsqueeze(-1) * self.inverse_frequencies
        cosine, sine = angles.cos(), angles.sin()
        if self.scaled:
            cosine, sine = cosine * self.factors, sine * self.factors
        return cosine.repeat(1, 2).to(dtype).unsqueeze(1), torch.cat([-sine, sine], -1).to(dtype).unsqueeze(1)

    @torch.jit.export
    def step(self, x: torch.Tensor, pos: torch.Tensor, session: torch.Tensor) -> torch.Tensor:
        """x [S, hidden], pos int64 [S], session int64 [1] -> [S, hidden]."""
        cosine, sine = self.rotation(pos, x.dtype)
        for layer in self.layers:
            x = layer(x, cosine, sine, session)
        return x

    @torch.jit.export
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden [n, hidden] -> float32 [n, vocabulary]."""
        hidden = self.norm(hidden)
        if self.tied:
            return F.linear(hidden, self.embedding.weight).float()
        else:
            return self.output(hidden).float()


@dataclass(frozen=True)
class Place:
    """Where a tensor of a checkpoint goes: rows [first, first + shape[0]) of a parameter. Its leading rows are `heads` heads of
    queries or keys."""

    parameter: str
    shape: tuple[int, ...]
    first: int = 0
    heads: int = 0

    def ordered(self, tensor: torch.Tensor, settings: LlamaSettings) -> torch.Tensor:
        """`tensor` with the components of each head in the module's order. A checkpoint that rotates the first r of d components
        pairs i with i + r / 2, the module i with i + d / 2; attention is the same in any order that queries and keys share."""
        d, half, still = settings.head_dim, settings.rotary_dim // 2, (settings.head_dim - settings.rotary_dim) // 2
        if self.heads == 0 or still == 0:
            return tensor
        first, second, rest, last = torch.arange(d).split([half, half, still, still])
        order = torch.cat([first, rest, second, last])
        moved = tensor[: self.heads * d].unflatten(0, (self.heads, d))[:, order].flatten(0, 1)
        return torch.cat([moved, tensor[self.heads * d :]])


def places(settings: LlamaSettings) -> dict[str, Place]:
    """Hugging Face name -> place, for every tensor that an export needs."""
    s = settings
    q, kv = s.heads * s.head_dim, s.kv_heads * s.head_dim
    result = {
        "model.embed_tokens.weight": Place("embedding.weight", (s.vocabulary, s.hidden)),
        "model.norm.weight": Place("norm.weight", (s.hidden,)),
    }
    if not s.tied:
        result["lm_head.weight"] = Place("output.weight", (s.vocabulary, s.hidden))
    for layer in range(s.layers):
        theirs, ours = f"model.layers.{layer}.", f"layers.{layer}."
        attention, mlp = theirs + "self_attn.", theirs + "mlp."
        qkv, gate_up = ours + "attention.qkv.", ours + "mlp.gate_up."
        result |= {
            theirs + "input_layernorm.weight": Place(ours + "attention_norm.weight", (s.hidden,)),
            theirs + "post_attention_layernorm.weight": Place(ours + "mlp_norm.weight", (s.hidden,)),
        }
        if s.fused:
            result[attention + "qkv_proj.weight"] = Place(qkv + "weight", (q + 2 * kv, s.hidden), heads=s.heads + s.kv_heads)
            result[mlp + "gate_up_proj.weight"] = Place(gate_up + "weight", (2 * s.intermediate, s.hidden))
        else:
            for name, rows, first, heads in (("q", q, 0, s.heads), ("k", kv, q, s.kv_heads), ("v", kv, q + kv, 0)):
                result[f"{attention}{name}_proj.weight"] = Place(qkv + "weight", (rows, s.hidden), first, heads)
                if s.qkv_bias:
                    result[f"{attention}{name}_proj.bias"] = Place(qkv + "bias", (rows,), first, heads)
            result[mlp + "gate_proj.weight"] = Place(gate_up + "weight", (s.intermediate, s.hidden))
            result[mlp + "up_proj.weight"] = Place(gate_up + "weight", (s.intermediate, s.hidden), s.intermediate)
        result[attention + "o_proj.weight"] = Place(ours + "attention.out.weight", (s.hidden, q))
        result[mlp + "down_proj.weight"] = Place(ours + "mlp.down.weight", (s.hidden, s.intermediate))
        if s.qk_norm:
            result[attention + "q_norm.weight"] = Place(ours + "attention.norm.query", (s.head_dim,), heads=1)
            result[attention + "k_norm.weight"] = Place(ours + "attention.norm.key", (s.head_dim,), heads=1)
    return result
