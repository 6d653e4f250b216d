"""What the metrics are compared with: the Python packages behind the official scorers, and the official rules of the benchmarks
in plain Python, written from their description. A metric takes a record (pred, answer, all_classes ...) and gives a float, or
None where the official function raises."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import re
import string
import sys
import warnings
from collections import Counter

import fugashi
import jieba
from rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer

CJK_MARKS = set(string.punctuation) | {
    chr(c)
    for first, last in [
        (0x2013, 0x2014), (0x2018, 0x2019), (0x201B, 0x201F), (0x2026, 0x2027), (0x3001, 0x3003), (0x300B, 0x3011), (0x3014, 0x301F),
        (0x3030, 0x3030), (0x303E, 0x303F), (0xFE4F, 0xFE4F), (0xFF01, 0xFF0D), (0xFF0F, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40),
        (0xFF5B, 0xFF64),
    ]
    for c in range(first, last + 1)
}  # fmt: skip


def fuzz_with(levenshtein: bool):
    """fuzzywuzzy's module fuzz, on python-Levenshtein or on difflib: it takes what it finds when it is imported."""
    for name in [name for name in sys.modules if name.startswith("fuzzywuzzy")]:
        del sys.modules[name]
    if not levenshtein:
        sys.modules["fuzzywuzzy.StringMatcher"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that difflib is slow
        fuzz = importlib.import_module("fuzzywuzzy.fuzz")
    assert fuzz.SequenceMatcher.__module__ == ("fuzzywuzzy.StringMatcher" if levenshtein else "difflib")
    return fuzz


# ---- LongBench


def english_words(text: str) -> list[str]:
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(?:the|an|a)\b", " ", kept).split()


def f1(predicted: list[str], wanted: list[str]) -> float:
    shared = sum((Counter(predicted) & Counter(wanted)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(wanted)
    return (2 * precision * recall) / (precision + recall)


def qa_f1(record: dict) -> float:
    return f1(english_words(record["pred"]), english_words(record["answer"]))


def rouge_of(prediction: str, answer: str) -> float:
    try:
        return Rouge().get_scores([prediction], [answer], avg=True)["rouge-l"]["f"]
    except (RecursionError, ValueError):
        return 0.0


def rouge(record: dict) -> float:
    return rouge_of(record["pred"], record["answer"])


def rouge_with_limit(record: dict, steps: int) -> float:
    """With Python's recursion limit such that a trace-back of `steps` steps is the first that fails."""
    frame = len(inspect.stack(0)) + 1  # of rouge_of, which makes the Rouge object
    room = 6 if sys.version_info >= (3, 11) else 7
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(frame + room + steps)
    try:
        return rouge_of(record["pred"], record["answer"])
    finally:
        sys.setrecursionlimit(before)


def classification(record: dict) -> float:
    named = [name for name in record["all_classes"] if name in record["pred"]]
    for name in named:  # the list shrinks under the loop, as upstream's does
        if name != record["answer"] and name in record["answer"]:
            named.remove(name)
    return 1 / len(named) if record["answer"] in named else 0.0


def share_of_number(text: str, number: str) -> float:
    numbers = re.findall(r"\d+", text)
    return numbers.count(number) / len(numbers) if numbers else 0.0


def count(record: dict) -> float:
    return share_of_number(record["pred"], record["answer"])


def retrieval(record: dict, marker: str = "Paragraph ") -> float | None:
    number = re.search(marker + r"(\d+)", record["answer"])
    return share_of_number(record["pred"], number[1]) if number else None


def retrieval_zh(record: dict) -> float | None:
    return retrieval(record, "\u6bb5\u843d")


def code_similarity(fuzz):
    def score(record: dict) -> float:
        lines = record["pred"].lstrip("\n").split("\n")
        line = next((line for line in lines if not re.search("[`#]|//", line)), "")
        return fuzz.ratio(line, record["answer"]) / 100

    return score


def jieba_words(text: str) -> list[str]:
    return list(jieba.cut(text, cut_all=False))


@functools.cache
def tagger() -> fugashi.Tagger:
    return fugashi.Tagger("-Owakati")


def mecab_words(text: str) -> list[str]:
    return [word.surface for word in tagger()(text)]


def segmented_f1(record: dict, words) -> float:
    tokens = [["".join(chinese_characters(token)) for token in words(record[key])] for key in ("pred", "answer")]
    return f1(*([token for token in side if token] for side in tokens))


def segmented_rouge(record: dict, words) -> float:
    return rouge_of(" ".join(words(record["pred"])), " ".join(words(record["answer"])))


def qa_f1_zh(record: dict) -> float:
    return segmented_f1(record, jieba_words)


def rouge_zh(record: dict) -> float:
    return segmented_rouge(record, jieba_words)


def none_for_surrogates(score):
    """MeCab's binding cannot encode half a surrogate pair and raises."""

    def guarded(record: dict) -> float | None:
        try:
            return score(record, mecab_words)
        except UnicodeEncodeError:
            return None

    return guarded


qa_f1_ja = none_for_surrogates(segmented_f1)
rouge_ja = none_for_surrogates(segmented_rouge)


# ---- InfiniteBench

BREAKS = str.maketrans(dict.fromkeys("\n:\"'.,?!{}", " "))
CHOICE_BREAKS = str.maketrans(dict.fromkeys("\n\"'.,?!{}", " "))
RUN_BREAKS = str.maketrans(dict.fromkeys("\n.`'\":", " "))
DEBUG_BREAKS = str.maketrans(dict.fromkeys("\n`'\"-*", " "))


def first(label):
    return label[0] if isinstance(label, list) else label


def first_number(pred: str, label, late: bool, model: str) -> bool:
    run = re.search("[0-9]+", pred)
    return first(label) == (run[0] if run else "")


def key_value(pred: str, label, late: bool, model: str) -> bool:
    return (first(label) if late else label) in pred.translate(BREAKS).split()


def dialogue(pred: str, label, late: bool, model: str) -> bool:
    if late:
        return any(name.upper() in pred.strip().upper() for name in label)
    return label[0] in [word.upper() for word in pred.strip().translate(BREAKS).split()]


def standalone(pred: str, letters: str) -> str | None:
    """The last lone letter of the first line with one."""
    for line in pred.split("\n"):
        found = re.findall(rf"\b[{letters}]\b", line)
        if found:
            return found[-1]
    return None


def behind(text: str, phrases: list[str]) -> tuple[bool, str | None]:
    for phrase in phrases:
        place = text.find(phrase)
        if place >= 0:
            rest = place + len(phrase) + 1
            return True, None if rest > len(text) else text[rest:]
    return False, None


def choice(pred: str, label, late: bool, model: str) -> bool:
    text = pred.strip()
    letter = standalone(text, "A-D") if late else None
    if letter is not None and letter in label:
        return True
    if not text:
        return False
    if text[0] in "ABCD":
        return text[0] in label
    if text in label:
        return True
    text = re.sub(" +", " ", text.translate(CHOICE_BREAKS))
    found, rest = behind(text, ["answer is:", "answer:", "answer is", "option is"])
    if found:
        return rest is not None and any(rest.startswith(item) for item in label)
    for word in text.split():
        if word in "ABCD":
            return word in label
    return False


def code_debug(pred: str, label, late: bool, model: str) -> bool:
    text, letter, function = pred.strip(), label[1], label[0]
    if late:
        if standalone(text, "A-J") == letter:
            return True
    elif text[:2] in (f"{letter}.", f"{letter}:"):
        return True
    text = re.sub(" +", " ", text.translate(DEBUG_BREAKS).replace("Option", " ").replace("option", " "))
    if late and (text.startswith(letter) or text.startswith(function)):
        return True
    found, rest = behind(text, ["answer is:", "is:", "answer:", "correct option is:"])
    return found and rest is not None and (rest.startswith(letter) or rest.startswith(function))


def code_run(pred: str, label, late: bool, model: str) -> bool:
    label = first(label)
    words = pred.strip().translate(RUN_BREAKS).split()
    try:
        return bool(words) and label == int(words[-1])
    except ValueError:
        return False


def math_find(pred: str, label, late: bool, model: str) -> bool:
    label = first(label)
    if not isinstance(label, (int, float)):
        raise TypeError
    number = re.search(r"\d+(?:\.\d+)?", pred)
    return number is not None and (int if isinstance(label, int) else float)(number[0]) == label


def math_calc(pred: str, label, late: bool, model: str) -> float:
    if not isinstance(label, list):
        raise TypeError
    label = label[0] if isinstance(label[0], list) else label
    numbers = [int(run) for run in re.findall("[0-9]+", pred)][1 if model == "gpt4" else 0 :]
    right = 0
    for number, wanted in zip(numbers, label):
        if number != wanted:
            break
        right += 1
    return right / len(label)


def english_answer(pred: str, label, late: bool, model: str) -> float:
    return max((f1(english_words(pred), english_words(item)) for item in label), default=0.0)


def chinese_characters(text: str) -> list[str]:
    return [c for c in text.lower() if c not in CJK_MARKS and not c.isspace()]


def chinese_answer(pred: str, label, late: bool, model: str) -> float:
    return max((f1(chinese_characters(pred), chinese_characters(item)) for item in label), default=0.0)


SUMMARY = RougeScorer(["rougeLsum"])


def summary(pred: str, label, late: bool, model: str) -> float:
    """As evaluate's metric `rouge` calls the package: a list is several references."""
    score = SUMMARY.score_multi(label, pred) if isinstance(label, list) else SUMMARY.score(label, pred)
    return score["rougeLsum"].fmeasure


INFINITEBENCH = {
    "passkey": first_number,
    "number_string": first_number,
    "kv_retrieval": key_value,
    "longdialogue_qa_eng": dialogue,
    "longbook_sum_eng": summary,
    "longbook_choice_eng": choice,
    "longbook_qa_eng": english_answer,
    "longbook_qa_chn": chinese_answer,
    "math_find": math_find,
    "math_calc": math_calc,
    "code_run": code_run,
    "code_debug": code_debug,
}


def infinitebench(task: str, version: str):
    rule = INFINITEBENCH[task]

    def score(record: dict) -> float | None:
        # What the scorer reads is JSON, where 5 and 5.0 differ.
        label = json.loads(json.dumps(record["ground_truth"]))
        try:
            return float(rule(record["prediction"], label, version == "2024-08", record["model_name"]))
        except (TypeError, ValueError, AttributeError, IndexError, KeyError, ZeroDivisionError):
            return None

    return score
