"""`namm warm-start`: a memory file from attention traces that evolution starts from and policies use; the same bytes for any
number of threads; which labels were read; bad input."""

from __future__ import annotations

import json
from pathlib import Path

from program import SMOKE, Checks, Scratch, namm

checks = Checks()
FEW = ("--contexts", 2, "--steps", 30)


def warm_start(folder: Path) -> None:
    out = folder / "warm.h5"
    result = namm("warm-start", SMOKE, "--out", out, *FEW, "--threads", 1, "--json")
    if not checks.that(result.code == 0, "a memory is fitted", result):
        return
    report = json.loads(result.out)
    quality = report["quality"]
    # Smoke: 2 tasks, contexts of 256 tokens, a period of 64: 3 updates with a period behind them, 3 layers of 2 heads.
    checks.that(report["training_heads"] == 2 * 2 * 3 * 6 and report["held_out_heads"] == 2 * 3 * 6, "all heads are traced", report)
    checks.that(quality["warm_start_training"]["loss"] < quality["zero"]["loss"], "the loss has fallen", quality)
    checks.that(abs(quality["warm_start_training"]["kept"] - 0.8) < 0.01, "so many tokens score 0 or more", quality)
    checks.that(quality["zero"]["rank_correlation"] == 0 and quality["zero"]["kept"] == 1, "zeros tell nothing", quality)
    checks.that(report["labels"] == "none", "no label is used unless asked for", report)

    again = folder / "again.h5"
    result = namm("warm-start", SMOKE, "--out", again, *FEW, "--threads", 2)
    checks.that(result.code == 0 and "labels used: none" in result.out and "Spearman" in result.out, "the table", result)
    checks.that(again.read_bytes() == out.read_bytes(), "the same bytes with another number of threads")
    asked = folder / "asked.h5"
    result = namm("warm-start", SMOKE, "--out", asked, *FEW, "--labels", "questions", "--keep-fraction", 0.3, "--json")
    checks.that(result.code == 0, "with questions", result)
    report = json.loads(result.out)
    # The update at the end of a context has its questions behind it.
    checks.that(report["training_heads"] == 2 * 2 * 4 * 6 and report["labels"] == "questions", "and their update", report)
    checks.that(abs(report["quality"]["warm_start_training"]["kept"] - 0.3) < 0.01, "another fraction", report)

    for file, labels in ((out, "none"), (asked, "questions")):
        result = namm("describe", file, "--json")
        described = json.loads(result.out)
        provenance = described["provenance"]
        checks.that(
            provenance["labels"] == labels
            and provenance["origin"].startswith("warm start")
            and provenance["tasks"] == "needle/hop, needle/stale",
            "the file says where it comes from",
            described,
        )
    run = folder / "run"
    result = namm("run", SMOKE, f"stages.0.evolve.start={out}", "stages.0.evolve.generations=1", "--out", run)
    checks.that(result.code == 0 and (run / "memory.h5").exists(), "evolution starts from it", result)
    evaluate = folder / "evaluate.yaml"
    evaluate.write_text(
        f"base: {SMOKE}\nname: judged\nmemory: {{file: {out}}}\n"
        "stages: [{evaluate: {tasks: [needle/hop], policies: [full, namm], contexts_per_task: 2}}]\n"
    )
    result = namm("run", evaluate, "--out", folder / "judged", "--json")
    checks.that(result.code == 0, "an evaluate stage uses it", result)
    rows = {row["policy"]: row["cells"]["needle/hop"] for row in json.loads(result.out)["rows"]}
    checks.that(0 < rows["namm"]["cache_fraction"] < 1, "and it forgets", rows)


def bad_input(folder: Path) -> None:
    out = folder / "never.h5"
    evaluate = folder / "only.yaml"
    evaluate.write_text(f"base: {SMOKE}\nname: only\nstages: [{{evaluate: {{tasks: [needle/hop], policies: [full]}}}}]\n")
    refused = checks.refused
    refused(namm("warm-start", evaluate, "--out", out), 2, "only", "evolve stage")
    refused(namm("warm-start", folder / "none.yaml", "--out", out), 2, "none.yaml")
    refused(namm("warm-start", SMOKE, "model.archive=nowhere.pt", "--out", out), 3, "nowhere.pt", "no such model archive")
    refused(namm("warm-start", SMOKE, "--out", out, "--contexts", 0), 2, "--contexts")
    refused(namm("warm-start", SMOKE, "--out", out, "--steps", 0), 2, "--steps")
    refused(namm("warm-start", SMOKE, "--out", out, "--keep-fraction", 1), 2, "--keep-fraction")
    refused(namm("warm-start", SMOKE, "--out", out, "--labels", "all"), 2, "--labels")
    refused(namm("warm-start", SMOKE), 2, "--out")
    refused(namm("warm-start", SMOKE, "--out", folder / "nowhere" / "memory.h5"), 2, "--out", "nowhere")
    refused(namm("warm-start", SMOKE, "seeed=1", "--out", out), 2, "seeed")
    mix = ("memory.scorer=mix", "memory.transformer.layers=3", "memory.transformer.kv_heads=2")
    refused(namm("warm-start", SMOKE, *mix, "--out", out), 2, "memory.scorer = mix")
    refused(namm("warm-start", SMOKE, "task.context_tokens=64", "--out", out, *FEW), 3, "period_tokens = 64", "--labels questions")
    checks.that(not out.exists(), "nothing is written")


with Scratch() as scratch:
    warm_start(scratch)
    bad_input(scratch)
checks.finish()
