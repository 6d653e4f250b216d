"""From a checkpoint to an archive."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models.export.chat import ChatForm, chat_form
from models.export.checkpoint import Checkpoint
from models.export.contract import llama_contract
from models.export.errors import ExportError
from models.export.fields import id_list
from models.export.llama import Llama, LlamaSettings, places
from models.export.operator import register_attend
from models.export.rope import checked_divisors, checked_frequencies
from models.export.step_eager import StepEagerLlama
from models.export.tokenizer import Tokenizer


def export_llama(options: argparse.Namespace) -> None:
    """Runs the sub-command `llama`; raises ExportError, or OSError where the archive cannot be written."""
    with plain_warnings():
        _export_llama(options)


def _export_llama(options: argparse.Namespace) -> None:
    start = time.perf_counter()

    def say(text: str) -> None:
        if not options.quiet:
            print(text, flush=True)

    prepared = prepare(options)
    settings = prepared.settings
    say(
        f"{options.source}: {settings.layers} layers, hidden {settings.hidden}, {settings.heads}/{settings.kv_heads} heads of "
        f"{settings.head_dim}, vocabulary {settings.vocabulary}, RoPE {settings.rope.rule}, "
        f"tokenizer {prepared.contract['tokenizer']['kind']}"
    )
    model, count = read_weights(prepared, options, say)
    say(f"{count} parameters read in {time.perf_counter() - start:.1f} s")
    write_archive(model, prepared.extra, options.out)
    say(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s in all")


@dataclass(frozen=True)
class Prepared:
    """What an export knows before it reads a weight."""

    checkpoint: Checkpoint
    settings: LlamaSettings
    contract: dict[str, Any]
    extra: dict[str, str]  # files for the archive


def prepare(options: argparse.Namespace) -> Prepared:
    """All checks that need no weight: behind them the sizes of the model are those of the tensors that are there."""
    checkpoint = open_checkpoint(options.source, with_tokenizer=not options.no_tokenizer, rope=options.rope)
    settings = checkpoint.settings
    if options.max_positions is not None:
        if options.max_positions < 1:
            raise ExportError(f"--max-positions {options.max_positions}: expected a whole number of at least 1")
        settings = replace(settings, max_positions=options.max_positions)
    settings = replace(settings, rope=settings.rope.for_length(settings.max_positions))
    check_sizes(settings, options.source)
    check_tensors(checkpoint, settings, options.source)
    checked_frequencies(settings.rope, settings.rotary_dim, str(options.source))
    if checkpoint.tokenizer is not None:
        check_prefix(checkpoint.tokenizer, settings.vocabulary, options.source)
    chat = chat_form(checkpoint.chat_template, checkpoint.tokenizer)
    if checkpoint.tokenizer is not None:
        checkpoint.tokenizer.settings |= tokenizer_switches(checkpoint, chat, options)
    contract = llama_contract(checkpoint, settings, options.dtype, chat)
    extra = {"namm_contract.json": json_text(contract, options.source, indent=1)}
    if checkpoint.tokenizer is not None:
        extra["namm_tokenizer.json"] = json_text(checkpoint.tokenizer.data, options.source, separators=(",", ":"))
    return Prepared(checkpoint, settings, contract, extra)


def json_text(value: Any, where: Path, **layout: Any) -> str:
    """JSON in UTF-8. What was read may hold what that cannot: halves of surrogate pairs, and numbers that are none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, **layout)
        text.encode("utf-8")
    except ValueError as error:
        raise ExportError(f"{where}: a text or a number in it cannot be written ({error})") from None
    return text


def tokenizer_switches(checkpoint: Checkpoint, chat: ChatForm, options: argparse.Namespace) -> dict[str, bool]:
    """What the contract says of the tokenizer beside its kind, where true (models/tokenizer.h)."""
    switches = {}
    if chat.after_prefix and checkpoint.tokenizer.settings["kind"] == "sentencepiece-bpe":
        switches["chat_after_prefix"] = True
    if options.clean_up_spaces and checkpoint.cleans_up_spaces:
        switches["clean_up_tokenization_spaces"] = True
    elif options.clean_up_spaces:
        warnings.warn(f"{options.source}: clean_up_tokenization_spaces is not switched on there; spaces stay", stacklevel=2)
    return switches


@contextmanager
def plain_warnings():
    """Warnings as lines on standard error, without the place in the source."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr, flush=True)
        yield


def open_checkpoint(source: Path, with_tokenizer: bool, rope: str | None = None) -> Checkpoint:
    """`rope`: a rule as --rope has it, in place of the checkpoint's own."""
    # Imported late: --help and most errors need neither safetensors nor gguf.
    if source.is_dir():
        from models.export.huggingface import HuggingFaceFolder

        return HuggingFaceFolder(source, with_tokenizer, rope)
    if not source.exists():
        raise ExportError(f"{source}: no such file or folder")
    if source.suffix != ".gguf":
        raise ExportError(f"{source}: neither a Hugging Face folder nor a .gguf file")
    from models.export.gguf_reader import GgufFile

    return GgufFile(source, with_tokenizer, rope)


def check_sizes(settings: LlamaSettings, where: Path) -> None:
    if settings.heads % settings.kv_heads != 0:
        raise ExportError(f"{where}: {settings.heads} query heads cannot share {settings.kv_heads} key/value heads")
    if settings.head_dim % 2 != 0 or settings.head_dim < 4:
        raise ExportError(f"{where}: head dimension {settings.head_dim}: an even number of at least 4 is needed for RoPE")
    if settings.rotary_dim % 2 != 0 or not 4 <= settings.rotary_dim <= settings.head_dim:
        raise ExportError(
            f"{where}: RoPE on {settings.rotary_dim} of {settings.head_dim} components: an even number from 4 on is expected"
        )
    checked_divisors(settings.rope, settings.rotary_dim, str(where))


def check_prefix(tokenizer: Tokenizer, vocabulary: int, where: Path) -> None:
    ids = tokenizer.settings["prefix_ids"]
    if any(id >= vocabulary for id in id_list(ids, f"{where}: ids before a text")):
        raise ExportError(f"{where}: ids before a text: {ids}: the model's vocabulary has {vocabulary}")


def check_tensors(checkpoint: Checkpoint, settings: LlamaSettings, where: Path) -> None:
    """Before memory is asked for what a damaged file may claim."""
    there, wanted = checkpoint.names(), places(settings)
    missing = sorted(wanted.keys() - there)
    if missing:
        hint = " (the config says that the output is not tied to the embedding)" if "lm_head.weight" in missing else ""
        raise ExportError(f"{where}: {len(missing)} tensor(s) missing: {', '.join(missing[:4])}{hint}")
    if settings.tied and "lm_head.weight" in there:
        warnings.warn(f"{where}: the output is tied to the embedding, lm_head.weight is left out", stacklevel=2)
    for name in sorted(there - wanted.keys() - {"lm_head.weight"}):
        if name.endswith("bias"):
            raise ExportError(f"{where}: tensor {name}: a bias here is not supported")
        if not name.endswith("rotary_emb.inv_freq"):
            warnings.warn(f"{where}: tensor {name} is not part of such a model and is left out", stacklevel=2)
    for name, place in wanted.items():
        shape = checkpoint.shape(name)
        if shape != place.shape:
            raise ExportError(
                f"{where}: tensor {name} has shape {shape}, the settings ask for {place.shape} "
                f"(heads {settings.heads}/{settings.kv_heads} of {settings.head_dim}, hidden {settings.hidden})"
            )


def read_weights(prepared: Prepared, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[Llama, int]:
    """The model with the checkpoint's tensors, copied one at a time, and the number of its parameters."""
    checkpoint, settings, where = prepared.checkpoint, prepared.settings, options.source
    model = (StepEagerLlama if options.step_eager else Llama)(settings, getattr(torch, options.dtype))
    wanted, parameters = places(settings), dict(model.named_parameters())
    count = 0
    last_news = time.perf_counter()
    for done, (name, place) in enumerate(wanted.items(), 1):
        tensor = checkpoint.tensor(name)
        if not tensor.is_floating_point():
            raise ExportError(f"{where}: tensor {name} is of type {tensor.dtype}: quantised weights are read from GGUF only")
        with torch.no_grad():
            parameters[place.parameter][place.first : place.first + tensor.shape[0]].copy_(place.ordered(tensor, settings))
        count += tensor.numel()
        if time.perf_counter() - last_news > 2:
            last_news = time.perf_counter()
            say(f"  {done} of {len(wanted)} tensors")
    return model, count


@contextmanager
def quiet_torchscript():
    """TorchScript is deprecated in Python but not in LibTorch; whoever exports need not read so each time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*")
        yield


def write_archive(model: torch.nn.Module, extra: dict[str, str], out: Path) -> None:
    """Writes beside `out` and renames, so that `out` is either the old file or the whole new one."""
    register_attend()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    # A file by its path is written tensor by tensor (an open one is made up in memory first, several times over); the inner
    # folder of an archive is named after it, and must not say what `out` is called.
    file = partial / "archive.pt"
    try:
        partial.mkdir()
        with quiet_torchscript():
            torch.jit.script(model.eval()).save(str(file), _extra_files=extra)
        with file.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(file, out)
    except RuntimeError as error:
        raise OSError(f"{out}: cannot be written ({error})") from None
    finally:
        file.unlink(missing_ok=True)
        if partial.is_dir():
            partial.rmdir()
