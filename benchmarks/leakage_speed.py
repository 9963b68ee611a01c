"""Measures the leakage search: 100,000 training rows against 1,500 test items, with planted leaks and decoys.

    python -m benchmarks.leakage_speed OUT.json [--rows 100000] [--items 1500] [--allow-dirty]

Rows of 150 words (question, reasoning, answer) and items (question, context, answer) are drawn from 60,000 words by
Zipf's law; one row in twenty is repeated, and three in ten end with a stock phrase. Leaks of every kind that the
search promises to find are planted, and questions that only look alike. It fails where a leak is missed, a decoy is
reported, or a minute of processor time or 2 GB are exceeded; `seconds` is longer on a machine with other work, which
`load_average` shows.
"""

# ruff: noqa: RUF001 - full-width punctuation is meant

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from harness.environment import describe
from reports.files import write_json
from tasks.overlap import Passage, TrainingIndex
from training.models.device import device_of

LIMIT_SECONDS = 60
LIMIT_BYTES = 2 * 10**9
_VOCABULARY = 60_000
_PLANTED = 5  # of each kind
_OVERSAMPLED = 40  # rows that hold one leaked text, where a kind is about that
_STOCK = "Which of the following is the most appropriate next step in the management of this patient today?"
_SYLLABLES = [a + b for a in "bcdfglmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "il", "os", "um")]
_CHINESE = "一名患有{}的患者服用{}两周后出现皮疹，{}怎样处理？"
_DISEASES = ("癫痫", "痛风", "哮喘", "银屑病", "类风湿关节炎")
_DRUGS = ("卡马西平", "别嘌醇", "茶碱", "甲氨蝶呤", "柳氮磺吡啶")


class Corpus:
    """Texts of a random language whose words are as unequally frequent as those of a real one.

    Args:
        seed: Decides all texts.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - not for secrets
        self._numbers = np.random.default_rng(seed)
        names: dict[str, None] = {}
        while len(names) < _VOCABULARY:
            names["".join(self.random.choices(_SYLLABLES, k=self.random.randint(2, 4)))] = None
        self._words = np.array(list(names), dtype=object)
        weights = 1 / (np.arange(_VOCABULARY) + 2.7)  # Mandelbrot's form of Zipf's law
        self._total = np.cumsum(weights / weights.sum())

    def text(self, count: int) -> str:
        """So many words."""
        return " ".join(self._words[np.searchsorted(self._total, self._numbers.random(count))])

    def rare(self, count: int) -> str:
        """So many words of the rarer nine tenths."""
        return " ".join(self._words[self._numbers.integers(_VOCABULARY // 10, _VOCABULARY, count)])


def make_rows(corpus: Corpus, count: int) -> list[Passage]:
    """Training rows of about 150 words, three passages each."""
    rows: list[tuple[str, str, str]] = []
    for number in range(count):
        if rows and number % 20 == 0:
            rows.append(corpus.random.choice(rows))
            continue
        stock = f" {_STOCK}" if number % 10 < 3 else ""  # noqa: PLR2004 - three in ten
        rows.append((f"{corpus.text(30)}?{stock}", corpus.text(80), corpus.text(40)))
    return [
        Passage(f"row {number}", part, text)
        for number, row in enumerate(rows)
        for part, text in zip(("question", "reasoning", "answer"), row, strict=True)
    ]


def make_items(corpus: Corpus, count: int) -> list[Passage]:
    """Test items with nothing planted in them; three in ten end with the stock phrase."""
    return [
        Passage(f"item {number}", part, text)
        for number in range(count)
        for part, text in (
            ("question", f"Does {corpus.text(14)}? {_STOCK if number % 10 < 3 else ''}"),  # noqa: PLR2004
            ("context", corpus.text(200)),
            ("answer", corpus.text(20)),
        )
    ]


def plant(corpus: Corpus, rows: list[Passage], items: list[Passage]) -> tuple[dict[str, list[str]], list[str]]:
    """Add leaks and decoys: (ids of items by kind of leak, ids of decoys)."""
    leaks: dict[str, list[str]] = {}
    decoys: list[str] = []

    def add(kind: str, number: int, row: str, item: str, part: str = "question", *, is_leak: bool = True) -> None:
        rows.append(Passage(f"{kind} row {len(rows)}", part, row))
        items.append(Passage(name := f"{kind} {number}", part, item))
        (leaks.setdefault(kind, []) if is_leak else decoys).append(name)

    for number in range(_PLANTED):
        a, b, c, d = corpus.rare(4).split()
        question = f"Does {a} reduce {b} in patients with {c} and {d}?"
        add("exact", number, question, question)
        add("case and width", number, f"{question} {a}é", unicodedata.normalize("NFD", f"{question.upper()} {a}é"))
        a, b, c, d = corpus.rare(4).split()
        question = f"Does {a} reduce {b} in patients with {c} and {d}?"
        add("function word", number, question, question.replace(" reduce ", " reduce the "))
        a, b, c, d = (f"{word}ol" for word in corpus.rare(4).split())
        question = f"Does {a} reduce {b} in patients with {c} and {d}?"
        add("misspelt", number, question, question.replace(c, c[:3] + c[4] + c[3] + c[5:]))
        a, b, c, d = corpus.rare(4).split()
        add("word more", number, f"What causes {a} {b} of the {c}?", f"What causes {d} {a} {b} of the {c}?")
        a, b, c, d = corpus.rare(4).split()
        add(
            "options",
            number,
            f"Which drug helps {a}? A. {b} B. {c} C. {d}",
            f"Which drug helps {a}? A. {d} B. {b} C. {c}",
        )
        chinese = (_DISEASES[number], _DRUGS[number])
        add(
            "Chinese",
            number,
            _CHINESE.format(*chinese, "应当"),
            _CHINESE.format(*chinese, "应该").replace("怎样", "如何"),
        )
        other = (_DISEASES[number], _DRUGS[number - 1])
        add("Chinese decoy", number, _CHINESE.format(*chinese, "应当"), _CHINESE.format(*other, "应当"), is_leak=False)
        a, b, c, d = corpus.rare(4).split()
        add("decoy", number, f"Does {a} reduce {b} in {c}?", f"Does {d} reduce {b} in {c}?", is_leak=False)
        add("negation", number, f"Is {a} safe in {b} of the {c}?", f"Is {a} not safe in {b} of the {c}?", is_leak=False)
        leaked = corpus.text(60)
        add(
            "part of an answer",
            number,
            f"{corpus.text(60)} {leaked} {corpus.text(60)}",
            f"{leaked} {corpus.text(90)}",
            "context",
        )
        for kind, length in (("oversampled context", 120), ("oversampled answer", 20)):
            leaked = corpus.text(length)
            part = kind.split()[1]
            add(kind, number, leaked, leaked, part)
            rows += [
                Passage(f"{kind} {number} row {n}", part, f"{leaked} {corpus.text(10)}" if n % 2 else leaked)
                for n in range(_OVERSAMPLED)
            ]
    shared = corpus.text(120)
    for number in range(11):
        items.append(Passage(name := f"shared context {number}", "context", shared))
        leaks.setdefault("shared context", []).append(name)
    rows.append(Passage("shared context row", "answer", f"{corpus.text(30)} {shared}"))
    return leaks, decoys


def measure(row_count: int, item_count: int, seed: int) -> dict[str, Any]:
    """Time, memory and what was found."""
    corpus = Corpus(seed)
    rows, items = make_rows(corpus, row_count), make_items(corpus, item_count)
    leaks, decoys = plant(corpus, rows, items)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started, processor = time.perf_counter(), time.process_time()
    index = TrainingIndex(rows)
    built = time.perf_counter() - started
    overlaps = {overlap.item for overlap in index.find(items)}
    return {
        "rows": row_count,
        "items": item_count,
        "words_of_rows": int(sum(passage.text.count(" ") + 1 for passage in rows)),
        "seconds": round(time.perf_counter() - started, 1),
        "seconds_to_index": round(built, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "bytes_of_texts": before,
        "planted": {kind: len(names) for kind, names in leaks.items()},
        "missed": [name for names in leaks.values() for name in names if name not in overlaps],
        "decoys": len(decoys),
        "reported_decoys": [name for name in decoys if name in overlaps],
        "reported_others": sorted(overlaps - {*decoys, *(name for names in leaks.values() for name in names)}),
    }


def _is_dirty() -> bool:
    command = ["git", "status", "--porcelain"]
    root = Path(__file__).resolve().parent.parent
    return bool(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip())  # noqa: S603


def main() -> int:
    """Measure, write the file and say what fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--allow-dirty", action="store_true", help="measure a working tree with changes")
    arguments = parser.parse_args()
    if (dirty := _is_dirty()) and not arguments.allow_dirty:
        print("the working tree has changes; commit them, or give --allow-dirty", file=sys.stderr)
        return 2
    result = measure(arguments.rows, arguments.items, arguments.seed)
    environment = describe(device_of("cpu")) | {"dirty": dirty}
    write_json(arguments.out, {"result": result, "environment": environment})
    print(result)
    fast = result["processor_seconds"] <= LIMIT_SECONDS and result["peak_bytes"] <= LIMIT_BYTES
    right = not (result["missed"] or result["reported_decoys"] or result["reported_others"])
    return 0 if fast and right else 1


if __name__ == "__main__":
    sys.exit(main())
