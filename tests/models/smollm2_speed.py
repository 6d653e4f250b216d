"""Prefill and decoding of SmolLM2, ours beside transformers (SDPA, float32), medians of one run.

    PYTHONPATH=. .venv/bin/python tests/models/smollm2_speed.py [--threads 2] [--repeats 5] [--chunk 1024]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from tests.models import smollm2
from tests.models.support import run_archive

LENGTHS = (1000, 2000, 3500)
DECODED = 32


def transformers_seconds(model, prompt: list[int]) -> tuple[float, float]:
    """Seconds of the prefill, and of DECODED further tokens."""
    with torch.no_grad():
        start = time.perf_counter()
        out = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
        prefill = time.perf_counter() - start
        start = time.perf_counter()
        for _ in range(DECODED):
            best = out.logits[:, -1].argmax(-1, keepdim=True)
            out = model(best, past_key_values=out.past_key_values, use_cache=True)
        return prefill, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=1024, help="most tokens of a step of ours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    archive = smollm2.bring()
    model = smollm2.transformers_model()
    text = (smollm2.ROOT / "tests" / "data" / "haystack" / "haystack.txt").read_text(encoding="utf-8")
    ids = smollm2.tokenizers_tokenizer().encode(text * 4).ids
    print("| tokens | ours prefill | transformers | ours decode | transformers |\n|---|---|---|---|---|")
    for length in LENGTHS:
        prompt, ours, theirs = ids[:length], [], []
        for _ in range(options.repeats):
            request = {"prompts": [{"ids": prompt}], "new_tokens": DECODED + 1, "threads": options.threads, "chunk": options.chunk}
            result = run_archive(archive, request)
            ours.append((result["prefill_seconds"], result["decode_seconds"]))
            theirs.append(transformers_seconds(model, prompt))
        (a, b), (c, d) = ([statistics.median(values) for values in zip(*runs)] for runs in (ours, theirs))
        print(
            f"| {length} | {length / a:.0f}/s | {length / c:.0f}/s | {DECODED / b:.1f}/s | {DECODED / d:.1f}/s |", flush=True
        )


if __name__ == "__main__":
    main()
