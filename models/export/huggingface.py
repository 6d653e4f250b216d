"""Reads a model of the Llama kind from a Hugging Face folder: config.json, safetensors (one file or shards), tokenizer.json or
tokenizer.model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from models.export.checkpoint import ChatTemplate, Checkpoint
from models.export.config_fields import refuse_unknown
from models.export.errors import ExportError
from models.export.families import family_of
from models.export.fields import MOST_LAYERS_OR_HEADS, Fields, id_list, read_object, reading
from models.export.llama import LlamaSettings
from models.export.rank_file import from_rank_file, is_rank_file
from models.export.rope import parse_rope, rope_of_config, theta_of_config
from models.export.sentence_piece import from_document, from_model_file, is_sentence_piece
from models.export.tokenizer import Tokenizer, from_tokenizer_json, from_words

INDEX = "model.safetensors.index.json"


class HuggingFaceFolder(Checkpoint):
    def __init__(self, folder: Path, with_tokenizer: bool, rope: str | None = None):
        self.folder = folder
        if not (folder / "config.json").is_file():
            raise ExportError(f"{folder}: no config.json in it; a Hugging Face model folder is expected")
        config = read_object(folder / "config.json")
        with reading(folder / "config.json"):
            self.settings = settings_of_config(config, str(folder / "config.json"), rope)
        self.source = f"Hugging Face folder {folder.resolve().name}"
        self._files = self._tensor_files()
        tokenizer_config = _optional(folder / "tokenizer_config.json")
        self.tokenizer = self._read_tokenizer(tokenizer_config) if with_tokenizer else None
        self.cleans_up_spaces = tokenizer_config.get("clean_up_tokenization_spaces") is True
        self.stop_ids = self._read_stop_ids(config, tokenizer_config)
        self.chat_template = self._read_chat_template(tokenizer_config) if self.tokenizer else None

    def names(self) -> set[str]:
        return set(self._files)

    def tensor(self, name: str) -> torch.Tensor:
        path = self._files[name]
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ExportError(f"{path}: tensor {name} cannot be read ({error}); is the file complete?") from None

    def shape(self, name: str) -> tuple[int, ...]:
        with safe_open(self._files[name], framework="pt") as file:
            return tuple(file.get_slice(name).get_shape())

    def _tensor_files(self) -> dict[str, Path]:
        """Tensor name -> file that holds it, by the files' own headers."""
        if (self.folder / INDEX).is_file():
            shards = read_object(self.folder / INDEX).get("weight_map")
            if not isinstance(shards, dict):
                raise ExportError(f"{self.folder / INDEX}: the field weight_map is missing")
            paths = sorted({self.folder / str(shard) for shard in shards.values()})
        else:
            paths = [self.folder / "model.safetensors"]
        files: dict[str, Path] = {}
        for path in paths:
            if not path.is_file():
                hint = "; convert pytorch_model.bin to safetensors" if (self.folder / "pytorch_model.bin").exists() else ""
                raise ExportError(f"{path}: the weights are missing{hint}")
            try:
                with safe_open(path, framework="pt") as file:
                    files.update(dict.fromkeys(file.keys(), path))
            except (SafetensorError, OSError) as error:
                raise ExportError(f"{path}: not a complete safetensors file ({error})") from None
        return files

    def _read_tokenizer(self, tokenizer_config: dict[str, Any]) -> Tokenizer | None:
        ours, theirs, model = (self.folder / name for name in ("namm_tokenizer.json", "tokenizer.json", "tokenizer.model"))
        if ours.is_file():
            with reading(ours):
                return from_words(read_object(ours), str(ours))
        document = _optional(theirs)
        if model.is_file() and is_rank_file(model) and not document:
            return from_rank_file(model, tokenizer_config, self.settings.vocabulary)
        if model.is_file() and not is_rank_file(model) and (not document or is_sentence_piece(document)):
            with reading(theirs if document else model):
                return from_model_file(model, document or None, tokenizer_config)
        if document:
            with reading(theirs):
                if is_sentence_piece(document):
                    return from_document(document, tokenizer_config, str(theirs))
                return from_tokenizer_json(document, tokenizer_config, str(theirs), self.settings.vocabulary)
        if (self.folder / "vocab.json").is_file():
            raise ExportError(
                f"{self.folder / 'vocab.json'}: this kind of tokenizer is not supported, tokenizer.json and tokenizer.model are; "
                "--no-tokenizer exports the model without one"
            )
        return None

    def _read_stop_ids(self, config: dict[str, Any], tokenizer_config: dict[str, Any]) -> list[int]:
        """generation_config.json over config.json over the tokenizer."""
        path = self.folder / "generation_config.json"
        for values, where in ((_optional(path), path), (config, self.folder / "config.json")):
            if values.get("eos_token_id") is not None:
                return id_list(values["eos_token_id"], f"{where}: eos_token_id")
        if self.tokenizer is not None:
            id = self.tokenizer.id_of(_token_text(tokenizer_config.get("eos_token")))
            return [] if id is None else [id]
        return []

    def _read_chat_template(self, tokenizer_config: dict[str, Any]) -> ChatTemplate | None:
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            with reading(path):
                template = path.read_text(encoding="utf-8")
        else:
            template = tokenizer_config.get("chat_template")
        if isinstance(template, list):
            defaults = [item.get("template") for item in template if isinstance(item, dict) and item.get("name") == "default"]
            template = defaults[-1] if defaults else None
        if not isinstance(template, str):
            return None
        return ChatTemplate(
            template, _token_text(tokenizer_config.get("bos_token")), _token_text(tokenizer_config.get("eos_token"))
        )


def settings_of_config(config: dict[str, Any], where: str, rope: str | None = None) -> LlamaSettings:
    """`rope`: a rule as --rope has it, in place of the config's own."""
    fields = Fields(config, where)
    family = family_of(config.get("model_type"), where)
    fields.refuse("attention_bias", (False,), "biases of queries, keys and values in the family qwen2 are")
    fields.refuse("mlp_bias", (False,), "an MLP without biases is")
    fields.refuse("hidden_act", ("silu", "swish"), "silu is")
    fields.refuse("quantization_config", (), "export the model that was quantised, or a GGUF file")
    refuse_unknown(fields)
    layers, heads = (fields.integer(name, most=MOST_LAYERS_OR_HEADS) for name in ("num_hidden_layers", "num_attention_heads"))
    hidden = fields.integer("hidden_size")
    head_dim = fields.integer("head_dim", max(1, hidden // heads))
    max_positions = fields.integer("max_position_embeddings", 2048)
    share = (config.get("rope_parameters") or {}).get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    return LlamaSettings(
        vocabulary=fields.integer("vocab_size"),
        hidden=hidden,
        intermediate=fields.integer("intermediate_size"),
        layers=layers,
        heads=heads,
        kv_heads=fields.integer("num_key_value_heads", heads, most=MOST_LAYERS_OR_HEADS),
        head_dim=head_dim,
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        max_positions=max_positions,
        tied=bool(config.get("tie_word_embeddings", False)),
        rope=rope_of_config(config, max_positions, where) if rope is None else parse_rope(rope, theta_of_config(config)),
        rotary_dim=int(head_dim * share),
        windows=family.windows(fields, layers),
        qkv_bias=family.qkv_bias,
        qk_norm=family.qk_norm,
        fused=family.fused,
    )


def _optional(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _token_text(token: Any) -> str:
    """Special tokens are written as text or as an object with `content`."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else ""
