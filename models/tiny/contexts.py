"""Contexts with facts, decoys and noise, and the training rows made from them.

A context has exactly the requested number of tokens. Facts are scattered in template noise:

    kv       code amber paris .                        question code amber            -> paris
    hop      code amber birch . code birch paris .     question alias amber           -> birch paris
    passage  passage w w w w w 17 .                    question passage w w w w w     -> 17
    classify example old dog kappa .                   question example new cat       -> kappa
    stale    code amber oslo . .. code amber rome .    question code amber            -> rome (the latest)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.tiny.vocabulary import Vocabulary

VOCABULARY = Vocabulary()

_DOT = VOCABULARY.id["."]
_QUESTION = VOCABULARY.id["question"]
_CODE = VOCABULARY.id["code"]
_ALIAS = VOCABULARY.id["alias"]
_PASSAGE = VOCABULARY.id["passage"]
_EXAMPLE = VOCABULARY.id["example"]
_THE, _A, _AND, _THEN, _IN, _TO, _OF = (VOCABULARY.id[w] for w in "the a and then in to of".split())

# Kinds of token inside a context.
NOISE, VALID_VALUE, STALE_VALUE, OTHER_FACT = range(4)

# Tokens one fact costs in the context.
_COST = {"kv": 4, "hop": 8, "passage": 8, "classify": 5}
# Longest question with its answer and <eos>.
_QUESTION_TOKENS = {"kv": 5, "hop": 6, "passage": 9, "classify": 6}


@dataclass
class Question:
    task: str
    prompt: list[int]
    answer: list[int]


@dataclass
class Rewrites:
    """How often and where the keys of the `stale` task are written."""

    # A key's number of writes is drawn from these.
    writes: Sequence[int] = (1, 6, 7, 8)
    # Share of the context that holds all writes of a key.
    window: Callable[[random.Random], float] = lambda rng: 0.2
    # Probability that a rewrite repeats the old value.
    repeat_share: float = 0.0


@dataclass
class _Sentence:
    tokens: list[int]
    kinds: list[int]
    repeats: bool = False  # a rewrite with the same value as before


def _noise_sentence(rng: random.Random, decoy_share: float) -> list[int]:
    """One sentence without a fact; decoys contain names or numbers."""
    v, pick = VOCABULARY, rng.choice
    form = rng.randrange(3)
    if rng.random() < decoy_share:
        if form == 0:
            return [pick(v.names), pick(v.verbs), pick(v.numbers), pick(v.nouns), _DOT]
        if form == 1:
            return [_THE, pick(v.nouns), _OF, pick(v.names), pick(v.verbs), pick(v.numbers), pick(v.numbers),
                    pick(v.adjectives), pick(v.nouns), _DOT]  # fmt: skip
        return [
            pick(v.names),
            _AND,
            pick(v.names),
            pick(v.verbs),
            _THE,
            pick(v.adjectives),
            pick(v.nouns),
            _DOT,
        ]
    if form == 0:
        return [_THE, pick(v.adjectives), pick(v.nouns), pick(v.verbs), _THE, pick(v.nouns), _DOT]
    if form == 1:
        return [_A, pick(v.nouns), _IN, _THE, pick(v.adjectives), pick(v.nouns), pick(v.verbs), _TO, _THE,
                pick(v.nouns), _DOT]  # fmt: skip
    return [
        _THEN,
        _THE,
        pick(v.nouns),
        pick(v.verbs),
        _A,
        pick(v.adjectives),
        pick(v.adjectives),
        pick(v.nouns),
        _DOT,
    ]


@dataclass
class Context:
    """Tokens of one context, what each token is, and the questions that can be asked about it."""

    tokens: list[int] = field(default_factory=list)
    # NOISE, VALID_VALUE, STALE_VALUE or OTHER_FACT per token.
    kinds: list[int] = field(default_factory=list)
    # True on the value tokens of rewrites that repeat the old value.
    repeated: list[bool] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def append(self, sentence: _Sentence) -> None:
        self.tokens += sentence.tokens
        self.kinds += sentence.kinds
        self.repeated += [sentence.repeats and kind in (VALID_VALUE, STALE_VALUE) for kind in sentence.kinds]


def build_context(
    rng: random.Random,
    length: int,
    facts: dict[str, int],
    decoy_share: float = 0.35,
    noise_pool: int = 0,
    rewrites: Rewrites | None = None,
) -> Context:
    """A context of exactly `length` tokens with `facts[task]` facts of each task.

    `noise_pool` > 0 draws the noise from that many different sentences, whose names are the very names asked
    for. Raises ValueError when the facts do not fit.
    """
    v = VOCABULARY
    context = Context()
    fact_sentences: list[_Sentence] = []

    def add_fact(*tokens: int) -> None:
        """A fact sentence; the last word is the value."""
        kinds = [OTHER_FACT] * (len(tokens) - 1) + [VALID_VALUE, OTHER_FACT]
        fact_sentences.append(_Sentence([*tokens, _DOT], kinds))

    used_names = rng.sample(v.names, min(64, facts.get("kv", 0) + 2 * facts.get("hop", 0)))
    names = iter(used_names)
    for _ in range(facts.get("kv", 0)):
        name, value = next(names), rng.choice(v.values)
        add_fact(_CODE, name, value)
        context.questions.append(Question("kv", [_QUESTION, _CODE, name], [value]))
    for _ in range(facts.get("hop", 0)):
        name, middle, value = next(names), next(names), rng.choice(v.values)
        add_fact(_CODE, middle, value)
        add_fact(_CODE, name, middle)
        context.questions.append(Question("hop", [_QUESTION, _ALIAS, name], [middle, value]))
        context.questions.append(Question("kv", [_QUESTION, _CODE, middle], [value]))
    for number in rng.sample(v.numbers, min(len(v.numbers), facts.get("passage", 0))):
        passage = [rng.choice(group) for group in (v.adjectives, v.nouns, v.verbs, v.adjectives, v.nouns)]
        add_fact(_PASSAGE, *passage, number)
        context.questions.append(Question("passage", [_QUESTION, _PASSAGE, *passage], [number]))
    if facts.get("classify", 0):
        labels = rng.sample(v.labels, len(v.categories))
        seen = set()
        for _ in range(facts["classify"]):
            category = rng.randrange(len(v.categories))
            seen.add(category)
            add_fact(_EXAMPLE, rng.choice(v.adjectives), rng.choice(v.categories[category]), labels[category])
        for category in sorted(seen):
            prompt = [_QUESTION, _EXAMPLE, rng.choice(v.adjectives), rng.choice(v.categories[category])]
            context.questions.append(Question("classify", prompt, [labels[category]]))

    placed_writes: list[tuple[float, _Sentence]] = []
    stale_keys: set[int] = set()
    if facts.get("stale", 0):
        rewrites = rewrites or Rewrites()
        keys = rng.sample([name for name in v.names if name not in set(used_names)], facts["stale"])
        used_names = used_names + keys
        stale_keys = set(keys)
        for key in keys:
            placed_writes += _write_key(rng, key, rewrites, context)

    all_facts = fact_sentences + [sentence for _, sentence in placed_writes]
    room = length - 1 - sum(len(sentence.tokens) for sentence in all_facts)
    if room < 0:
        raise ValueError(f"facts {facts} do not fit into a context of {length} tokens")
    noise = _fill_with_noise(rng, room, decoy_share, noise_pool, used_names, stale_keys)

    # Noise is spread evenly, facts are dropped in uniformly, the writes of a key lie inside its window.
    places = [((i + 0.5) / len(noise), sentence) for i, sentence in enumerate(noise)]
    places += [(rng.random(), sentence) for sentence in fact_sentences]
    places += placed_writes
    places.sort(key=lambda place: place[0])
    context.append(_Sentence([v.bos], [OTHER_FACT]))
    for _, sentence in places:
        context.append(sentence)
    return context


def _write_key(
    rng: random.Random, key: int, rewrites: Rewrites, context: Context
) -> list[tuple[float, _Sentence]]:
    """All writes of one key with their places in [0, 1); adds its question to `context`."""
    count = rng.choice(rewrites.writes)
    window = rewrites.window(rng)
    start = rng.uniform(0, 1 - window)
    placed, value = [], -1
    for index, place in enumerate(sorted(rng.uniform(start, start + window) for _ in range(count))):
        old = value
        repeats = index > 0 and rng.random() < rewrites.repeat_share
        while not repeats and value == old:
            value = rng.choice(VOCABULARY.values)
        kind = VALID_VALUE if index == count - 1 else STALE_VALUE
        kinds = [OTHER_FACT, OTHER_FACT, kind, OTHER_FACT]
        placed.append((place, _Sentence([_CODE, key, value, _DOT], kinds, repeats)))
    context.questions.append(Question("stale", [_QUESTION, _CODE, key], [value]))
    return placed


def _fill_with_noise(
    rng: random.Random,
    room: int,
    decoy_share: float,
    pool_size: int,
    used_names: list[int],
    stale_keys: set[int],
) -> list[_Sentence]:
    """Noise sentences of exactly `room` tokens; the keys of the stale task never occur in them."""
    all_names = set(VOCABULARY.names)
    free_names = [name for name in VOCABULARY.names if name not in stale_keys]
    pool = [_noise_sentence(rng, decoy_share) for _ in range(pool_size)]
    if used_names:
        pool = [[rng.choice(used_names) if t in all_names else t for t in sentence] for sentence in pool]
    sentences = []
    while room > 0:
        tokens = list(rng.choice(pool)) if pool else _noise_sentence(rng, decoy_share)
        tokens = [rng.choice(free_names) if t in stale_keys else t for t in tokens]
        tokens = tokens[-room:]
        room -= len(tokens)
        sentences.append(_Sentence(tokens, [NOISE] * len(tokens)))
    return sentences


@dataclass(frozen=True)
class StaleMix:
    """What the `stale` share of a training mix looks like."""

    share: float = 0.0  # share of rows that are about rewritten keys
    max_writes: int = 3
    repeat_share: float = 0.45  # rewrites that repeat the value, in two thirds of those rows


@dataclass
class Row:
    tokens: list[int]
    weights: list[float]  # 1 on tokens that must be answered, 0 elsewhere
    context: Context | None = None


def copy_row(rng: random.Random, length: int) -> Row:
    """A random segment followed by repeats of parts of it; loss on the repeats. Teaches induction."""
    v = VOCABULARY
    size = rng.randint(length // 8, length // 2 - 1)
    alphabet = range(v.eos + 1, v.byte_base) if rng.random() < 0.5 else v.names + v.numbers
    segment = [rng.choice(alphabet) for _ in range(size)]
    tokens, weights = [v.bos, *segment], [0.0] * (size + 1)
    while len(tokens) < length:
        repeat = segment
        if rng.random() < 0.7:
            start = rng.randrange(size)
            repeat = segment[start : start + rng.randint(3, size)]
        tokens += repeat
        weights += [0.0] + [1.0] * (len(repeat) - 1)
    return Row(tokens[:length], weights[:length])


def _with_questions(rng: random.Random, context: Context, questions: int, length: int) -> Row:
    """The context, then distinct questions with their answers, padded to `length`."""
    tokens, weights = list(context.tokens), [float(r) for r in context.repeated]
    for question in rng.sample(context.questions, min(questions, len(context.questions))):
        tokens += question.prompt + question.answer + [VOCABULARY.eos]
        weights += [0.0] * len(question.prompt) + [1.0] * len(question.answer) + [0.0]
    padding = max(0, length - len(tokens))
    tokens = (tokens + [VOCABULARY.pad] * padding)[:length]
    weights = (weights + [0.0] * padding)[:length]
    return Row(tokens, weights, context)


def stale_row(rng: random.Random, length: int, questions: int, mix: StaleMix) -> Row:
    """Rewritten keys, in a third of the rows beside other facts; loss on answers and on repeated values."""
    with_others = rng.random() < 0.35
    size = length - questions * (9 if with_others else 5)
    if rng.random() < 0.3:
        size = rng.randint(size // 2, size)
    mean_cost = 4 * (mix.max_writes + 1) / 2
    facts = {"stale": rng.randint(2, max(3, min(24, int(0.6 * size / mean_cost))))}
    budget = size - 1 - facts["stale"] * mix.max_writes * 4 - 8
    if with_others:
        limits = [("hop", 6), ("passage", 6), ("kv", 8), ("classify", 12)]
        for task, most in rng.sample(limits, 2):
            count = rng.randint(0, most)
            if count * _COST[task] <= budget:
                facts[task] = count
                budget -= count * _COST[task]
    if budget < 0:
        facts = {"stale": 2}
    rewrites = Rewrites(
        writes=range(1, mix.max_writes + 1),
        window=lambda r: r.uniform(0.1, 1.0),
        repeat_share=rng.choice([mix.repeat_share, mix.repeat_share, 0.0]),
    )
    context = build_context(
        rng, size, facts, rng.choice([0.1, 0.35, 0.6]), rng.choice([0, 6, 10, 16]), rewrites
    )
    return _with_questions(rng, context, questions, length)


def fact_row(rng: random.Random, length: int, questions: int, tasks: list[str]) -> Row:
    """A context with a random amount of facts of `tasks` and questions about them."""
    if tasks == ["kv"]:
        density = rng.uniform(0.5, 1.0)
    else:
        density = rng.uniform(0.1, 0.6) if length >= 200 else rng.uniform(0.3, 0.95)
    size = length - questions * max(_QUESTION_TOKENS[task] for task in tasks)
    if rng.random() < 0.3:
        size = rng.randint(size // 2, size)
    budget = int(density * (size - 1))
    facts = dict.fromkeys(_COST, 0)
    while True:
        task = rng.choice(tasks)
        if _COST[task] > budget or facts["kv"] + 2 * facts["hop"] + 2 > 60 or facts["passage"] > 38:
            break
        budget -= _COST[task]
        facts[task] += 1
    if not any(facts.values()):
        facts["kv"] = 1
    context = build_context(rng, size, facts, rng.choice([0.1, 0.35, 0.6]), rng.choice([0, 6, 10, 16]))
    return _with_questions(rng, context, questions, length)


def training_row(rng: random.Random, kind: str, length: int, questions: int, stale: StaleMix) -> Row:
    """One row of `length` tokens; `kind` is "copy", "kv" or "mix" (1 to 3 of the other tasks, or `stale`)."""
    if kind == "copy":
        return copy_row(rng, length)
    if kind == "kv":
        return fact_row(rng, length, questions, ["kv"])
    if stale.share > 0 and rng.random() < stale.share:
        return stale_row(rng, length, questions, stale)
    tasks = rng.sample(["kv", "hop", "passage", "classify"], rng.randint(1, 3))
    return fact_row(rng, length, questions, tasks)


@dataclass
class AttentionTargets:
    """What the auxiliary attention losses need to know, all [rows, tokens]."""

    is_fact: np.ndarray  # bool: the token belongs to a fact (the first token never does)
    is_plain_query: np.ndarray  # bool: inside the context and not the key of a rewrite
    previous_value: np.ndarray  # int64: where the key of a rewrite finds the previous value, -1 elsewhere


def attention_targets(contexts: list[Context | None], length: int) -> AttentionTargets:
    """Marks facts, plain queries and rewrites of `contexts`; rows without a context stay empty."""
    shape = (len(contexts), length)
    targets = AttentionTargets(np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, -1, np.int64))
    for row, context in enumerate(contexts):
        if context is None:
            continue
        size = min(len(context.tokens), length)
        targets.is_fact[row, :size] = np.array(context.kinds[:size]) != NOISE
        targets.is_fact[row, 0] = False
        targets.is_plain_query[row, :size] = True
        last: dict[int, int] = {}  # key -> place of its latest value so far
        for i in range(2, size):
            if context.kinds[i] in (VALID_VALUE, STALE_VALUE) and context.tokens[i - 2] == _CODE:
                key = context.tokens[i - 1]
                if key in last:
                    targets.previous_value[row, i - 1] = last[key]
                    targets.is_plain_query[row, i - 1] = False
                last[key] = i
    return targets


def long_contexts(rng: random.Random, rows: int, length: int) -> list[Context]:
    """Long contexts without questions, used only by the attention losses."""
    menu = [
        {"hop": 10},
        {"passage": 12},
        {"stale": 14},
        {"stale": 14},
        {"hop": 5, "passage": 6},
        {"kv": 10, "classify": 8},
        {"stale": 8, "passage": 5},
    ]
    rewrites = Rewrites(writes=range(1, 9), window=lambda r: r.uniform(0.1, 0.4), repeat_share=0.1)
    return [
        build_context(rng, length, rng.choice(menu), rng.choice([0.1, 0.35, 0.6]), rewrites=rewrites)
        for _ in range(rows)
    ]
