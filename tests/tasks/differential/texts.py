"""Random and adversarial texts, and pairs of a prediction and an answer made of them."""

from __future__ import annotations

import functools
import random
import sys
import unicodedata

# Characters that this Python does not know yet may be letters or digits for a newer ICU.
ASSIGNED = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
DIGITS = [c for c in ASSIGNED if unicodedata.category(c) == "Nd"]
NUMERIC = [c for c in ASSIGNED if unicodedata.category(c) in ("Nl", "No")]
CASED = [c for c in ASSIGNED if c.lower() != c or c.upper() != c]
BLANKS = [c for c in ASSIGNED if c.isspace()]
WORDS = "the a an The A AN river Anna sold bread to of in it's U.S. mill, old (new) word_1 x2 3.5 no yes Café ΣΑΣ İstanbul straße".split()
HAN = "北京清华大学他来到了网易杭研厦的一是在不人有这中国年月日《》，。、：；「」"
KANA = "あいうえおかがきくけこさしすせたちつてとなにのはひふへほまみもやゆよらりるれろわをんアイウエオカキクケコサシスセソタチツテトナニノハヒフヘホマミムメモラリルレロンッャュョー"
JAPANESE = """
東京都 千代田区 です ます でした 売上高 は 、 。 が を に の 百万円 増加 した 株式会社 令和
２０２４年 3月期 自動車 販売 台数 見通し によると について 食べられなかった 走り回る インターネット
サービス すもももももももものうち 取締役会 決議 こと ため 国際 連合
""".split()
CODE = ["x = foo(bar)", "return self.value + 1", "# note", "// note", "```python", "", "  if x: pass", "for i in range(10):", "a // b", "}"]
CLASSES = ["A", "AB", "ABC", "B", "Location", "Location : city", "city", "Number", "Number : count", "Other", "", "体育", "体育新闻"]


@functools.cache
def chinese_words() -> list[str]:
    """Of jieba's own dictionary."""
    import jieba

    jieba.initialize()
    return sorted(word for word, frequency in jieba.dt.FREQ.items() if frequency)


class Texts:
    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def pick(self, items):
        return self.random.choice(items)

    def length(self, long: bool) -> int:
        return self.random.randint(100, 400) if long else self.random.choice([0, 1, 2, 3, self.random.randint(4, 12), self.random.randint(12, 30)])

    def blank(self) -> str:
        return self.pick([" ", " ", " ", " ", "  ", "\n", "\t", self.pick(BLANKS)])

    def join(self, words: list[str]) -> str:
        one_sentence = self.random.random() < 0.5
        return "".join(
            word + (self.blank() if one_sentence or self.random.random() < 0.93 else self.pick([". ", ".", "..", ", ", "-"])) for word in words
        )

    def few_words(self, long: bool) -> str:
        """Many ties for a longest common subsequence."""
        vocabulary = [f"w{i}" for i in range(self.random.choice([1, 2, 3, 5, 20]))]
        return self.join([self.pick(vocabulary) for _ in range(self.length(long))])

    def english(self, long: bool) -> str:
        return self.join([self.pick(WORDS) for _ in range(self.length(long))])

    def han(self, long: bool) -> str:
        return "".join(self.pick(HAN) for _ in range(self.length(long))) + self.pick(["", "。", " a", "３.5%"])

    def any_planes(self, long: bool) -> str:
        source = self.pick([ASSIGNED, CASED, DIGITS + BLANKS + list("ab."), NUMERIC + list("aA "), BLANKS + list("a")])
        return "".join(self.pick(source) for _ in range(self.length(long)))

    def repeats(self, long: bool) -> str:
        piece = self.pick(["ab", "a", "ba", "ab ", "a. ", "abc", "aab", "好", "x\n"])
        return piece * self.random.randint(0, 120 if long else 12)

    def numbers(self, long: bool) -> str:
        def number() -> str:
            digits = "".join(self.pick(["0", "1", "2", "7", "9"]) for _ in range(self.random.choice([1, 1, 2, 2, 3, 20])))
            return self.pick([digits, digits, digits, "".join(self.pick(DIGITS) for _ in range(2)), f"-{digits}", f"{digits}.{digits}",
                              f"+{digits}", f"{digits}_0", f"{digits}__0", f".{digits}", f"{digits}.", f"x{digits}y", f"{digits},"])  # fmt: skip

        return self.blank().join(number() for _ in range(min(self.length(long), 60)))

    def nothing(self, long: bool) -> str:
        return self.pick(["", " ", ".", "...", ". .", "\n", "\n\n", "\u3000", "the", "\x1c", "\ud83dx"])

    def text(self, long: bool) -> str:
        kinds = [self.few_words, self.english, self.english, self.han, self.any_planes, self.repeats, self.numbers, self.nothing]
        return self.pick(kinds)(long)

    def changed(self, text: str) -> str:
        """With a few characters or pieces left out, doubled, moved or replaced."""
        for _ in range(self.random.randint(0, 4)):
            start, end = sorted(self.random.randint(0, len(text)) for _ in range(2))
            end = min(end, start + self.pick([1, 5, 40]))
            piece = text[start:end]
            text = text[:start] + self.pick(["", piece * 2, piece[::-1], "", self.pick(ASSIGNED), piece.upper()]) + text[end:]
        # A removal must not bring two halves of a surrogate pair together.
        return text.replace("\ud83d", "") if self.random.random() < 0.5 else text

    def pair(self, long: bool) -> tuple[str, str]:
        text = self.text(long)
        return (text, self.changed(text)) if self.random.random() < 0.6 else (text, self.text(long))

    def segmented_pair(self, long: bool, pieces: list[str]) -> tuple[str, str]:
        """Words of a dictionary among single characters, numbers, Latin words and blanks; now and then any other text."""
        if self.random.random() < 0.2:
            return self.pair(long)
        mixed = [*[pieces] * 6, HAN, KANA, WORDS, BLANKS, "0123456789０１２.%-+#&_・ー", ASSIGNED]
        text = "".join(self.pick(self.pick(mixed)) for _ in range(self.length(long)))
        if self.random.random() < 0.6:
            return text, self.changed(text)
        return text, "".join(self.pick(self.pick(mixed)) for _ in range(self.length(long)))

    def chinese_pair(self, long: bool) -> tuple[str, str]:
        return self.segmented_pair(long, chinese_words())

    def japanese_pair(self, long: bool) -> tuple[str, str]:
        return self.segmented_pair(long, JAPANESE)

    def code_pair(self, long: bool) -> tuple[str, str]:
        if self.random.random() < 0.5:
            return self.pair(long)
        lines = [self.pick(CODE) for _ in range(self.random.randint(0, 5))]
        line = self.pick(CODE) * self.pick([1, 1, 2, 5, 12 if long else 3])
        return "\n" * self.random.randint(0, 2) + "\n".join([*lines, self.changed(line)]), line

    def class_pair(self, long: bool) -> tuple[str, str, list[str]]:
        classes = self.random.sample(CLASSES, self.random.randint(1, len(CLASSES)))
        if self.random.random() < 0.1:
            classes += classes[:2]
        prediction = self.join([self.pick(CLASSES) for _ in range(self.random.randint(0, 4))])
        return prediction + self.pick(["", self.text(long)]), self.pick(CLASSES), classes

    def number_pair(self, long: bool) -> tuple[str, str]:
        numbers = self.numbers(long)
        words = numbers.split()
        return self.pick([numbers, f"There are {numbers}", self.text(long)]), self.pick(words) if words else "7"

    def marked_pair(self, long: bool, marker: str) -> tuple[str, str]:
        numbers, number = self.number_pair(long)
        marked = self.pick([marker + number, f"x{marker}{marker}{number}", f"{marker}x {marker}{number} {marker}9", number, marker])
        return numbers, marked

    # ---- InfiniteBench: a prediction and a label in the shapes that the tasks have, and in others

    def shape(self, value):
        return self.pick([value, value, [value], [value, "other"]])

    def options(self, letters: str) -> tuple[str, list[str]]:
        label = [self.pick(["compute_mean", "Red", "Apple pie", "A", self.english(False) or "x"]), self.pick(letters)]
        said = self.pick([*letters, label[0], label[1], label[1], f"{label[1]}. {label[0]}", f"{label[1]}:", "AB", "BCD", self.text(False)])
        lead = self.pick(["", "", "the answer is: ", "answer: ", "My answer is", "The correct option is: ", "is:", "answer is:", "**", "Option ",
                          "option is ", "I say ", "no A or\nC, ", "“", "\n ", "_", "é"])  # fmt: skip
        return lead + said + self.pick(["", "", ".", "\nD", " A", "'s", "é", "_", " is it"]), label

    def infinitebench(self, task: str, long: bool) -> tuple[str, object]:
        other = [None, True, 7, 7.0, "7", "", ["7"], [7], [[7, 8]], [None, "7"], "ABCD", ["x", 3]]
        if self.random.random() < 0.03:
            return self.text(long), self.pick(other)
        if task in ("passkey", "number_string"):
            prediction, number = self.number_pair(long)
            return prediction, self.shape(self.pick([number, number, "", 7]))
        if task == "kv_retrieval":
            key = "".join(self.pick("0af-") for _ in range(8))
            return self.pick([f'The value is: "{key}".', key, key.upper(), f"({key})", self.text(long) + " " + key, key + self.blank() + "x"]), self.shape(key)
        if task == "longdialogue_qa_eng":
            name = self.pick(["BRUCE", "BRUCE WAYNE", "STRASSE", "Bruce", "ΣΑΣ", self.english(False) or "X"])
            return self.pick([name, name.lower(), f"{name}'s car", self.text(long), name.title() + "son"]), self.pick([name, [name], ["ANNA", name]])
        if task in ("longbook_choice_eng", "code_debug"):
            return self.options("ABCD" if task == "longbook_choice_eng" else "ABCDEFGHIJ")
        if task == "math_calc":
            numbers = [self.random.choice([0, 1, 7, 10, -3, 10**15]) for _ in range(self.random.randint(1, 200 if long else 12))]
            said = [*numbers[: self.random.randint(0, len(numbers))], self.pick(numbers)]
            label = self.pick([numbers, [numbers], [float(n) for n in numbers], [*numbers, "x"]])
            return self.pick([str(said), " ".join(map(str, said)), str([0, *said]), self.numbers(long)]), label
        if task in ("math_find", "code_run"):
            value = self.pick([0, 5, 12, -7, 10**15, 2**63 - 1, 5.0, 5.5, 0.25, -2.0, True])
            return self.pick([str(value), f"It is {value}", f"{value}.", f"{abs(value)}", f"`{value}`", self.numbers(long)]), self.shape(value)
        prediction, answer = self.pair(long)
        return prediction, self.pick([answer, [answer], [answer, self.text(False)], [answer, prediction]])
