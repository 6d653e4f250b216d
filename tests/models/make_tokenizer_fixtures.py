"""Records what the library `tokenizers` gives for small byte-level BPEs: tests/data/tokenizers/*.json.

Run from the repository root after a change: PYTHONPATH=. .venv/bin/python tests/models/make_tokenizer_fixtures.py
A BPE is trained on generated text, so that no foreign vocabulary is copied; every splitting rule is recorded, once with
some bytes taken out of the vocabulary.
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from models.export.tokenizer import LLAMA3_PATTERN, QWEN2_PATTERN, from_tokenizer_json

OUT = Path(__file__).resolve().parents[1] / "data" / "tokenizers"

WORDS = (
    "the memory of a model forgets what it will not need again and keeps the rest 2024 1999 we'll it's they've don't "
    "def forget(tokens): return [t for t in tokens if t > 0] naïve café über größe 東京 大阪 です ます привет мир 🙂 👍 "
    "x = 3.14159; y += 42 -- !? (a) [b] {c} <d> \t\n"
).split(" ")


def byte_level(use_regex: bool) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


SPLITTERS = {
    "gpt2": byte_level(True),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
    "llama3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated"), byte_level(False)]),
    "qwen2": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"), byte_level(False)]),
}


def texts(rng: random.Random) -> list[str]:
    fixed = [
        "",
        " ",
        "\n",
        "id 1234567.5",
        "We'LL see",
        "a   b\n\n  c",
        "a  5  b 12  c\t7",
        "k != 3 , why ?",
        "the 'scale' of 'may'",
        "a . b",
        "it's they've we'll don't I'M you'D",
        "\u0085x\u00a0y\u2003z\u3000w\u180ev\u200bu\u1680t",
        "½ ² Ⅷ ൬ ١٢٣ 一二三 ①",
        "e\u0301 क्षि ก็ 한국어 مرحبا שלום",
        "👨‍👩‍👧‍👦🏳️‍🌈 \U0001f3ff\U00020000\U0010ffff",
        "tabs\t\tand\r\nlines\r\n\r\nend  ",
        "\x00\x01\x02\x7f control",
        "<|im_start|>user\nhi<|im_end|><|end",
        "<extra>a<extra> <|im_start|><|im_start|>",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\u017f 'ſ 'S 's",
    ]
    ranges = [(0x20, 0x7F), (0x20, 0x7F), (0, 0x250), (0x300, 0x700), (0x900, 0xE80), (0x2000, 0x2400), (0x3000, 0x3100),
              (0x4E00, 0x4E80), (0xAC00, 0xAC80), (0x1F300, 0x1F700)]  # fmt: skip
    for _ in range(120):
        pieces = []
        for _ in range(rng.randint(1, 24)):
            if rng.random() < 0.5:
                pieces.append(rng.choice(WORDS) + rng.choice(["", " ", "  ", "\n", "\r\n", "\t", "'s", "0"]))
            else:
                low, high = rng.choice(ranges)
                pieces.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 6))))
        fixed.append("".join(pieces))
    return fixed


def train(splitter: str, rng: random.Random) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = SPLITTERS[splitter]
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=2
    )
    corpus = [" ".join(rng.choice(WORDS) for _ in range(40)) for _ in range(200)]
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def record(name: str, splitter: str, drop: str = "", ignore_merges: bool = False) -> None:
    rng = random.Random(name)
    model = json.loads(train(splitter, rng).to_str())
    vocabulary, merges = model["model"]["vocab"], [tuple(merge) for merge in model["model"]["merges"]]
    for letter in drop:
        lost = {token for token in vocabulary if letter in token}
        merges = [merge for merge in merges if not lost & {*merge, "".join(merge)}]
        vocabulary = {token: id for id, token in enumerate(t for t in vocabulary if t not in lost)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = SPLITTERS[splitter]
    if splitter == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>", "<|im_end|>x")])
    tokenizer.add_tokens([AddedToken("<extra>", normalized=False)])
    exported = from_tokenizer_json(json.loads(tokenizer.to_str()), {}, name, 0)
    cases = []
    for text in texts(rng):
        encoded = tokenizer.encode(text, add_special_tokens=False)
        cases.append({"text": text, "ids": encoded.ids, "decoded": tokenizer.decode(encoded.ids, skip_special_tokens=True)})
    OUT.mkdir(parents=True, exist_ok=True)
    document = {"settings": exported.settings, "data": exported.data, "cases": cases}
    (OUT / f"{name}.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


record("gpt2", "gpt2")
record("smollm", "smollm")
record("llama3", "llama3", ignore_merges=True)
record("qwen2", "qwen2")
record("smollm-missing-bytes", "smollm", drop="ĀāĂĝð")
