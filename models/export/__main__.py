"""Command line of the exporter: one sub-command a model family."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.export.errors import ExportError

EPILOG = """\
RoPE rules for --rope (keys in brackets have defaults):
  plain[:theta=B]
  linear:factor=F                        frequencies divided by F
  static-ntk:factor=F,alpha=A            base * (A*F - (A-1))^(d/(d-2)), the same at every length
  llama3:factor=F,low=L,high=H,original=N
  yarn:factor=F,original=N[,beta_fast=32,beta_slow=1,attention=A]
  dynamic-ntk:factor=F,original=N        frozen for texts of --max-positions tokens
  every rule takes frequencies=bfloat16 as well: rounds the frequencies, as a model cast to bfloat16 as a whole has them
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m models.export",
        description="Makes one archive (weights, tokenizer, contract) that namm runs without Python.",
    )
    families = parser.add_subparsers(dest="family", required=True, metavar="FAMILY")
    llama = families.add_parser(
        "llama",
        help="Llama, Mistral, Qwen2, Qwen3, Phi-3 and models of the same shape (SmolLM2, TinyLlama, ...)",
        description="Exports a Llama, Mistral, Qwen2, Qwen3 or Phi-3 from a Hugging Face folder (config.json, safetensors) or a "
        "GGUF file. RoPE rules that depend on the length of the text (dynamic NTK, LongRoPE) are frozen for --max-positions.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    llama.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR|FILE.gguf", help="the model to export")
    llama.add_argument("--out", type=Path, required=True, metavar="FILE", help="the archive to write (.pt)")
    llama.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the weights (default float32)")
    llama.add_argument("--rope", metavar="RULE", help="replaces the model's own RoPE rule, see below")
    llama.add_argument("--max-positions", type=int, metavar="N", help="replaces the model's own context length")
    llama.add_argument("--no-tokenizer", action="store_true", help="leave the tokenizer out: the archive takes ids only")
    llama.add_argument(
        "--step-eager", action="store_true", help="add the method step_eager: plain attention, its matrices returned (for tests)"
    )
    llama.add_argument(
        "--clean-up-spaces",
        action="store_true",
        help="obey clean_up_tokenization_spaces of tokenizer_config.json, as transformers before 5.4: decoded text loses the "
        "spaces before punctuation",
    )
    llama.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        from models.export.command import export_llama

        export_llama(options)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
