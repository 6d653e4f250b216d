"""`namm generate --protect` and `memory.protect`: marked text outlives every budget, what goes beyond it is said."""

from __future__ import annotations

import json
from pathlib import Path

from program import ARCHIVE, Checks, Scratch, namm

checks = Checks()
MODEL = ("generate", "--model", ARCHIVE, "--ignore-eos", "--json", "--max-new-tokens", 1)
TEXT = "the key of paris is 4271 . " * 8 + "SYSTEM never forget this line END " + "the key of rome is 99 . " * 40


def answer(prompt: Path, *arguments: object) -> dict:
    result = namm(*MODEL, "--prompt", prompt, *arguments)
    if not checks.that(result.code == 0, f"exit code 0 for {arguments}", result):
        return {"cached_tokens": 0, "excess_tokens": -1, "prompt_tokens": 0}
    return json.loads(result.out)


def generate(folder: Path) -> None:
    prompt = folder / "prompt.txt"
    prompt.write_text(TEXT)
    budget = ("--policy", "l2", "--budget", "tokens=40", "--period-tokens", 128)
    plain = answer(prompt, *budget)
    checks.that(plain["prompt_tokens"] > 256, "the prompt has two updates", plain)
    checks.that(plain["excess_tokens"] == 0, "nothing is protected", plain)
    narrow = answer(prompt, *budget, "--protect", "{text: [{from: SYSTEM, to: END}]}")
    checks.that(narrow["cached_tokens"] == plain["cached_tokens"], "what is protected counts in the budget", narrow)
    tight = ("--policy", "l2", "--budget", "tokens=5", "--period-tokens", 128)
    over = answer(prompt, *tight, "--protect", "{text: [{from: SYSTEM, to: END}], recent_tokens: 3}")
    few = answer(prompt, *tight)
    checks.that(over["excess_tokens"] > 0, "the excess is reported", over)
    checks.that(
        over["cached_tokens"] == few["cached_tokens"] + over["excess_tokens"], "and is what the cache has more", (over, few)
    )
    quiet = [argument for argument in MODEL if argument != "--json"]
    said = namm(*quiet, "--prompt", prompt, *tight, "--protect", "{text: [{from: SYSTEM, to: END}]}")
    checks.that(said.code == 0 and "more than the budget" in said.err, "a warning says so", said)
    for protect, code, text in (
        ("{text: [{from: SYSTEM, to: NOWHERE}]}", 3, '"SYSTEM" to "NOWHERE" is not in the text'),
        ("{text: [{from: ''}]}", 2, "from"),
        ("{text: [{to: END}]}", 2, "from"),
        ("{sink: 3}", 2, "sinks"),
        ("{sinks: -3}", 2, "sinks"),
        ("{sinks: [", 2, "--protect"),
        ("3", 2, "--protect"),
    ):
        result = namm(*MODEL, "--prompt", prompt, *tight, "--protect", protect)
        checks.that(result.code == code and text in result.err, f"--protect {protect}", result)
    file = folder / "cache.h5"
    protect = ("--protect", "{text: [{from: SYSTEM, to: END}]}")
    answer(prompt, *tight, *protect, "--save-cache", file)
    behind = folder / "behind.txt"
    behind.write_text("the key of paris is ? " * 30)
    loaded = answer(behind, *tight, *protect, "--load-cache", file)
    checks.that(loaded["excess_tokens"] > 0, "a saved cache stays marked", loaded)
    refused = namm(*MODEL, "--load-cache", file, *tight)
    checks.that(refused.code == 3 and "memory.protect" in refused.err, "other protection is refused", refused)


def run(folder: Path) -> None:
    config = folder / "run.yaml"
    config.write_text(
        f"name: protected\nmodel: {{archive: {ARCHIVE}}}\n"
        "memory: {period_tokens: 128, protect: {sinks: 4, recent_tokens: 60}}\n"
        "task: {context_tokens: 300, questions_per_context: 2}\n"
        "stages:\n  - evaluate: {tasks: [needle/hop], policies: [full, recency, l2, random], budget: {tokens: 20}, contexts_per_task: 2}\n"
    )
    result = namm("run", config, "--out", folder / "run")
    if not checks.that(result.code == 0, "a run with protected tokens", result):
        return
    table = namm("table", folder / "run", "--json")
    rows = {row["policy"]: row["cells"]["needle/hop"] for row in json.loads(table.out)["rows"]}
    checks.that(rows["full"]["excess_tokens"] == 0, "the full cache has no budget", rows)
    for policy in ("recency", "l2", "random"):
        checks.that(rows[policy]["excess_tokens"] == 44, f"{policy}: 64 protected, 20 allowed", rows)
    text = namm("table", folder / "run")
    checks.that("‡" in text.out and "44" in text.out, "the table says so", text)
    missing = namm("run", config, "--out", folder / "missing", "memory.protect.text=[{from: NOWHERE}]")
    checks.that(
        missing.code == 3 and "needle/hop" in missing.err and "NOWHERE" in missing.err, "a mark that no context has", missing
    )


with Scratch() as folder:
    generate(folder)
    run(folder)
checks.finish()
