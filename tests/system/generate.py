"""`namm generate`: sampling, stop texts, many questions of one context, what was forgotten, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from program import ARCHIVE, ENVIRONMENT, PROGRAM, Checks, Scratch, namm, wait_for

checks = Checks()
MODEL = ("generate", "--model", ARCHIVE)
CONTEXT = " . ".join(f"code {name} {place}" for name, place in (("amber", "paris"), ("basil", "rome"), ("cedar", "oslo"))) + " . "


def answer(*arguments: object) -> dict:
    result = namm(*MODEL, "--json", *arguments)
    if not checks.that(result.code == 0, f"exit code 0 for {arguments}", result):
        return {"ids": [], "text": "", "answers": [], "held": []}
    return json.loads(result.out)


def sampling(context: Path) -> None:
    prompt = ("--prompt", context, "--max-new-tokens", 30, "--ignore-eos")
    greedy = answer(*prompt)["ids"]
    hot = ("--temperature", 1.5)
    first = answer(*prompt, *hot, "--seed", 1)["ids"]
    checks.that(answer(*prompt, *hot, "--seed", 1)["ids"] == first, "a seed gives the same answer", first)
    checks.that(answer(*prompt, *hot, "--seed", 2)["ids"] != first, "another seed another one", first)
    checks.that(first != greedy, "a hot answer is not the greedy one", first)
    checks.that(answer(*prompt, *hot, "--top-k", 1)["ids"] == greedy, "one candidate is the most likely token", greedy)
    checks.that(answer(*prompt, *hot, "--top-p", 0.000001)["ids"] == greedy, "so is the smallest share", greedy)


def peaks() -> None:
    """What a cache takes at most is told before it is read (public report memory-14)."""
    ids = ("--ids", ",".join(str(3 + i * 7 % 240) for i in range(2048)), "--max-new-tokens", 0, "--period-tokens", 128)
    full = answer(*ids)
    token_bytes = full["predicted_peak_cache_bytes"] / 2048
    budgets = {"tokens=128": (128, 256), "fraction=0.25": (512, 480 + 128), f"bytes={int(token_bytes) * 300}": (300, 300 + 128)}
    for policy in ("recency", "l2", "h2o", "snapkv", "adakv", "pyramidkv", "keydiff"):
        for budget, (kept, most) in budgets.items():
            run = answer(*ids, "--policy", policy, "--budget", budget)
            name = f"{policy}, {budget}"
            checks.that(abs(run["cached_tokens"] - kept) <= 1, f"{name}: tokens kept", run)
            checks.that(abs(run["predicted_peak_cache_bytes"] / token_bytes - most) <= 1, f"{name}: predicted", run)
            ratio = run["peak_cache_bytes"] / run["predicted_peak_cache_bytes"]
            checks.that(abs(ratio - 1) <= 0.02, f"{name}: measured {ratio:.3f} of it", run)
            checks.that((run["peak_record_bytes"] > 0) == (policy in ("h2o", "snapkv", "adakv", "pyramidkv")), f"{name}: queries", run)
    checks.that(answer(*ids, "--policy", "namm")["predicted_peak_cache_bytes"] is None, "a threshold cannot be told before", full)


def stops(context: Path) -> None:
    prompt = ("--prompt", context, "--max-new-tokens", 30, "--ignore-eos")
    whole = answer(*prompt)
    words = whole["text"].split(" ")
    checks.that(len(words) > 6, "the answer has words", whole)
    stop = next(word for word in words[3:] if word and word not in words[:3])
    cut = answer(*prompt, "--stop", "no such text", "--stop", stop)
    expected = whole["text"][: whole["text"].index(stop)]
    checks.that(cut["text"] == expected, f"the answer ends before {stop!r}", (cut, whole))
    checks.that(len(cut["ids"]) < 30 and cut["ids"] == whole["ids"][: len(cut["ids"])], "and is read no further", cut)
    streamed = namm(*MODEL, *prompt, "--stop", stop)
    checks.that(streamed.out == expected + "\n", "the streamed text is the same", streamed)


def questions(context: Path, folder: Path) -> None:
    asked = ["question code amber", "question code cedar", "question code basil"]
    file = folder / "questions.txt"
    file.write_text("\n".join(asked[:2]) + "\n\n  " + asked[2] + "\r\n")
    policy = ("--policy", "l2", "--budget", "tokens=12", "--period-tokens", 16)
    together = answer("--prompt", context, "--questions", file, "--max-new-tokens", 8, *policy)
    checks.that([one["question"] for one in together["answers"]] == asked, "a question in each line", together)
    cache = folder / "context.h5"
    answer("--prompt", context, "--max-new-tokens", 0, "--save-cache", cache, *policy)
    for one in together["answers"]:
        single = folder / "question.txt"
        single.write_text(one["question"])
        alone = answer("--load-cache", cache, "--prompt", single, "--max-new-tokens", 8, *policy)
        checks.that(one["ids"] == alone["ids"], f"{one['question']}: the same answer as alone", (one, alone))
    shown = namm(*MODEL, "--prompt", context, "--questions", file, "--max-new-tokens", 8, *policy)
    checks.that(all(f"> {question}\n" in shown.out for question in asked), "questions stand above answers", shown)


def forgotten(context: Path) -> None:
    policy = ("--policy", "recency", "--budget", "tokens=5", "--period-tokens", 8)
    document = answer("--prompt", context, "--show-forgotten", "--max-new-tokens", 1, *policy)
    held = document["held"]
    checks.that(len(held) == document["prompt_tokens"], "a share a token", document)
    checks.that(abs(sum(held) - document["cached_tokens"]) < 1e-9, "the shares add up to the cache", document)
    checks.that(set(held) == {0, 1}, "recency keeps the same tokens in all heads", held)
    plain = namm(*MODEL, "--prompt", context, "--show-forgotten", "--max-new-tokens", 0, *policy)
    marked = plain.out.split("\n")[0]
    checks.that("[-" in marked and "\033" not in plain.out, "marks without colours where it is no terminal", plain)
    checks.that(marked.replace("[-", "").replace("-]", "") .endswith(CONTEXT), "the text itself is unchanged", plain)
    colored = namm(*MODEL, "--prompt", context, "--show-forgotten", "--color", "always", "--max-new-tokens", 0, *policy)
    checks.that("\033[9;31m" in colored.out and "held by all heads" in colored.out, "colours and a legend on demand", colored)


def handles(process: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    (caught,) = (line.split()[1] for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def processor_seconds(process: int) -> float:
    times = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def interrupted(context: Path) -> None:
    for form in (("--json",), ()):
        process = subprocess.Popen(
            [str(PROGRAM), *map(str, (*MODEL, *form, "--prompt", context, "--ignore-eos", "--max-new-tokens", 1000000))],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # The text comes as it is answered, the document at the end: a second of computing after the handler is there.
        begun = b"" if form else os.read(process.stdout.fileno(), 4096)
        checks.that(not form or wait_for(lambda: handles(process.pid, signal.SIGINT)), "the prompt is being read", process.poll())
        before = processor_seconds(process.pid)
        checks.that(wait_for(lambda: processor_seconds(process.pid) > before + 1), "the answer goes on", process.poll())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
        out = begun + out
        seen = (process.returncode, out[:200], err[-300:])
        checks.that(process.returncode == 130, "Ctrl-C: exit code 130", seen)
        if form:
            document = json.loads(out)
            checks.that(document["interrupted"] and len(document["ids"]) > 0, "and what was answered", seen)
        else:
            checks.that(len(out.split()) > 1, "and what was answered", seen)


def refused(context: Path, folder: Path) -> None:
    empty = folder / "empty.txt"
    empty.write_text("\n  \n")
    cases = [
        (("--prompt", context, "--temperature", -1), 2, "--temperature"),
        (("--prompt", context, "--top-p", 0), 2, "--top-p"),
        (("--prompt", context, "--top-k", -3), 2, "--top-k"),
        (("--prompt", context, "--questions", empty), 3, "there is no question in it"),
        (("--prompt", context, "--questions", folder / "none.txt"), 3, "none.txt"),
        (("--prompt", context, "--ids", "1,2"), 2, "exclude each other"),
        (("--prompt", context, "--budget", "tokens=9"), 2, "policy full takes none"),
        (("--prompt", context, "--policy", "namm", "--budget", "fraction=0.5"), 2, "policy namm takes none"),
        (("--prompt", context, "--chat", "--questions", empty), 2, "no chat form"),
        (("--questions", empty), 2, "--prompt"),
    ]
    for arguments, code, text in cases:
        result = namm(*MODEL, *arguments)
        checks.that(result.code == code and text in result.err, f"{arguments}", result)
    cache = folder / "cache.h5"
    answer("--prompt", context, "--max-new-tokens", 0, "--save-cache", cache)
    result = namm(*MODEL, "--load-cache", cache, "--show-forgotten")
    checks.that(result.code == 2 and "--show-forgotten" in result.err, "the text of a saved cache", result)


with Scratch() as folder:
    context = folder / "context.txt"
    context.write_text(CONTEXT)
    sampling(context)
    peaks()
    stops(context)
    questions(context, folder)
    forgotten(context)
    interrupted(context)
    refused(context, folder)
checks.finish()
