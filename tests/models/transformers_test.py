"""Exported archives under the full cache against `transformers`: hidden states, logits and greedy ids of small random models of
every family and RoPE rule."""

from __future__ import annotations

import copy
import random
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from models.export.families import FAMILIES
from tests.models.support import (
    CONFIG,
    Outputs,
    archive_logits,
    archive_outputs,
    export,
    random_tensors,
    run_archive,
    write_folder,
)

# The table of tolerances (tests/support/tolerances.h): other_program::logits, times (1 + |x|), for hidden states too, and
# greedy_margin.
LOGITS = 5e-5
GREEDY_MARGIN = 1e-3
# bfloat16: ours may be this many times as far from float32 as theirs.
BFLOAT16 = 1.5

LENGTHS = [1, 17, 200, 64]
NEW_TOKENS = 64

ROPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "llama3": {
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "yarn": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    "yarn, own scales": {
        "rope_scaling": {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": 128,
            "beta_fast": 16,
            "beta_slow": 2,
            "mscale": 0.9,
            "mscale_all_dim": 0.4,
            "truncate": False,
        }
    },
    "dynamic": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 128},
    "longrope": {
        "original_max_position_embeddings": 128,
        "max_position_embeddings": 512,
        "rope_scaling": {"rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 2.0, 3.5, 7.0]},
    },
}
FROZEN = ("dynamic", "longrope")

# Where the same sizes do not show what a family has.
SWITCHES: dict[str, list[dict[str, Any]]] = {
    "llama": [
        {},
        {"num_attention_heads": 3, "num_key_value_heads": 3, "hidden_size": 48, "head_dim": 24, "tie_word_embeddings": True},
    ],
    "mistral": [{"sliding_window": 24, "head_dim": 8}, {"sliding_window": None, "head_dim": 8}],
    "qwen2": [{}, {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}],
    "qwen3": [{"head_dim": 16}, {"head_dim": 8, "use_sliding_window": True, "sliding_window": 20, "max_window_layers": 1}],
    "phi3": [{"sliding_window": 40, "pad_token_id": 0}, {"num_key_value_heads": 1, "pad_token_id": 0}],
}


def model_of(config: dict[str, Any], tensors: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    # A copy: transformers rewrites what it is given.
    settings = copy.deepcopy({name: value for name, value in config.items() if name != "model_type"})
    theirs = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(config["model_type"], **settings), attn_implementation="eager", torch_dtype=torch.float32
    )
    loaded = theirs.load_state_dict(tensors, strict=False)
    assert [key for key in loaded.missing_keys if key != "lm_head.weight"] == [] and not loaded.unexpected_keys, loaded
    theirs.tie_weights()
    return theirs.to(dtype).eval()


def logits_of(model: torch.nn.Module, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def outputs_of(model: torch.nn.Module, ids: list[int]) -> Outputs:
    """Logits, and the hidden states that go into the last norm."""
    seen: list[torch.Tensor] = []
    hook = model.model.norm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    logits = logits_of(model, ids)
    hook.remove()
    return Outputs(seen[0][0].detach().float().numpy(), logits)


def deviation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest, over its tolerance."""
    assert ours.shape == theirs.shape
    return float((np.abs(ours - theirs) / (LOGITS * (1 + np.abs(theirs)))).max())


def random_configs(count: int) -> list[tuple[str, dict[str, Any], int]]:
    """Name, config and the length that it is exported for, 0: its own; every family, switch and rule several times."""
    choose = random.Random(20261126)
    result = []
    for number in range(count):
        family = list(FAMILIES)[number % len(FAMILIES)]
        # transformers takes every other rule of a Phi-3 for an old name of longrope.
        ropes = ["plain", "longrope"] if family == "phi3" else list(ROPES)
        rope = ropes[(number // len(FAMILIES) + number) % len(ropes)]
        heads = choose.choice([(4, 2), (4, 4), (4, 1), (6, 3)])
        config = CONFIG | {
            "model_type": family,
            "num_attention_heads": heads[0],
            "num_key_value_heads": heads[1],
            "hidden_size": 8 * heads[0],
            "intermediate_size": choose.choice([24, 48]),
            "num_hidden_layers": choose.choice([1, 2, 3]),
            "vocab_size": choose.choice([64, 97]),
            "rms_norm_eps": choose.choice([1e-5, 1e-6]),
        }
        config |= SWITCHES[family][number // len(FAMILIES) % len(SWITCHES[family])]
        config |= ROPES[rope]
        if rope == "longrope":
            config |= {"head_dim": 8, "hidden_size": 8 * config["num_attention_heads"]}
        length = choose.choice([100, 400]) if rope in FROZEN else 0
        result.append((f"{number}: {family}, {rope}, {config}", copy.deepcopy(config), length))
    return result


class TransformersTest(unittest.TestCase):
    def exported(self, directory: str, config: dict[str, Any], seed: int, length: int, *options: str):
        tensors = random_tensors(config, seed)
        archive = Path(directory) / "model.pt"
        frozen = ["--max-positions", str(length)] if length else []
        done = export(write_folder(Path(directory) / "model", config, tensors), archive, "--quiet", *frozen, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return archive, tensors

    def test_hidden_states_and_logits(self) -> None:
        values = {"hidden": 0, "logits": 0}
        worst = dict.fromkeys(values, 0.0)
        configs = random_configs(30)
        self.assertEqual({config["model_type"] for _, config, _ in configs}, set(FAMILIES))
        for number, (name, config, length) in enumerate(configs):
            with self.subTest(name), tempfile.TemporaryDirectory() as directory:
                archive, tensors = self.exported(directory, config, number, length)
                theirs = model_of(config, tensors)
                generator = torch.Generator().manual_seed(number)
                # A rule that depends on the length is compared at the length that it was frozen for.
                lengths = [length] if length else LENGTHS
                prompts = [torch.randint(config["vocab_size"], (n,), generator=generator).tolist() for n in lengths]
                for chunk in (512, 48):
                    for prompt, ours in zip(prompts, archive_outputs(archive, prompts, chunk)):
                        expected = outputs_of(theirs, prompt)
                        for what in values:
                            mine, their = getattr(ours, what), getattr(expected, what)
                            values[what] += their.size
                            worst[what] = max(worst[what], deviation(mine, their))
                            self.assertLessEqual(deviation(mine, their), 1.0, f"{what}: {len(prompt)} tokens, chunk {chunk}")
        for what, count in values.items():
            print(f"{len(configs)} models, {count} values of {what} compared, largest {worst[what]:.2f} of its tolerance")

    def test_greedy_ids(self) -> None:
        compared, parted = 0, 0
        configs = [one for one in random_configs(40) if one[2] == 0][:30]
        for number, (name, config, _) in enumerate(configs):
            with self.subTest(name), tempfile.TemporaryDirectory() as directory:
                archive, tensors = self.exported(directory, config, 100 + number, 0)
                theirs = model_of(config, tensors)
                generator = torch.Generator().manual_seed(number)
                lengths = [3, 57, 3000] if number % 10 == 0 else [3, 57, 130]
                prompts = [torch.randint(config["vocab_size"], (n,), generator=generator).tolist() for n in lengths]
                request = {"prompts": [{"ids": ids} for ids in prompts], "new_tokens": NEW_TOKENS, "stop_ids": []}
                for prompt, row in zip(prompts, run_archive(archive, request)["rows"]):
                    self.assertEqual(len(row["generated"]), NEW_TOKENS)
                    # Their choice behind our own ids: equal everywhere is equal greedy decoding.
                    choices = logits_of(theirs, prompt + row["generated"])[len(prompt) - 1 : -1].argmax(-1)
                    for mine, their, margin in zip(row["generated"], choices, row["margins"]):
                        if margin < GREEDY_MARGIN:
                            parted += 1
                            break
                        self.assertEqual(mine, int(their), f"{len(prompt)} tokens")
                        compared += 1
        print(f"{len(configs)} models, {compared} greedy ids equal, {parted} answers left at a tie")
        self.assertGreater(compared, 30 * 2 * NEW_TOKENS)

    def test_greedy_ids_of_frozen_rules_and_half_rotated_heads(self) -> None:
        """Rows of several lengths in one session, against transformers held at the length of the export."""
        half = ROPES["longrope"] | {"model_type": "phi3", "partial_rotary_factor": 0.5, "pad_token_id": 0, "head_dim": 8}
        half["rope_scaling"] = half["rope_scaling"] | {"short_factor": [1.0, 1.2], "long_factor": [1.5, 6.0]}
        compared = 0
        for number, (config, length) in enumerate([(half, 100), (half, 400), (ROPES["dynamic"], 100), (ROPES["dynamic"], 400)]):
            config = CONFIG | copy.deepcopy(config)
            with self.subTest(config["model_type"], length=length), tempfile.TemporaryDirectory() as directory:
                archive, tensors = self.exported(directory, config, 200 + number, length)
                theirs = model_of(config, tensors)
                rotary = theirs.model.rotary_emb
                frequencies, rotary.attention_scaling = ROPE_INIT_FUNCTIONS[rotary.rope_type](theirs.config, None, seq_len=length)
                rotary.inv_freq.copy_(frequencies)
                rotary.rope_type = "default"
                generator = torch.Generator().manual_seed(number)
                prompts = [torch.randint(config["vocab_size"], (n,), generator=generator).tolist() for n in (3, 57, 130)]
                request = {"prompts": [{"ids": ids} for ids in prompts], "new_tokens": NEW_TOKENS, "together": True}
                for prompt, row in zip(prompts, run_archive(archive, request)["rows"]):
                    self.assertEqual(len(row["generated"]), NEW_TOKENS)
                    choices = logits_of(theirs, prompt + row["generated"])[len(prompt) - 1 : -1].argmax(-1)
                    for mine, their, margin in zip(row["generated"], choices, row["margins"]):
                        if margin < GREEDY_MARGIN:
                            break
                        self.assertEqual(mine, int(their), f"{len(prompt)} tokens")
                        compared += 1
        print(f"{compared} greedy ids of frozen rules equal")
        self.assertGreater(compared, 4 * 2 * NEW_TOKENS)

    def test_bfloat16(self) -> None:
        seen = []
        for number, family in enumerate(FAMILIES):
            config = CONFIG | {"model_type": family} | SWITCHES[family][0]
            with self.subTest(family), tempfile.TemporaryDirectory() as directory:
                archive, tensors = self.exported(directory, config, number, 0, "--dtype", "bfloat16")
                rounded = {name: tensor.bfloat16().float() for name, tensor in tensors.items()}
                prompt = torch.randint(config["vocab_size"], (200,), generator=torch.Generator().manual_seed(number)).tolist()
                exact = logits_of(model_of(config, rounded), prompt)
                ours = archive_logits(archive, [prompt])[0]
                theirs = logits_of(model_of(config, tensors, torch.bfloat16), prompt)
                errors = [float(np.sqrt(np.mean((logits - exact) ** 2))) for logits in (ours, theirs)]
                seen.append(errors[0] / errors[1])
                self.assertLessEqual(errors[0], BFLOAT16 * errors[1])
        print(f"bfloat16: error of the logits over that of transformers: {', '.join(f'{ratio:.2f}' for ratio in seen)}")


if __name__ == "__main__":
    unittest.main()
