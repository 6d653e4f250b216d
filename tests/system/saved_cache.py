"""`namm generate --save-cache` and `--load-cache`: another process goes on bit for bit, and refuses what does not belong together."""

from __future__ import annotations

import json
from pathlib import Path

from program import ARCHIVE, Checks, Scratch, namm

checks = Checks()
MODEL = ("generate", "--model", ARCHIVE, "--ignore-eos", "--json")
# 300 prompt tokens: two updates of the shipped memory and a tail.
PROMPT = ",".join(str(3 + (7 * i * i + i) % 240) for i in range(300))
QUESTION = ",".join(str(3 + (5 * i) % 240) for i in range(30))


def answer(*arguments: object) -> dict:
    result = namm(*MODEL, *arguments)
    if not checks.that(result.code == 0, f"exit code 0 for {arguments}", result):
        return {}
    return json.loads(result.out)


def goes_on(folder: Path, settings: tuple) -> None:
    file = folder / "cache.h5"
    straight = answer("--ids", PROMPT, "--max-new-tokens", 40, *settings)
    saving = answer("--ids", PROMPT, "--max-new-tokens", 40, "--save-cache", file, *settings)
    loaded = answer("--load-cache", file, "--max-new-tokens", 40, *settings)
    checks.that(len(straight["ids"]) == 40, f"{settings}: 40 tokens", straight)
    for name, other in (("saving", saving), ("loading", loaded)):
        for key in ("ids", "prompt_tokens", "cached_tokens", "cache_bytes", "final_cache_bytes", "policy"):
            checks.that(other[key] == straight[key], f"{settings}, {name}: {key}", (other, straight))
    together = answer("--ids", f"{PROMPT},{QUESTION}", "--max-new-tokens", 40, "--chunk-tokens", 100, *settings)
    first = answer("--ids", PROMPT, "--max-new-tokens", 0, "--chunk-tokens", 100, "--save-cache", file, *settings)
    checks.that(first["ids"] == [], "no answer was asked for", first)
    # A chunk ends where the prompt did.
    behind = answer("--load-cache", file, "--ids", QUESTION, "--max-new-tokens", 40, "--chunk-tokens", 100, *settings)
    checks.that(behind["ids"] == together["ids"], f"{settings}: a prompt behind a saved one", (behind, together))
    checks.that(behind["prompt_tokens"] == 330, "both prompts are counted", behind)


def refused(folder: Path) -> None:
    file = folder / "refused.h5"
    policy = ("--policy", "namm")
    answer("--ids", PROMPT, "--max-new-tokens", 0, "--save-cache", file, *policy)
    cases = [
        ((), "policy = namm, this command has full"),
        (("--policy", "h2o", "--budget", "tokens=100"), "policy = namm, this command has h2o"),
        ((*policy, "--period-tokens", 64), "memory.period_tokens = 128, this command has 64"),
        ((*policy, "--positions", "compacted"), "memory.positions = original, this command has compacted"),
        ((*policy, "--chunk-tokens", 7), "chunk_tokens = 1024, this command has 7"),
        ((*policy, "--backend", "check"), "memory.backend = auto, this command has check"),
    ]
    for arguments, text in cases:
        result = namm(*MODEL, "--load-cache", file, *arguments)
        checks.that(result.code == 3 and "refused.h5" in result.err and text in result.err, text, result)
    # A seed counts where the policy draws.
    answer("--load-cache", file, "--max-new-tokens", 4, "--seed", 5, *policy)
    draws = ("--policy", "random", "--budget", "tokens=100")
    drawn = folder / "drawn.h5"
    answer("--ids", PROMPT, "--max-new-tokens", 0, "--save-cache", drawn, *draws)
    result = namm(*MODEL, "--load-cache", drawn, *draws, "--seed", 5)
    checks.that(result.code == 3 and "memory.seed = 1, this command has 5" in result.err, "another seed", result)
    bytes_ = file.read_bytes()
    for name, content in {
        "cut": bytes_[: len(bytes_) // 2],
        "bit": bytes_[:9000] + bytes([bytes_[9000] ^ 4]) + bytes_[9001:],
        "empty": b"",
        "text": b"no cache",
        "memory": (ARCHIVE.parent / "namm.h5").read_bytes(),
    }.items():
        damaged = folder / f"{name}.h5"
        damaged.write_bytes(content)
        result = namm(*MODEL, "--load-cache", damaged, *policy)
        checks.that(result.code == 3 and f"{name}.h5" in result.err and "terminate" not in result.err, name, result)
    result = namm(*MODEL, "--load-cache", folder / "none.h5", *policy)
    checks.that(result.code == 3 and "none.h5" in result.err, "a file that is missing", result)
    result = namm(*MODEL, "--ids", "1", "--save-cache", folder / "no" / "folder.h5")
    checks.that(result.code == 4 and "folder.h5" in result.err, "a folder that is missing", result)


with Scratch() as folder:
    for settings in (
        (),
        ("--policy", "namm"),
        ("--policy", "namm", "--positions", "compacted"),
        ("--policy", "h2o", "--budget", "fraction=0.3", "--period-tokens", 64),
        ("--policy", "random", "--budget", "tokens=60", "--period-tokens", 100),
    ):
        goes_on(folder, settings)
    refused(folder)
checks.finish()
