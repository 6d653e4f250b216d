"""The paper's own configurations: described without the model being there, and stages 1 and 2 run with model and sizes
overridden to the small ones, the second beginning with the whole state of the first."""

from __future__ import annotations

import json

from program import ROOT, Checks, Scratch, log_rows, namm

checks = Checks()
RUN = ROOT / "configs" / "run"
RECORDS = ROOT / "tests" / "data" / "longbench"


def small(stage: int, *more: str) -> list[object]:
    return [
        "run",
        RUN / f"paper-stage-{stage}.yaml",
        f"model.base={ROOT / 'configs' / 'model' / 'tiny-llama.yaml'}",
        f"data={{longbench: {RECORDS}}}",
        "evolution.population=2",
        "evolution.keep_checkpoints=2",
        "task.max_prompt_tokens=640",
        "stages.0.evolve.generations=1",
        "stages.0.evolve.contexts_per_task=1",
        "stages.0.evolve.validation.contexts_per_task=1",
        "stages.0.evolve.calibration.contexts_per_task=1",
        *more,
    ]


for stage in (1, 2, 3):
    result = namm("describe", RUN / f"paper-stage-{stage}.yaml", "--json")
    if checks.that(result.code == 0, f"stage {stage} is described without its model", result):
        said = json.loads(result.out)
        checks.that(said["memory"]["parameters"] == 4172, "4172 parameters", said["memory"])
        checks.that(said["work"][0]["evaluations_per_generation"] == 32 * 64 * stage, "32 members x 64 prompts a task", said["work"])
        items = 32 * 64 * stage + 64 * stage
        checks.that(said["work"][0]["items_per_generation"] == items, "the full cache's items are counted", said["work"])
        origins = {value["path"]: value["origin"] for value in said["values"]}
        checks.that("cma-es-parity.yaml:" in origins["evolution.parity"], "values name the file they come from", origins)

with Scratch() as folder:
    first = namm(*small(1, "--out", str(folder / "one")))
    checks.that(first.code == 0, "stage 1 runs with the small model", first)
    second = namm(*small(2, f"stages.0.evolve.start={folder / 'one'}", "--out", str(folder / "two")))
    checks.that(second.code == 0, "stage 2 begins with the state of stage 1", second)
    generations = [row["generation"] for row in log_rows(folder / "one") + log_rows(folder / "two")]
    checks.that(generations == [0, 1], "generations are counted through", generations)
    missing = namm("run", RUN / "paper-stage-1.yaml", "--out", folder / "never")
    checks.that(missing.code == 3 and "meta-llama/Meta-Llama-3-8B" in missing.err, "the missing model is named", missing)
    checks.that(not (folder / "never").exists(), "nothing is written without the model")
checks.finish()
