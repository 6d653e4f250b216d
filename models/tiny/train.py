"""Trains the shipped small model from scratch: python -m models.tiny.train --out DIR

The run has two parts. The phase "answers" teaches retrieval. The other phases teach rewritten keys and shape
the attention of layer 1 by auxiliary losses, so that the attention a token receives tells whether it still
matters. Every phase begins with fresh optimisers and its own random numbers and ends with a checkpoint in
DIR/phases/NAME, so --resume continues after the last finished phase and gives the same weights as an
uninterrupted run.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from models.tiny.contexts import (
    VOCABULARY,
    AttentionTargets,
    StaleMix,
    attention_targets,
    long_contexts,
    training_row,
)
from models.tiny.llama import Config, Llama, load_weights, save_checkpoint, structured_induction_start
from models.tiny.muon import Muon

# The layer whose attention the auxiliary losses shape.
SHAPED_LAYER = 1
# Weight of the next-token loss on tokens that are no answers.
BACKGROUND_WEIGHT = 0.03
LOG_EVERY = 20


@dataclass(frozen=True)
class Stage:
    """A stretch of a phase with one kind and size of batch."""

    kind: str  # "copy", "kv" or "mix", see contexts.training_row
    tokens: int
    rows: int
    questions: int
    steps: int


@dataclass(frozen=True)
class AttentionLoss:
    """Weights of the auxiliary losses on the attention of layer 1; zero leaves a term out."""

    fact_mass: float = 0.0  # attention that plain context tokens pay to facts
    previous_value: float = 0.0  # -log of the attention a rewrite's key pays to the previous value
    spread: float = 0.0  # squared total attention a fact receives from plain context tokens
    min_distance: int = 0  # attention to facts nearer than this is free


@dataclass(frozen=True)
class Phase:
    """One learning-rate schedule: linear warm-up, then a cosine down to 3 %."""

    name: str
    stages: tuple[Stage, ...]
    muon_rate: float
    adamw_rate: float
    warm_up: int
    copy_share: float = 0.0  # rows replaced by copying exercises
    stale: StaleMix = StaleMix()
    attention: AttentionLoss = AttentionLoss()
    long_rows: int = 0  # contexts of 1024 tokens per step, at NTK 4, for `long_attention` only
    long_attention: AttentionLoss = AttentionLoss()

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)


LONG_TOKENS = 1024
LONG_NTK_FACTOR = 4.0

PHASES = (
    Phase(
        name="answers",
        stages=(
            Stage("copy", tokens=64, rows=48, questions=0, steps=250),
            Stage("kv", tokens=96, rows=32, questions=10, steps=350),
            Stage("mix", tokens=128, rows=32, questions=6, steps=300),
            Stage("mix", tokens=256, rows=20, questions=8, steps=1200),
        ),
        muon_rate=0.02,
        adamw_rate=3e-3,
        warm_up=50,
        copy_share=0.03,
    ),
    Phase(
        name="rewrites",
        stages=(Stage("mix", tokens=256, rows=20, questions=8, steps=600),),
        muon_rate=0.01,
        adamw_rate=1.5e-3,
        warm_up=50,
        copy_share=0.03,
        stale=StaleMix(share=0.4, max_writes=3),
    ),
    Phase(
        name="attention-far",
        stages=(Stage("mix", tokens=384, rows=10, questions=8, steps=320),),
        muon_rate=0.008,
        adamw_rate=1.2e-3,
        warm_up=20,
        stale=StaleMix(share=0.5, max_writes=6),
        attention=AttentionLoss(fact_mass=6.0, previous_value=0.2, min_distance=4),
    ),
    Phase(
        name="attention-all",
        stages=(Stage("mix", tokens=384, rows=10, questions=8, steps=200),),
        muon_rate=0.006,
        adamw_rate=1e-3,
        warm_up=20,
        stale=StaleMix(share=0.4, max_writes=6),
        attention=AttentionLoss(fact_mass=4.0, previous_value=0.15),
    ),
    Phase(
        name="long",
        stages=(Stage("mix", tokens=384, rows=6, questions=8, steps=90),),
        muon_rate=0.006,
        adamw_rate=1e-3,
        warm_up=15,
        stale=StaleMix(share=0.4, max_writes=6),
        attention=AttentionLoss(fact_mass=3.0, previous_value=0.1),
        long_rows=2,
        long_attention=AttentionLoss(fact_mass=6.0, previous_value=0.15),
    ),
    Phase(
        name="spread",
        stages=(Stage("mix", tokens=384, rows=6, questions=8, steps=100),),
        muon_rate=0.006,
        adamw_rate=1e-3,
        warm_up=15,
        stale=StaleMix(share=0.4, max_writes=6),
        attention=AttentionLoss(fact_mass=3.0, previous_value=0.1),
        long_rows=2,
        long_attention=AttentionLoss(fact_mass=6.0, previous_value=0.15, spread=6.0),
    ),
    Phase(
        name="polish",
        stages=(Stage("mix", tokens=256, rows=14, questions=8, steps=110),),
        muon_rate=0.008,
        adamw_rate=1.2e-3,
        warm_up=15,
        stale=StaleMix(share=0.25, max_writes=5),
        attention=AttentionLoss(fact_mass=2.0, previous_value=0.1),
        long_rows=1,
        long_attention=AttentionLoss(fact_mass=4.0, previous_value=0.1, spread=5.0),
    ),
)


class Log:
    """Prints lines and appends them to a file."""

    def __init__(self, path: Path, append: bool):
        self._file = path.open("a" if append else "w", encoding="utf-8")

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        print(line, file=self._file, flush=True)


class Smooth:
    """Exponential moving averages of named numbers, started at the first value."""

    def __init__(self, decay: float = 0.95):
        self._decay = decay
        self._values: dict[str, float] = {}

    def add(self, **values: float) -> None:
        for name, value in values.items():
            old = self._values.get(name, value)
            self._values[name] = self._decay * old + (1 - self._decay) * value

    def __str__(self) -> str:
        return "  ".join(f"{name} {value:.4f}" for name, value in self._values.items())


def attention_loss(
    weights: torch.Tensor, targets: AttentionTargets, loss: AttentionLoss, kv_heads: int
) -> tuple[torch.Tensor, dict[str, float]]:
    """The auxiliary loss and its ingredients. weights: [rows, heads, queries, keys]."""
    rows, _, queries, keys = weights.shape
    is_fact = torch.from_numpy(targets.is_fact)[:, :keys]
    is_plain = torch.from_numpy(targets.is_plain_query)[:, :queries]
    previous = torch.from_numpy(targets.previous_value)[:, :queries]
    by_kv_head = weights.unflatten(1, (kv_heads, -1)).mean(2)

    counted = is_fact[:, None, :].expand(rows, queries, keys)
    if loss.min_distance > 0:
        distance = torch.arange(queries)[:, None] - torch.arange(keys)[None]
        counted = counted & (distance >= loss.min_distance)
    mass = (weights * counted[:, None]).sum(-1).mean(1)
    mass = (mass * is_plain).sum() / is_plain.sum().clamp(min=1)

    is_rewrite = previous >= 0
    index = previous.clamp(min=0)[:, None, :, None].expand(-1, kv_heads, -1, 1)
    look = torch.gather(by_kv_head, 3, index)[..., 0]
    looks = (kv_heads * is_rewrite.sum()).clamp(min=1)
    look_loss = (-(look + 0.01).log() * is_rewrite[:, None]).sum() / looks

    total = loss.fact_mass * mass + loss.previous_value * look_loss
    report = {"mass": mass.item()}
    if is_rewrite.any():
        report["look"] = ((look * is_rewrite[:, None]).sum() / looks).item()
    if loss.spread > 0:
        received = (by_kv_head * is_plain[:, None, :, None]).sum(2)
        spread = (received.square() * is_fact[:, None]).sum() / (kv_heads * is_fact.sum())
        total = total + loss.spread * spread
        report["spread"] = spread.item()
    return total, report


class Trainer:
    """Runs one phase on a model."""

    def __init__(self, model: Llama, phase: Phase, rng: random.Random):
        self._model, self._phase, self._rng = model, phase, rng
        embedding = model.model.embed_tokens.weight
        matrices = [p for p in model.parameters() if p.dim() == 2 and p is not embedding]
        norms = [p for p in model.parameters() if p.dim() < 2]
        self._muon = Muon(matrices, lr=phase.muon_rate)
        self._adamw = torch.optim.AdamW(
            [{"params": [embedding], "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}],
            lr=phase.adamw_rate,
            betas=(0.9, 0.98),
        )

    def _set_rates(self, step: int) -> None:
        cosine = 0.5 * (1 + math.cos(math.pi * step / self._phase.steps))
        factor = min(1.0, (step + 1) / self._phase.warm_up) * (0.97 * cosine + 0.03)
        for group in self._muon.param_groups:
            group["lr"] = self._phase.muon_rate * factor
        for group in self._adamw.param_groups:
            group["lr"] = self._phase.adamw_rate * factor

    def _batch(self, stage: Stage):
        rows = []
        for _ in range(stage.rows):
            copies = stage.kind != "copy" and self._rng.random() < self._phase.copy_share
            kind = "copy" if copies else stage.kind
            rows.append(training_row(self._rng, kind, stage.tokens, stage.questions, self._phase.stale))
        tokens = torch.tensor([row.tokens for row in rows])
        weights = torch.tensor([row.weights for row in rows])
        return tokens, weights, [row.context for row in rows]

    def step(self, step: int, stage: Stage) -> dict[str, float]:
        """One update; returns answer loss, answer accuracy and the ingredients of the attention losses."""
        phase, model = self._phase, self._model
        kv_heads = model.config.kv_heads
        self._set_rates(step)
        tokens, answer_weights, contexts = self._batch(stage)
        targets, answer_weights = tokens[:, 1:], answer_weights[:, 1:]
        shaped = phase.attention != AttentionLoss()
        logits, weights = model(tokens[:, :-1], weights_of=SHAPED_LAYER if shaped else None)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses.view(targets.shape)
        background = (targets != VOCABULARY.pad).float() * BACKGROUND_WEIGHT
        token_weights = answer_weights + background * (1 - answer_weights)
        loss = (losses * token_weights).sum() / token_weights.sum()

        report = {}
        if shaped:
            marks = attention_targets(contexts, stage.tokens)
            extra, report = attention_loss(weights, marks, phase.attention, kv_heads)
            loss = loss + extra
        model.zero_grad(set_to_none=True)
        loss.backward()
        del weights
        if phase.long_rows:
            long = long_contexts(self._rng, phase.long_rows, LONG_TOKENS)
            weights = model.attention_weights(
                torch.tensor([c.tokens for c in long]), SHAPED_LAYER, ntk_factor=LONG_NTK_FACTOR
            )
            marks = attention_targets(long, LONG_TOKENS)
            extra, long_report = attention_loss(weights, marks, phase.long_attention, kv_heads)
            extra.backward()
            report |= {f"long-{name}": value for name, value in long_report.items()}
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self._adamw.step()
        self._muon.step()

        with torch.no_grad():
            answers = answer_weights.sum()
            answer_loss = (losses * answer_weights).sum() / answers
            accuracy = ((logits.argmax(-1) == targets) * answer_weights).sum() / answers
        return {"answer-loss": answer_loss.item(), "accuracy": accuracy.item(), **report}


def run_phase(model: Llama, phase: Phase, seed: int, max_steps: int | None, log: Log) -> None:
    """Trains `model` through all stages of a phase, or through its first `max_steps` steps."""
    trainer = Trainer(model, phase, random.Random(f"{seed} {phase.name}"))
    smooth, step = Smooth(), 0
    last_step = phase.steps if max_steps is None else min(phase.steps, max_steps)
    start = time.perf_counter()
    for stage in phase.stages:
        stage_start, stage_steps = time.perf_counter(), 0
        for _ in range(min(stage.steps, last_step - step)):
            smooth.add(**trainer.step(step, stage))
            step += 1
            stage_steps += 1
            if step % LOG_EVERY == 0 or step == last_step:
                now = time.perf_counter()
                # Later stages have longer rows: what is left is estimated from tokens rather than from steps.
                speed = stage_steps * stage.rows * stage.tokens / (now - stage_start)
                left = remaining_tokens(phase, step, last_step) / speed
                log(
                    f"{phase.name} {step}/{phase.steps} {stage.kind} {stage.rows}x{stage.tokens}  {smooth}"
                    f"  elapsed {now - start:.0f}s  phase ETA {left:.0f}s"
                )


def remaining_tokens(phase: Phase, done: int, last_step: int) -> int:
    """Tokens of the steps `done` .. `last_step` of a phase."""
    tokens, first = 0, 0
    for stage in phase.stages:
        steps = min(first + stage.steps, last_step) - max(first, done)
        tokens += max(0, steps) * stage.rows * stage.tokens
        first += stage.steps
    return tokens


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.tiny.train",
        description="Trains the shipped small model and writes a Hugging Face style checkpoint folder.",
        epilog="Phases: " + ", ".join(f"{phase.name} ({phase.steps} steps)" for phase in PHASES) + ".",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the checkpoint, the phases and train.log"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the initial weights and of the contexts (default 1)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads of PyTorch (default 1; other counts round differently)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue after the last phase finished in --out"
    )
    parser.add_argument(
        "--last-phase", choices=[p.name for p in PHASES], default=PHASES[-1].name, help="phase to stop after"
    )
    parser.add_argument(
        "--max-steps",
        type=int,
        help="only the first N steps of each phase and no phase checkpoints, to try the script out",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    phase_folders = options.out / "phases"
    if phase_folders.exists() and not options.resume:
        print(f"{phase_folders} exists: give --resume to continue or another --out", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    log = Log(options.out / "train.log", append=options.resume)

    model = Llama(Config(vocabulary=VOCABULARY.size))
    structured_induction_start(model)
    count = sum(p.numel() for p in model.parameters())
    log(f"seed {options.seed}, {count} parameters, {options.threads} thread(s), torch {torch.__version__}")
    last = [phase.name for phase in PHASES].index(options.last_phase)
    for phase in PHASES[: last + 1]:
        folder = phase_folders / phase.name
        if folder.exists():
            load_weights(model, folder)
            log(f"{phase.name}: finished before, continuing from {folder.name}")
            continue
        run_phase(model, phase, options.seed, options.max_steps, log)
        if options.max_steps is not None:
            continue
        # A folder appears only when it is complete, so a run never resumes from half a checkpoint.
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        save_checkpoint(model, VOCABULARY, partial)
        partial.rename(folder)
    save_checkpoint(model, VOCABULARY, options.out)
    log(f"wrote {options.out.name}/model.safetensors after phase {PHASES[last].name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
