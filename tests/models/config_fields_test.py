"""Which fields of a config.json are read, passed over and refused."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

from transformers import LlamaConfig, MistralConfig, Phi3Config, PreTrainedConfig, Qwen2Config, Qwen3Config

from models.export.errors import ExportError
from models.export.huggingface import settings_of_config
from tests.models.support import CONFIG, TemporaryFolderTest, random_tensors, write_folder

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48}


def sizes(vocabulary: int, hidden: int, width: int, layers: int, heads: int, kv_heads: int, positions: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "max_position_embeddings": positions,
    }  # fmt: skip


# Published models, by transformers' own classes, with what their files say beside that (wherever it is not a default).
PUBLISHED: dict[str, tuple[PreTrainedConfig, dict[str, Any]]] = {
    "Llama 2": (LlamaConfig(**sizes(32000, 4096, 11008, 32, 32, 32, 4096)), {"_name_or_path": "x", "torch_dtype": "float16"}),
    "Llama 3": (LlamaConfig(**sizes(128256, 4096, 14336, 32, 32, 8, 8192), rope_theta=500000.0, bos_token_id=128000), {}),
    "Llama 3.1": (
        LlamaConfig(**sizes(128256, 4096, 14336, 32, 32, 8, 131072), rope_theta=500000.0, rope_scaling=LLAMA3),
        {"eos_token_id": [128001, 128008, 128009]},
    ),
    "TinyLlama": (LlamaConfig(**sizes(32000, 2048, 5632, 22, 32, 4, 2048)), {"pretraining_tp": 1}),
    "SmolLM2": (
        LlamaConfig(**sizes(49152, 576, 1536, 30, 9, 3, 8192), tie_word_embeddings=True, rope_theta=100000.0),
        {"is_llama_config": True, "rope_interleaved": False, "transformers.js_config": {"kv_cache_dtype": "float16"}},
    ),
    "Mistral 0.1": (MistralConfig(**sizes(32000, 4096, 14336, 32, 32, 8, 32768), sliding_window=4096), {}),
    "Mistral 0.3": (MistralConfig(**sizes(32768, 4096, 14336, 32, 32, 8, 32768), sliding_window=None), {"unsloth_fixed": True}),
    "Qwen2": (Qwen2Config(**sizes(152064, 3584, 18944, 28, 28, 4, 32768), sliding_window=131072), {}),
    "Qwen2.5": (Qwen2Config(**sizes(151936, 896, 4864, 24, 14, 2, 32768), tie_word_embeddings=True), {"use_mrope": False}),
    "Qwen3": (Qwen3Config(**sizes(151936, 1024, 3072, 28, 16, 8, 40960), head_dim=128, rope_theta=1e6), {}),
    "Phi-3 4k": (Phi3Config(**sizes(32064, 3072, 8192, 32, 32, 32, 4096), sliding_window=2047), {"attention_bias": False}),
    "Phi-3 128k": (
        Phi3Config(**sizes(32064, 3072, 8192, 32, 32, 32, 131072), rope_scaling=LONGROPE, sliding_window=262144),
        {"auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"}, "interpolate_factor": 1, "lm_head_bias": False},
    ),
}


def written(config: PreTrainedConfig) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        return json.loads((Path(folder) / "config.json").read_text())


class ConfigFieldsTest(TemporaryFolderTest):
    def test_published_models_are_read(self) -> None:
        for name, (config, more) in PUBLISHED.items():
            for fields in (written(config) | more, config.to_dict() | more, config.to_diff_dict() | more):
                with self.subTest(name):
                    settings = settings_of_config(fields, "config.json")
                    self.assertEqual(settings.layers, config.num_hidden_layers)
                    self.assertEqual(settings.kv_heads, config.num_key_value_heads)
                    self.assertEqual(settings.rope.theta, config.rope_parameters["rope_theta"])

    def test_an_unknown_field_is_named(self) -> None:
        for name, value in {
            "attention_multiplier": 0.5,
            "logit_scale": 0.0625,
            "residual_multiplier": 0.22,
            "no_rope_layers": [1, 1, 0],
            "num_local_experts": 8,
            "use_qk_norm": True,
            "clip_qkv": 8.0,
            "parallel_attn": False,
            "attn_logit_softcapping": 50.0,
        }.items():
            with self.subTest(name):
                folder = write_folder(self.folder / name, CONFIG | {name: value}, random_tensors(CONFIG))
                complaint = self.refused(folder)
                self.assertIn(f"{name}/config.json: not known to this exporter: {name} = {value!r}", complaint)
                self.assertIn("leave it out of config.json", complaint)

    def test_all_unknown_fields_at_once_and_what_was_meant(self) -> None:
        with self.assertRaises(ExportError) as raised:
            settings_of_config(CONFIG | {"rope_scalings": {"type": "linear"}, "x": "y" * 100}, "config.json")
        self.assertIn("rope_scalings = {'type': 'linear'} (rope_scaling?), x = 'yyy", str(raised.exception))
        self.assertIn("yyy...", str(raised.exception))

    def test_unknown_fields_of_a_rotary_rule_are_named(self) -> None:
        llama3 = LLAMA3 | {"rope_theta": 500000.0}
        for rule, said in {
            "linear": ({"type": "linear", "factor": 2.0, "factors": 3.0}, r"linear: factors = 3.0 \(factor\?\)"),
            "of another rule": ({"type": "linear", "factor": 2.0, "low_freq_factor": 1.0}, "linear: low_freq_factor = 1.0"),
            "llama3": (llama3 | {"beta_fast": 32, "mscale": 1}, "llama3: beta_fast = 32, mscale = 1"),
            "plain": ({"rope_type": "default", "factor": 4.0}, "default: factor = 4.0"),
            "dynamic": ({"type": "dynamic", "factor": 2.0, "alpha": 1000.0}, "dynamic: alpha = 1000.0"),
            "yarn": ({"type": "yarn", "factor": 2.0, "scale": "log"}, "yarn: scale = 'log'"),
            "longrope": (LONGROPE | {"long_mscale": 1.2}, "longrope: long_mscale = 1.2"),
        }.values():
            for place in ("rope_scaling", "rope_parameters"):
                with self.subTest(place, rule=rule), self.assertRaisesRegex(ExportError, f"not known of rope type {said}"):
                    settings_of_config(CONFIG | {place: rule}, "config.json")
                rule_of_choice = settings_of_config(CONFIG | {place: rule}, "config.json", "linear:factor=3").rope
                self.assertEqual((rule_of_choice.rule, rule_of_choice.numbers), ("linear", {"factor": 3.0}))

    def test_every_field_of_a_rotary_rule_is_known(self) -> None:
        original = {"original_max_position_embeddings": 64, "rope_theta": 5000.0, "partial_rotary_factor": 1.0}
        yarn = {"factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "attention_factor": None}
        for rule in (
            {"rope_type": "default"},
            {"rope_type": "linear", "type": "linear", "factor": 2.0},
            {"type": "dynamic", "factor": 2.0},
            LLAMA3,
            yarn | {"rope_type": "yarn", "truncate": False, "finetuned": True},
            LONGROPE | {"factor": 4.0, "attention_factor": 1.2},
            LONGROPE | {"rope_type": "su"},
        ):
            with self.subTest(rule=rule):
                self.assertEqual(settings_of_config(CONFIG | {"rope_parameters": rule | original}, "c").rope.theta, 5000.0)

    def test_null_says_nothing(self) -> None:
        settings_of_config(CONFIG | {"attention_multiplier": None}, "config.json")

    def test_fields_that_must_be_off(self) -> None:
        for name, value in {"rope_interleaved": True, "lm_head_bias": True, "use_mrope": True, "full_attn_mod": 2}.items():
            with self.subTest(name), self.assertRaisesRegex(ExportError, f"{name} = {value} is not supported: "):
                settings_of_config(CONFIG | {name: value}, "config.json")

    def test_windows_that_a_family_does_not_read(self) -> None:
        window = {"model_type": "mistral", "sliding_window": 9}
        settings_of_config(CONFIG | {"use_sliding_window": False, "layer_types": ["full_attention"] * 2}, "c")
        settings_of_config(CONFIG | window | {"use_sliding_window": True, "layer_types": ["sliding_attention"] * 2}, "c")
        for config, name in (
            ({"use_sliding_window": True}, "use_sliding_window"),
            ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
            (window | {"use_sliding_window": False}, "use_sliding_window"),
            (window | {"layer_types": ["sliding_attention", "full_attention"]}, "layer_types"),
        ):
            with self.subTest(config), self.assertRaisesRegex(ExportError, f"{name} = .* is not supported"):
                settings_of_config(CONFIG | config, "c")


if __name__ == "__main__":
    unittest.main()
