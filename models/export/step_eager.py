"""A Llama with the method `step_eager` beside `step`: attention by plain operators, its matrices held and returned."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from models.export.llama import Llama


class StepEagerLlama(Llama):
    """For parity tests, and for whoever wants attention matrices: cost and memory grow with tokens x cached tokens."""

    @torch.jit.export
    def step_eager(
        self,
        x: torch.Tensor,
        pos: torch.Tensor,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        masks: list[torch.Tensor],
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """One step of B padded rows of T tokens over a cache that the caller holds, N_l tokens in layer l.

        x [B, T, hidden], pos int64 [B, T]; a list has one tensor a layer: keys, values [B, Hk, N_l, d], position encoding
        applied; masks bool [B, Hk, T, N_l + T], what each query sees of the cache and then of this step (sliding windows are the
        caller's). Every query must see a key, padded ones too.
        Returns hidden [B, T, hidden]; keys and values with those of this step behind, [B, Hk, N_l + T, d]; the mean of the
        attention probabilities over the query heads of each KV head, [B, Hk, T, N_l + T].
        """
        batch, tokens = x.shape[0], x.shape[1]
        cosine, sine = self.rotation(pos.flatten(), x.dtype)
        x = x.flatten(0, 1)
        all_keys: list[torch.Tensor] = []
        all_values: list[torch.Tensor] = []
        means: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            attention = layer.attention
            q, k, v = attention.project(layer.attention_norm(x), cosine, sine)
            group, dim = attention.heads // attention.kv_heads, attention.head_dim
            k = torch.cat([keys[index], k.reshape(batch, tokens, attention.kv_heads, dim).transpose(1, 2)], 2)
            v = torch.cat([values[index], v.reshape(batch, tokens, attention.kv_heads, dim).transpose(1, 2)], 2)
            mask = masks[index]
            assert bool(mask.any(-1).all()), "step_eager: a query sees no key"
            q = q.reshape(batch, tokens, attention.kv_heads, group, dim).permute(0, 2, 3, 1, 4)
            scores = torch.matmul(q, k.unsqueeze(2).transpose(-1, -2)) * attention.scale  # [B, Hk, G, T, N + T]
            scores = scores.masked_fill(mask.logical_not().unsqueeze(2), float("-inf"))
            weights = F.softmax(scores, -1, dtype=torch.float32).to(x.dtype)
            out = torch.matmul(weights, v.unsqueeze(2)).permute(0, 3, 1, 2, 4).reshape(batch * tokens, attention.heads * dim)
            x = x + attention.out(out)
            x = x + layer.mlp(layer.mlp_norm(x))
            all_keys.append(k)
            all_values.append(v)
            means.append(weights.mean(2))
        return x.unflatten(0, [batch, tokens]), all_keys, all_values, means
