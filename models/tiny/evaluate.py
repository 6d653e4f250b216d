"""Scores checkpoints of the small model with the full cache: python -m models.tiny.evaluate DIR [DIR ...]

Score: share of questions whose whole answer is the greedy one, each question asked alone after its context.
The interval is 95 % over contexts. Two lengths: 256 tokens without and 1024 tokens with static NTK scaling of
factor 4.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from pathlib import Path

import torch

from models.tiny.contexts import VOCABULARY, Context, Question, Rewrites, build_context
from models.tiny.llama import Config, Llama, load_weights

FACTS = {"kv": 20, "hop": 10, "passage": 12, "classify": 16, "stale": 14}
LENGTHS = ((256, None, Rewrites(writes=(1, 2, 3), window=lambda rng: 0.5)), (1024, 4.0, Rewrites()))


def draw_questions(rng: random.Random, context: Context, task: str, count: int) -> list[Question]:
    """`count` questions of one task, with repetition only where the context has fewer."""
    questions = [q for q in context.questions if q.task == task]
    return rng.choices(questions, k=count) if len(questions) < count else rng.sample(questions, count)


@torch.no_grad()
def exact_matches(
    model: Llama, context: Context, questions: list[Question], ntk_factor: float | None
) -> float:
    """Share of `questions` answered exactly."""
    rows = [context.tokens + q.prompt + q.answer for q in questions]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [VOCABULARY.pad] * (longest - len(row)) for row in rows])
    logits, _ = model(tokens, ntk_factor=ntk_factor)
    hits = 0
    for row, question, scores in zip(rows, questions, logits):
        start = len(row) - len(question.answer)
        hits += scores[start - 1 : len(row) - 1].argmax(-1).tolist() == question.answer
    return hits / len(questions)


def score(model: Llama, task: str, length: int, ntk_factor: float | None, rewrites: Rewrites, options) -> str:
    rng = random.Random(f"{options.seed} {task} {length}")
    scores = []
    for _ in range(options.contexts):
        context = build_context(rng, length, {task: FACTS[task]}, rewrites=rewrites)
        questions = draw_questions(rng, context, task, options.questions)
        scores.append(exact_matches(model, context, questions, ntk_factor))
    values = torch.tensor(scores)
    interval = 1.96 * values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{values.mean().item():.3f} ± {interval:.3f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m models.tiny.evaluate", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="checkpoint folders")
    parser.add_argument("--contexts", type=int, default=24, help="contexts per task and length (default 24)")
    parser.add_argument("--questions", type=int, default=8, help="questions per context (default 8)")
    parser.add_argument("--seed", type=int, default=777, help="seed of the contexts (default 777)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| checkpoint, tokens | " + " | ".join(FACTS) + " |")
    print("|---" * (len(FACTS) + 1) + "|")
    for folder in options.folders:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model = Llama(Config(vocabulary=settings["vocab_size"]))
        load_weights(model, folder)
        for length, ntk_factor, rewrites in LENGTHS:
            cells = [score(model, task, length, ntk_factor, rewrites, options) for task in FACTS]
            print(f"| {folder.name}, {length} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
