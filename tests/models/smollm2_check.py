"""SmolLM2 through our archive against `transformers` and `tokenizers`: ids of texts, perplexity, 48 greedy tokens of 20 prompts.

A comparison of greedy ids ends, counted, where the best two logits of transformers lie within the margin of the table of
tolerances (tests/support/tolerances.h, other_program::greedy_margin).
"""

from __future__ import annotations

import json
import random
import sys
import unittest

import torch

from tests.models import smollm2
from tests.models.support import ROOT, archive_logits, run_archive
from tests.models.tokenizers_test import some_text

GREEDY_MARGIN = 1e-3
NEW_TOKENS = 48

PROMPTS = [
    ("The capital of France is", False),
    ("Once upon a time, in a village by the sea,", False),
    ("Water boils at 100 degrees, and freezes at", False),
    ("1, 2, 3, 5, 8, 13,", False),
    ("The three laws of motion are", False),
    ("def fibonacci(n):\n    ", False),
    ("#include <stdio.h>\n\nint main(void) {\n", False),
    ("SELECT name, COUNT(*) FROM orders WHERE year = 2024 ", False),
    ("class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n", False),
    ("吾輩は猫である。名前は", False),
    ("日本の首都は", False),
    ("東京から大阪まで新幹線で", False),
    ("I love pizza 🍕 and", False),
    ("🎉🎉🎉 Happy birthday", False),
    ("Les misérables est un roman de", False),
    ("What is the capital of France?", True),
    ("Write a haiku about the sea.", True),
    ("List the prime numbers below 30.", True),
    ("Explain in one sentence what a hash table is.", True),
    ("「ありがとう」を英語に訳してください。", True),
]


def texts() -> list[str]:
    """Prompts, running text, and the records of LongBench that the repository holds."""
    result = [text for text, _ in PROMPTS]
    result += ["a  5  b 12  c\t7", "tabs\t\tand\r\nlines\r\n\r\nend  ", "x = 3.14159; // 42", "½ ² Ⅷ ١٢٣ 一二三", ""]
    result += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests" / "data" / "haystack").glob("*.txt"))]
    for path in sorted((ROOT / "tests" / "data" / "longbench" / "data").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            result += [value for value in record.values() if isinstance(value, str)]
    return result


class SmolLm2Test(unittest.TestCase):
    def setUp(self) -> None:
        self.archive = smollm2.bring()
        self.tokenizer = smollm2.tokenizers_tokenizer()

    def test_tokenizer(self) -> None:
        all_texts = texts()
        rows = run_archive(self.archive, {"prompts": [{"text": text} for text in all_texts]})["rows"]
        tokens = 0
        for text, row in zip(all_texts, rows):
            expected = self.tokenizer.encode(text, add_special_tokens=False).ids
            self.assertEqual(row["prompt"], expected, text[:80])
            tokens += len(expected)
        print(f"tokenizer: {len(all_texts)} texts, {tokens} ids compared")

    def test_tokenizer_on_random_texts(self) -> None:
        rng = random.Random(17)
        all_texts = [some_text(rng) for _ in range(20_000)]
        rows = run_archive(self.archive, {"prompts": [{"text": text} for text in all_texts]})["rows"]
        different = 0
        for text, row in zip(all_texts, rows, strict=True):
            # What is typed stays text: special tokens are not among these.
            if any(token.content in text for token in self.tokenizer.get_added_tokens_decoder().values()):
                continue
            different += row["prompt"] != self.tokenizer.encode(text, add_special_tokens=False).ids
        self.assertEqual(different, 0, f"of {len(all_texts)}")
        print(f"tokenizer: {len(all_texts)} random texts compared")

    def test_perplexity(self) -> None:
        """Of running text, in chunks of ours and in one pass of transformers."""
        text = (ROOT / "tests" / "data" / "haystack" / "haystack.txt").read_text(encoding="utf-8")
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids[:1500]
        model = smollm2.transformers_model()
        with torch.no_grad():
            theirs = model(torch.tensor([ids])).logits[0]
        ours = torch.from_numpy(archive_logits(self.archive, [ids], 512)[0])
        both = [
            float(torch.nn.functional.cross_entropy(logits[:-1].double(), torch.tensor(ids[1:])).exp()) for logits in (ours, theirs)
        ]
        print(f"perplexity of {len(ids) - 1} tokens: {both[0]:.6f}, transformers {both[1]:.6f}")
        self.assertLess(abs(both[0] - both[1]), 1e-3)

    def test_greedy_ids(self) -> None:
        model = smollm2.transformers_model()
        request = {
            "prompts": [{"text": text, "chat": chat} for text, chat in PROMPTS],
            "new_tokens": NEW_TOKENS,
            "stop": True,
            "threads": torch.get_num_threads(),
        }
        rows = run_archive(self.archive, request)["rows"]
        together = run_archive(self.archive, request | {"together": True})["rows"]
        compared, ended = 0, 0
        for (text, chat), row, packed in zip(PROMPTS, rows, together):
            with self.subTest(text):
                whole = smollm2.CHAT_PREFIX + text + smollm2.CHAT_SUFFIX if chat else text
                prompt = self.tokenizer.encode(whole, add_special_tokens=False).ids
                self.assertEqual(row["prompt"], prompt)
                with torch.no_grad():
                    theirs = model.generate(
                        torch.tensor([prompt]), max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=2, pad_token_id=2,
                        return_dict_in_generate=True, output_logits=True,
                    )  # fmt: skip
                expected = theirs.sequences[0, len(prompt) :].tolist()
                margins = [float(best[0] - best[1]) for best in (logits[0].topk(2).values for logits in theirs.logits)]
                sure = next((i for i, margin in enumerate(margins) if margin < GREEDY_MARGIN), len(expected))
                ended += sure < len(expected)
                compared += sure
                self.assertEqual(row["generated"][:sure], expected[:sure])
                self.assertEqual(packed["generated"][:sure], expected[:sure])
        print(f"greedy: {len(PROMPTS)} prompts, {compared} ids compared (alone and together), {ended} ended at a near tie")


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
