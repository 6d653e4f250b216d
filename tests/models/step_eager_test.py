"""The method `step_eager` of archives against `step` in the program, and against the attention matrices of `transformers`."""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.export.command import quiet_torchscript
from models.export.families import FAMILIES
from models.export.huggingface import settings_of_config
from models.export.operator import register_attend
from tests.models.support import CONFIG, TemporaryFolderTest, archive_outputs, random_tensors, write_folder
from tests.models.transformers_test import LOGITS, SWITCHES, deviation, model_of


def loaded(archive: Path) -> torch.jit.ScriptModule:
    register_attend()
    with quiet_torchscript():
        return torch.jit.load(archive)


class EagerRows:
    """Rows of one length read through `step_eager`, causally and with the model's sliding windows."""

    def __init__(self, module: torch.jit.ScriptModule, config: dict[str, Any], rows: int):
        settings = settings_of_config(config, "config.json")
        self.module, self.windows, self.kv_heads, self.tokens = module, settings.windows, settings.kv_heads, 0
        empty = torch.zeros(rows, settings.kv_heads, 0, settings.head_dim)
        self.keys, self.values = [empty] * settings.layers, [empty] * settings.layers

    def read(self, ids: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """ids [B, T] -> hidden [B, T, hidden], attention [B, Hk, T, N + T] of every layer."""
        rows, length = ids.shape
        pos = torch.arange(self.tokens, self.tokens + length).repeat(rows, 1)
        age = pos[0].unsqueeze(1) - torch.arange(self.tokens + length)
        masks = [((age >= 0) & ((age < window) | (window == 0))).expand(rows, self.kv_heads, -1, -1) for window in self.windows]
        x = self.module.embed(ids.flatten()).unflatten(0, (rows, length))
        with torch.no_grad():
            hidden, self.keys, self.values, attention = self.module.step_eager(x, pos, self.keys, self.values, masks)
        self.tokens += length
        return hidden, attention


class StepEagerTest(TemporaryFolderTest):
    def exported_model(self, config: dict[str, Any], *options: str) -> Path:
        name = f"model{len(list(self.folder.iterdir()))}"
        return self.exported(write_folder(self.folder / name, config, random_tensors(config)), "--step-eager", *options)

    def test_equals_step_and_transformers(self) -> None:
        worst = dict.fromkeys(("hidden", "logits", "attention"), 0.0)
        cases = [(family, switches) for family in FAMILIES for switches in SWITCHES[family]]
        for number, (family, switches) in enumerate(cases):
            config = CONFIG | {"model_type": family} | switches
            with self.subTest(family, **switches):
                archive = self.exported_model(config)
                ids = torch.randint(config["vocab_size"], (2, 70), generator=torch.Generator().manual_seed(number))
                rows, module = EagerRows(loaded(archive), config, rows=2), loaded(archive)
                steps = [rows.read(part) for part in ids.split([50, 1, 19], 1)]
                hidden = torch.cat([step[0] for step in steps], 1)
                for row, outputs in enumerate(archive_outputs(archive, ids.tolist(), 512)):
                    logits = module.logits(hidden[row]).detach().numpy()
                    worst["hidden"] = max(worst["hidden"], deviation(hidden[row].numpy(), outputs.hidden))
                    worst["logits"] = max(worst["logits"], deviation(logits, outputs.logits))
                with torch.no_grad():
                    theirs = model_of(config, random_tensors(config))(ids, output_attentions=True).attentions
                for layer, matrix in enumerate(theirs):
                    means = matrix.unflatten(1, (config["num_key_value_heads"], -1)).mean(2)
                    for first, step in zip((0, 50, 51), steps):
                        ours = step[1][layer]
                        torch.testing.assert_close(ours.sum(-1), torch.ones(ours.shape[:-1]), rtol=0, atol=1e-5)
                        their = means[:, :, first : first + ours.shape[2], : ours.shape[3]]
                        worst["attention"] = max(worst["attention"], deviation(ours.numpy(), their.numpy()))
        print(", ".join(f"{what} {ratio:.2f} of its tolerance" for what, ratio in worst.items()), f"in {len(cases)} models")
        self.assertLessEqual(max(worst.values()), 1.0)

    def test_a_masked_key_is_a_key_that_is_not_there(self) -> None:
        config = CONFIG | {"num_hidden_layers": 1}
        rows = EagerRows(loaded(self.exported_model(config)), config, rows=1)
        ids = torch.arange(3, 12).unsqueeze(0)
        rows.read(ids[:, :8])
        x, pos = rows.module.embed(ids[0, 8:]).unsqueeze(0), torch.tensor([[8]])
        mask = torch.ones(1, 2, 1, 9, dtype=torch.bool)
        mask[0, 0, 0, [2, 5]] = False  # KV head 0 has forgotten two tokens, KV head 1 two others
        mask[0, 1, 0, [0, 1]] = False
        hidden, _, _, attention = rows.module.step_eager(x, pos, rows.keys, rows.values, [mask])
        self.assertTrue(torch.equal(attention[0] == 0, mask.logical_not()))
        left = torch.tensor([[0, 1, 3, 4, 6, 7], [2, 3, 4, 5, 6, 7]])[None, :, :, None].expand(1, 2, 6, 8)
        keys, values = ([tensors[0].gather(2, left)] for tensors in (rows.keys, rows.values))
        whole = torch.ones(1, 2, 1, 7, dtype=torch.bool)
        other, all_keys, _, _ = rows.module.step_eager(x, pos, keys, values, [whole])
        torch.testing.assert_close(hidden, other, rtol=LOGITS, atol=LOGITS)
        self.assertTrue(torch.equal(all_keys[0][:, :, :6], keys[0]))

    def test_a_query_must_see_a_key(self) -> None:
        config = CONFIG | {"num_hidden_layers": 1}
        rows = EagerRows(loaded(self.exported_model(config)), config, rows=1)
        mask = torch.ones(1, 2, 2, 2, dtype=torch.bool)
        mask[0, 1, 0] = False
        with self.assertRaisesRegex(Exception, "step_eager: a query sees no key"):
            rows.module.step_eager(torch.zeros(1, 2, 32), torch.tensor([[0, 1]]), rows.keys, rows.values, [mask])

    def test_bfloat16_rounds_each_heads_probabilities_and_their_mean(self) -> None:
        config = CONFIG | {"num_hidden_layers": 1}
        rows = EagerRows(loaded(self.exported_model(config, "--dtype", "bfloat16")), config, rows=1)
        rows.keys, rows.values = ([tensor.bfloat16() for tensor in tensors] for tensors in (rows.keys, rows.values))
        hidden, attention = rows.read(torch.arange(20).unsqueeze(0))
        self.assertEqual((hidden.dtype, attention[0].dtype), (torch.bfloat16, torch.bfloat16))
        torch.testing.assert_close(attention[0].float().sum(-1), torch.ones(1, 2, 20), rtol=0, atol=0.02)

    def test_archives_have_it_only_where_asked_for(self) -> None:
        plain = self.exported(write_folder(self.folder / "plain", CONFIG, random_tensors(CONFIG)))
        self.assertFalse(hasattr(loaded(plain), "step_eager"))


if __name__ == "__main__":
    unittest.main()
