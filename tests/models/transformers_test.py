"""Logits of exported archives under the full cache against `transformers`, for several small random Llamas."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.models.support import CONFIG, archive_logits, export, random_tensors, write_folder

# The table of tolerances (tests/support/tolerances.h): other_program::logits, times (1 + |x|).
LOGITS = 5e-5

LENGTHS = [1, 17, 200, 64]

MODELS = {
    "grouped heads, untied": {},
    "one head a group, tied, wide heads": {
        "hidden_size": 48,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "head_dim": 24,
        "tie_word_embeddings": True,
    },
    "one KV head, linear RoPE": {
        "num_key_value_heads": 1,
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        "max_position_embeddings": 1024,
    },
    "Llama 3 RoPE": {
        "head_dim": 16,
        "rope_theta": 500000.0,
        "max_position_embeddings": 1024,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
}


class TransformersTest(unittest.TestCase):
    def test_logits(self) -> None:
        values, worst = 0, 0.0
        for number, (name, changes) in enumerate(MODELS.items()):
            with self.subTest(name), tempfile.TemporaryDirectory() as directory:
                config = CONFIG | changes
                tensors = random_tensors(config, seed=number)
                folder = write_folder(Path(directory) / "model", config, tensors)
                archive = Path(directory) / "model.pt"
                done = export(folder, archive, "--quiet")
                self.assertEqual(done.returncode, 0, done.stderr)

                theirs = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="eager"))
                loaded = theirs.load_state_dict(tensors, strict=False)
                self.assertEqual([key for key in loaded.missing_keys if key != "lm_head.weight"], [])
                theirs.tie_weights()
                theirs.eval()
                generator = torch.Generator().manual_seed(number)
                prompts = [torch.randint(config["vocab_size"], (n,), generator=generator).tolist() for n in LENGTHS]
                for chunk in (512, 48):
                    ours = archive_logits(archive, prompts, config["vocab_size"], chunk)
                    for prompt, mine in zip(prompts, ours):
                        with torch.no_grad():
                            expected = theirs(torch.tensor([prompt])).logits[0].numpy()
                        ratio = np.abs(mine - expected) / (LOGITS * (1 + np.abs(expected)))
                        values += ratio.size
                        worst = max(worst, float(ratio.max()))
                        self.assertLessEqual(float(ratio.max()), 1.0, f"{len(prompt)} tokens, chunk {chunk}")
        print(f"{len(MODELS)} models, {values} logits compared, largest deviation {worst:.2f} of its tolerance")


if __name__ == "__main__":
    unittest.main()
