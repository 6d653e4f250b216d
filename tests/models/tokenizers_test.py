"""Tokenizers against the libraries that they come from: ids and decoded text of many strings, byte-pair encodings trained here on
generated text, so that no foreign vocabulary is copied. NAMM_LONG=1 asks for 20,000 strings each."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import subprocess
import tempfile
import unicodedata
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sentencepiece
import tiktoken
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Original
from transformers.tokenization_utils_base import generate_merges

from models.export.command import open_checkpoint
from models.export.errors import ExportError
from models.export.rank_file import from_rank_file, is_rank_file, llama3_specials
from models.export.sentence_piece import from_document, from_model_file
from models.export.tokenizer import LETTER_OF_BYTE, LLAMA3_PATTERN, QWEN2_PATTERN, Tokenizer, from_tokenizer_json
from tests.models.support import CONFIG, random_tensors, write_folder

ROOT = Path(__file__).resolve().parents[2]
LONG = bool(os.environ.get("NAMM_LONG"))
STRINGS = 20_000 if LONG else 1_000

WORDS = (
    "the memory of a model forgets what it will not need again and keeps the rest 2024 1999 we'll it's they've don't "
    "def forget(tokens): return [t for t in tokens if t > 0] naïve café über größe 東京 大阪 です ます привет мир 🙂 👍 "
    "x = 3.14159; y += 42 -- !? (a) [b] {c} <d> \t\n"
).split(" ")
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|im_end|>x", "<tool>", "<mask>", "ing", "Ünï", "[A]", "  "]
# Letters at the edges of planes and blocks, with marks that normal form C moves or composes, and bytes that no merge covers.
EDGES = [0x00, 0x1F, 0x7F, 0x80, 0x85, 0xA0, 0x7FF, 0x800, 0x1680, 0x180E, 0x2028, 0x202F, 0x3000, 0xD7FF, 0xE000, 0xFEFF, 0xFFFD,
         0xFFFF, 0x10000, 0x1FFFF, 0x20000, 0x2FFFF, 0xE0001, 0xF0000, 0x10FFFF]  # fmt: skip
MARKS = [0x300, 0x301, 0x308, 0x316, 0x323, 0x327, 0x334, 0x345, 0x3099, 0x5B0, 0x64B, 0x93C, 0x1161, 0x11A8, 0x344, 0xF73]
RANGES = [(0x20, 0x7F), (0x20, 0x7F), (0, 0x250), (0x300, 0x700), (0x900, 0xE80), (0x1100, 0x1200), (0x1E00, 0x2000),
          (0x2000, 0x2400), (0x3000, 0x3100), (0x4E00, 0x4E80), (0xAC00, 0xAC80), (0xF900, 0xFB00), (0x1F300, 0x1F700),
          (0x10000, 0x10FFFF)]  # fmt: skip


def is_settled(letter: str) -> bool:
    """Neither half of a pair nor a code that newer versions of Unicode make a letter: libraries differ in their version."""
    return unicodedata.category(letter) not in ("Cs", "Cn") or ord(letter) >= 0x40000


def some_text(rng: random.Random) -> str:
    pieces = []
    for _ in range(rng.randint(1, 16)):
        kind = rng.random()
        if kind < 0.1:
            pieces.append("".join(rng.choice("katomirn ") for _ in range(rng.randint(1, 30))))
        elif kind < 0.4:
            pieces.append(rng.choice(WORDS) + rng.choice(["", " ", " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "0", "12345"]))
        elif kind < 0.5:
            pieces.append(rng.choice([" ", "\n", "\t", "\r\n", "\u00a0", " \n"]) * rng.randint(1, 30))
        elif kind < 0.6:
            special = rng.choice(SPECIALS)
            pieces.append(special if rng.random() < 0.6 else special[: rng.randint(1, len(special))])
        elif kind < 0.7:
            pieces.append(chr(rng.choice(EDGES)))
        elif kind < 0.8:
            marks = "".join(chr(rng.choice(MARKS)) for _ in range(rng.randint(1, 90 if rng.random() < 0.1 else 4)))
            pieces.append(rng.choice("aeioAzqーがᄀ가 ") + marks)
        else:
            low, high = rng.choice(RANGES)
            letters = (chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 6)))
            pieces.append("".join(letter for letter in letters if is_settled(letter)))
    return "".join(pieces)


def corpus(rng: random.Random) -> list[str]:
    syllables = ["ka", "to", "mi", "ra", "  ", "\n", "an", "na", "nan", "aa", "éa", "大"]
    lines = [" ".join(rng.choice(WORDS) for _ in range(40)) for _ in range(200)]
    return lines + ["".join(rng.choice(syllables) for _ in range(60)) for _ in range(200)]


def byte_level(use_regex: bool) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def pattern(text: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(text), "isolated"), byte_level(False)])


SPLITTERS = {
    "gpt2": byte_level(True),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]),
    "llama3": pattern(LLAMA3_PATTERN),
    "qwen2": pattern(QWEN2_PATTERN),
}


def byte_level_bpe(splitter: str, rng: random.Random, drop: str = "", ignore_merges: bool = False) -> Original:
    """Trained here; without the bytes whose letters `drop` lists."""
    trained = Original(models.BPE())
    trained.pre_tokenizer = SPLITTERS[splitter]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False, min_frequency=2)
    trained.train_from_iterator(corpus(rng), trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    lost = {token for token in model["vocab"] if any(letter in token for letter in drop)}
    merges = [merge for merge in merges if not lost & {*merge, "".join(merge)}]
    vocabulary = {token: id for id, token in enumerate(token for token in model["vocab"] if token not in lost)}
    tokenizer = Original(models.BPE(vocabulary, merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = SPLITTERS[splitter]
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def run_tokenizer(tokenizer: Tokenizer, texts: list[list[str]], ids: list[list[int]]) -> tuple[list[list[int]], list[str]]:
    """Result of tests/models/run_tokenizer.cpp: ids of [before, text, after], and texts of ids."""
    program = os.environ.get("NAMM_RUN_TOKENIZER", str(ROOT / "build" / "tests" / "run_tokenizer"))
    request = {"settings": tokenizer.settings, "data": tokenizer.data, "vocabulary": max(tokenizer.ids.values()) + 1}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(request | {"texts": texts, "ids": ids}, file)
        file.flush()
        done = subprocess.run([program, file.name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"run_tokenizer: exit code {done.returncode}: {done.stderr}")
    result = json.loads(done.stdout)
    return result["ids"], result["texts"]


class Comparison(unittest.TestCase):
    def assert_same(
        self, tokenizer: Tokenizer, texts: list[str], ids: list[list[int]], decoded: list[str], typed: bool = False
    ) -> None:
        """Of texts in which special tokens are recognised, unless a user `typed` them."""
        ours, our_texts = run_tokenizer(tokenizer, [["", text, ""] if typed else [text, "", ""] for text in texts], ids)
        different = [(text, a, b) for text, a, b in zip(texts, ours, ids, strict=True) if a != b]
        self.assertEqual([], different[:3], f"{len(different)} of {len(texts)} texts have other ids")
        # Ours gives the bytes of what is no UTF-8, the libraries one U+FFFD or several.
        pairs = [(a, b) for a, b in zip(our_texts, decoded, strict=True) if "\ufffd" not in b]
        self.assertGreater(len(pairs), len(texts) / 2)
        different_texts = [pair for pair in pairs if pair[0] != pair[1]]
        self.assertEqual([], different_texts[:3], f"{len(different_texts)} of {len(pairs)} lists of ids have other texts")
        print(f"{self.id().rpartition('.')[2]}: {len(texts)} strings, {len(pairs)} decoded", flush=True)


def encoded(original: Original, texts: list[str]) -> tuple[list[str], list[list[int]]]:
    """Texts and their ids, without those few on which the library itself panics: added tokens that strip the same blanks."""
    kept, ids = [], []
    for text in texts:
        try:
            ids.append(original.encode(text, add_special_tokens=False).ids)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            continue
        kept.append(text)
    if len(kept) < 0.98 * len(texts):
        raise AssertionError(f"the library panics on {len(texts) - len(kept)} of {len(texts)} texts")
    return kept, ids


class ByteLevelTest(Comparison):
    def compare(self, original: Original, seed: str, config: dict[str, Any] | None = None) -> None:
        rng = random.Random(seed)
        texts, ids = encoded(original, [some_text(rng) for _ in range(STRINGS)])
        exported = from_tokenizer_json(json.loads(original.to_str()), config or {}, seed, 0)
        self.assert_same(exported, texts, ids, original.decode_batch(ids, skip_special_tokens=True))

    def test_splitting_rules(self) -> None:
        for rule in SPLITTERS:
            with self.subTest(rule):
                original = byte_level_bpe(rule, random.Random(rule), ignore_merges=rule == "llama3")
                original.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIALS[:3]])
                self.compare(original, rule)

    def test_bytes_without_token(self) -> None:
        original = byte_level_bpe("smollm", random.Random(1), drop="ĀāĂĝð")
        self.compare(original, "dropped")

    def test_qwen2_with_its_normal_form(self) -> None:
        original = byte_level_bpe("qwen2", random.Random(2))
        original.normalizer = normalizers.NFC()
        original.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIALS[:3]])
        original.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("Ünï", normalized=True)])
        self.compare(original, "nfc")

    def test_every_letter_in_normal_form(self) -> None:
        original = byte_level_bpe("qwen2", random.Random(2))
        original.normalizer = normalizers.NFC()
        codes = [code for code in range(0x110000) if is_settled(chr(code))]
        marks = "\u0301\u0316\u0334\u0345"
        step = 1 if LONG else 64
        letters = [f"a{chr(code)}{mark}b{mark}{chr(code)}" for mark in marks for code in codes[::step]]
        texts = [" ".join(letters[i : i + 100]) for i in range(0, len(letters), 100)]
        ids = [encoding.ids for encoding in original.encode_batch(texts)]
        exported = from_tokenizer_json(json.loads(original.to_str()), {}, "letters", 0)
        self.assert_same(exported, texts, ids, original.decode_batch(ids))

    def test_flags_of_added_tokens(self) -> None:
        rng = random.Random(3)
        for round in range(12 if LONG else 4):
            with self.subTest(round):
                original = byte_level_bpe(rng.choice(list(SPLITTERS)), rng)
                if rng.random() < 0.5:
                    original.normalizer = normalizers.NFC()
                tokens = [
                    AddedToken(text, **{flag: rng.random() < 0.4 for flag in ("single_word", "lstrip", "rstrip", "normalized")})
                    for text in rng.sample(SPECIALS, len(SPECIALS))
                ]
                original.add_special_tokens(tokens[:4])
                original.add_tokens(tokens[4:])
                self.compare(original, f"flags {round}")


def sentence_piece_model(**options: Any) -> bytes:
    """A tokenizer.model of Llama 2's kind, trained here; the rarer letters fall back to bytes."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus(random.Random(5))), model_writer=out, model_type="bpe", vocab_size=700, byte_fallback=True,
        character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, minloglevel=2, **options,
    )  # fmt: skip
    return out.getvalue()


def converted(processor: sentencepiece.SentencePieceProcessor, blank: str, flags: dict[str, bool]) -> Original:
    """The same encoding for the library `tokenizers`, as transformers converts it."""
    pieces = {processor.id_to_piece(id): id for id in range(processor.vocab_size())}
    scores = {piece: processor.get_score(id) for piece, id in pieces.items()}
    others = (processor.is_control, processor.is_byte, processor.is_unknown)
    skipped = {piece for piece, id in pieces.items() if any(is_other(id) for is_other in others)}
    merges = generate_merges(pieces, scores, skip_tokens=skipped)
    original = Original(models.BPE(pieces, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if blank == "each":
        original.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        scheme = {"each_unless_there": "always", "first_unless_there": "first", "none": "never"}[blank]
        original.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    original.decoder = decoders.Sequence(steps + ([] if blank == "none" else [decoders.Strip(" ", 1, 0)]))
    original.add_special_tokens([AddedToken(text, normalized=False) for text in ("<unk>", "<s>", "</s>")])
    original.add_tokens([AddedToken(text, normalized=False, **flags) for text in SPECIALS[:4]])
    return original


class SentencePieceTest(Comparison):
    def exported(self, **files: Any) -> Tokenizer:
        """What the exporter makes of a folder's tokenizer.model and tokenizer.json."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.model"
            path.write_bytes(files["model"])
            return from_model_file(path, files.get("document"), files.get("config", {}))

    def test_the_library_itself(self) -> None:
        rng = random.Random(6)
        for name, options in {
            "as Llama 2": {},
            "no blank": {"add_dummy_prefix": False},
            "user defined": {"user_defined_symbols": ["<tool>", "ing", "  ", "ab"]},
        }.items():
            with self.subTest(name):
                model = sentence_piece_model(**options)
                processor = sentencepiece.SentencePieceProcessor(model_proto=model)
                texts = [some_text(rng) for _ in range(STRINGS)]
                ids = processor.encode(texts)
                decoded = [processor.decode(one) for one in ids]
                if name == "no blank":
                    self.assertFalse(self.exported(model=model).data["strips_blank"])
                self.assert_same(self.exported(model=model), texts, ids, decoded, typed=True)

    def test_blanks_and_added_tokens(self) -> None:
        model = sentence_piece_model()
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        rng = random.Random(7)
        for blank in ("each", "each_unless_there", "first_unless_there", "none"):
            for flags in ({}, {"lstrip": True}, {"rstrip": True, "single_word": True}):
                with self.subTest(blank, **flags):
                    original = converted(processor, blank, flags)
                    document = json.loads(original.to_str())
                    texts = [some_text(rng) for _ in range(STRINGS // 2)]
                    texts += [rng.choice(["<s>", "</s>"]) + text for text in texts]
                    ids = [encoding.ids for encoding in original.encode_batch(texts, add_special_tokens=False)]
                    decoded = original.decode_batch(ids, skip_special_tokens=True)
                    alone, both = from_document(document, {}, "t"), self.exported(model=model, document=document)
                    self.assertIn("merges", alone.data)
                    self.assertIn("scores", both.data)
                    self.assertEqual((alone.data["blank"], both.data["blank"]), (blank, blank))
                    self.assert_same(alone, texts, ids, decoded)
                    self.assert_same(both, texts, ids, decoded)
        document["model"]["vocab"]["the"] = document["model"]["vocab"].pop("▁the")
        with self.assertRaisesRegex(ExportError, "not the vocabulary of tokenizer.json beside it .* difference '▁the'"):
            self.exported(model=model, document=document)


def cut_as_llama3(text: str) -> Iterator[str]:
    """The parts that Llama 3's own tokenizer gives to tiktoken: at most 400,000 letters, at most 25,000 in a row of white
    space or of none."""
    for begin in range(0, len(text), 400_000):
        part = text[begin : begin + 400_000]
        start = 0
        row = 0
        for place, letter in enumerate(part):
            row = row + 1 if place > 0 and letter.isspace() == part[place - 1].isspace() else 1
            if row > 25_000:
                yield part[start:place]
                start, row = place, 1
        yield part[start:]


class RankFileTest(Comparison):
    def setUp(self) -> None:
        trained = json.loads(byte_level_bpe("llama3", random.Random(8)).to_str())["model"]["merges"]
        tokens = [bytes([byte]) for byte in random.Random(9).sample(range(256), 256)]
        byte_of = {letter: byte for byte, letter in enumerate(LETTER_OF_BYTE)}
        tokens += dict.fromkeys(bytes(byte_of[letter] for letter in "".join(merge)) for merge in trained)
        ranks = {token: rank for rank, token in enumerate(dict.fromkeys(tokens))}
        specials = {text: id for id, text in enumerate(llama3_specials(), len(ranks))}
        self.assertEqual(len(specials), 256)
        self.original = tiktoken.Encoding("test", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens=specials)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.model"
            lines = (f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items())
            path.write_text("".join(lines), encoding="ascii")
            self.assertTrue(is_rank_file(path))
            self.exported = from_rank_file(path, {}, len(ranks) + 256)
            with self.assertRaisesRegex(ExportError, "another model's ranks"):
                from_rank_file(path, {}, len(ranks) + 255)

    def test_tiktoken(self) -> None:
        rng = random.Random(10)
        texts = [some_text(rng) for _ in range(STRINGS)]
        ids = [self.original.encode_ordinary(text) for text in texts]
        self.assert_same(self.exported, texts, ids, [self.original.decode(one) for one in ids], typed=True)
        names = llama3_specials()
        texts = [rng.choice(names) + text + rng.choice(names)[: rng.randint(1, 40)] for text in texts]
        ids = [self.original.encode(text, allowed_special="all") for text in texts]
        ordinary = [[id for id in one if id < min(self.original._special_tokens.values())] for one in ids]
        self.assert_same(self.exported, texts, ids, [self.original.decode(one) for one in ordinary])

    def test_long_texts_are_cut(self) -> None:
        texts = ["ab" * 40_000, " " * 60_000 + "x", "the model keeps the rest \n" * 20_000]
        texts += ["x" * 25_000 + " " * 25_001 + "y\x1c" * 30_000]
        for text in texts:
            ids = [id for part in cut_as_llama3(text) for id in self.original.encode_ordinary(part)]
            ours, _ = run_tokenizer(self.exported, [["", text, ""]], [])
            self.assertTrue(ours[0] == ids, text[:10])


class FolderTest(unittest.TestCase):
    def test_which_file_is_read(self) -> None:
        model = sentence_piece_model()
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = json.loads(converted(processor, "each", {}).to_str())
        byte_level = json.loads(byte_level_bpe("llama3", random.Random(12)).to_str())
        ranks = "".join(f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)).encode()
        for model_file, document, kind, key, value in (
            (model, None, "sentencepiece-bpe", "blank", "first_unless_there"),
            (model, pieces, "sentencepiece-bpe", "blank", "each"),
            (None, pieces, "sentencepiece-bpe", "blank", "each"),
            (ranks, None, "byte-level-bpe", "merges", "by_rank"),
            (ranks, byte_level, "byte-level-bpe", "pre", "llama3"),
        ):
            with tempfile.TemporaryDirectory() as folder:
                files = {"tokenizer_config": {"legacy": False}} | ({"tokenizer": document} if document else {})
                config = CONFIG | {"vocab_size": 512}  # 256 ranks and as many special tokens
                path = write_folder(Path(folder), config, random_tensors(config), **files)
                if model_file is not None:
                    (path / "tokenizer.model").write_bytes(model_file)
                tokenizer = open_checkpoint(path, with_tokenizer=True).tokenizer
            self.assertEqual((tokenizer.data["kind"], tokenizer.data[key]), (kind, value))
            self.assertEqual("scores" in tokenizer.data, model_file is model)
            self.assertEqual("long_text_cut" in tokenizer.data, (model_file, document) == (ranks, None))


class DamagedFilesTest(unittest.TestCase):
    def assert_refused_or_read(self, read: Callable[[Path], Tokenizer], whole: bytes) -> None:
        rng = random.Random(11)
        refused = 0
        rounds = 2000 if LONG else 100
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.model"
            for _ in range(rounds):
                damaged = bytearray(whole)
                for _ in range(rng.randint(1, 4)):
                    damaged[rng.randrange(len(damaged))] = rng.randrange(256)
                path.write_bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.2 else damaged)
                try:
                    tokenizer = read(path)
                except ExportError as error:
                    self.assertIn(str(path), str(error))
                    refused += 1
                    continue
                try:  # what is read is data that the program reads or refuses
                    run_tokenizer(tokenizer, [["the model", "", ""]], [[1, 2]])
                except RuntimeError as error:
                    self.assertIn("exit code 3: ", str(error))
        print(f"{self.id().rpartition('.')[2]}: {refused} of {rounds} refused", flush=True)
        self.assertGreater(refused, rounds // 5)

    def test_model_files(self) -> None:
        self.assert_refused_or_read(lambda path: from_model_file(path, None, {}), sentence_piece_model())

    def test_rank_files(self) -> None:
        ranks = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b"in", b"ing"]
        whole = "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(ranks))
        self.assert_refused_or_read(lambda path: from_rank_file(path, {}, len(ranks) + 256), whole.encode())


if __name__ == "__main__":
    unittest.main(verbosity=1)
