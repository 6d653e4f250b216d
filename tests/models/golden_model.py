"""Makes the archive of a golden recording through the real exporter: golden_model.py RECORDING.h5 ARCHIVE.pt

Writes the recorded weights as a Hugging Face folder beside the archive, exports that, and checks the archive's RoPE
frequencies against the recorded ones.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.numpy import save_file

from models.export.__main__ import main as export
from models.export.operator import register_attend


def write_folder(recording: h5py.File, folder: Path) -> None:
    a = recording.attrs
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": int(a["vocab"]),
        "hidden_size": int(a["hidden"]),
        "intermediate_size": int(a["intermediate"]),
        "num_hidden_layers": int(a["layers"]),
        "num_attention_heads": int(a["heads"]),
        "num_key_value_heads": int(a["kv_heads"]),
        "head_dim": int(a["head_dim"]),
        "max_position_embeddings": int(a["max_position"]),
        "rope_theta": float(a["rope_theta"]),
        "rms_norm_eps": float(a["rms_eps"]),
        "tie_word_embeddings": False,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(data[:]) for name, data in recording["weights"].items()}, folder / "model.safetensors")


def main() -> int:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    with h5py.File(source) as recording:
        folder = out.with_suffix(".folder")
        write_folder(recording, folder)
        rule = f"static-ntk:factor={recording.attrs['rope_factor']!s},alpha={recording.attrs['rope_alpha']!s}"
        code = export(["llama", "--from", str(folder), "--out", str(out), "--rope", rule, "--quiet"])
        if code != 0:
            return code
        register_attend()
        frequencies = torch.jit.load(out).inverse_frequencies.numpy()
        recorded = recording["rope/inv_freq"][:]
        if frequencies.dtype != np.float32 or not np.allclose(frequencies, recorded, rtol=2e-7, atol=0):
            print(f"RoPE frequencies of the archive: {frequencies}, recorded: {recorded}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
