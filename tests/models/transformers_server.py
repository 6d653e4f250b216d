"""`transformers` as the baseline of `namm bench models`: a request a line on standard input, an answer a line on standard output.

    python -m tests.models.transformers_server --model smollm2|small --threads N

float32, SDPA attention. The first line answers {"ready": true} or {"unavailable": REASON}. A request is {"ids": [...],
"new_tokens": N}; its answer has the greedy "ids", "prefill_seconds" and "decode_seconds", of the N - 1 steps after the first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings

from tests.models.support import ROOT


def small_model():
    """The shipped small model, with the frequencies that its archive was exported with."""
    import torch
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    from models.export.rope import Rope
    from tests.models.support import contract_of

    folder = ROOT / "models" / "tiny" / "checkpoint"
    config = json.loads((folder / "config.json").read_text())
    model = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="sdpa"))
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    if missing not in ([], ["lm_head.weight"]) or unexpected:
        raise ValueError(f"{folder}: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    rope = contract_of(ROOT / "models" / "tiny" / "tiny-llama.pt")["rope"]
    numbers = {key: rope[key] for key in ("factor", "alpha")}
    frequencies = Rope(rope["rule"], rope["theta"], numbers).inverse_frequencies(config["head_dim"])
    with torch.no_grad():
        model.model.rotary_emb.inv_freq.copy_(frequencies)
    return model.eval()


def smollm2_model():
    from tests.models import smollm2

    if not smollm2.GGUF.exists():
        raise FileNotFoundError(f"{smollm2.GGUF.relative_to(ROOT)} is missing: ./experiments/get-smollm2 brings it")
    return smollm2.transformers_model()


def answer(model, ids: list[int], new_tokens: int) -> dict:
    import torch

    with torch.no_grad():
        start = time.perf_counter()
        out = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        best = out.logits[:, -1].argmax(-1, keepdim=True)
        prefill_seconds = time.perf_counter() - start
        answered = [best]
        start = time.perf_counter()
        for _ in range(new_tokens - 1):
            out = model(best, past_key_values=out.past_key_values, use_cache=True)
            best = out.logits[:, -1].argmax(-1, keepdim=True)
            answered.append(best)
        decode_seconds = time.perf_counter() - start
    greedy = torch.cat(answered).flatten().tolist()
    return {"ids": greedy, "prefill_seconds": prefill_seconds, "decode_seconds": decode_seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("smollm2", "small"), required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    replies = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no reply

    def reply(content: dict) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    warnings.simplefilter("ignore")  # of interfaces that a later version of transformers renames
    try:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.set_num_threads(options.threads)
        model = smollm2_model() if options.model == "smollm2" else small_model()
    except (ImportError, FileNotFoundError) as error:
        reply({"unavailable": str(error)})
        return
    reply({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        reply(answer(model, request["ids"], request["new_tokens"]))


if __name__ == "__main__":
    main()
