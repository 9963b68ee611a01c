"""The top of a report: what was run, what came out for each model, and what speaks for and against trusting it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.comparison.verdict import label_collapses, labelled_metrics, trained_on, truncations
from reports.document.schema import Comparison, MetricInfo, Outcome, Results
from reports.numbers import OUTCOME_MARKS, join_words
from reports.result_rows import ResultRow, RowGroup
from reports.tables import overlap_count

_TILES = 8
_MODELS = 4  # with a line of their own in a tile
_NAMED = 4  # metrics that a sentence names
_DECIDED: tuple[Outcome, ...] = ("better", "worse")
_FIRST = ("worse", "better", "different")  # outcomes whose tiles come first if there are too many


@dataclass(frozen=True)
class Headline:
    """What came out for one model: its numbers of main and secondary metrics by outcome, and one sentence.

    Better and worse main metrics are counted also if there are none, of secondary metrics only these two.
    """

    model: str
    counts: list[tuple[Outcome, int]]
    secondary: list[tuple[Outcome, int]]
    sentence: str


@dataclass(frozen=True)
class Tile:
    """A main metric with a row for each model."""

    title: str
    rows: list[ResultRow]


@dataclass(frozen=True)
class Check:
    """Something that the numbers rest on.

    Attributes:
        level: `warning` for what makes numbers unfair or misleading, `note` for a limit, `fine` for a passed check.
        title: A few words.
        text: A sentence.
    """

    level: Literal["warning", "note", "fine"]
    title: str
    text: str

    @property
    def symbol(self) -> str:
        """A sign for the level, since colour alone says nothing to some readers."""
        return {"warning": "!", "note": "i", "fine": "\N{CHECK MARK}"}[self.level]


def facts(results: Results) -> list[tuple[str, str]]:
    """What was run, as pairs of a name and a value."""
    base = results.base or next((model for model in results.models if model.name == results.baseline), None)
    others = [name for name in results.shown_models() if name != results.baseline]
    training = results.training
    steps = f" ({training.rows:,} rows, {training.steps:,} steps)" if training else ""
    items = {score.task: score.n for score in results.scores}
    tasks = [f"{task.short_title} ({items[task.name]:,})" for task in results.tasks if task.name in items]
    return [
        (name, value)
        for name, value in (
            ("Base", base.source if base else ""),
            ("Adapter" if len(others) == 1 else "Models", _some(others)),
            ("Data (items)", _some(tasks)),
            ("Date", results.created.partition("T")[0]),
            ("Seed", str(results.seed)),
            ("Recipe", f"{results.recipe.get('name') or results.name}{steps}"),
        )
        if value
    ]


def headlines(results: Results) -> list[Headline]:
    """A headline for each shown model beside the baseline."""
    metrics = _metrics(results)
    lines = []
    for name in results.shown_models():
        if name != results.baseline:
            pairs = [pair for pair in results.comparisons_by_key().values() if pair.candidate == name]
            main = [pair for pair in pairs if metrics[pair.task, pair.metric].is_main]
            rest = [pair for pair in pairs if not metrics[pair.task, pair.metric].is_main]
            counted, beside = (Counter(pair.outcome for pair in some) for some in (main, rest))
            counts = [(word, counted[word]) for word in OUTCOME_MARKS if counted[word] or word in _DECIDED]
            secondary = [(word, beside[word]) for word in _DECIDED if beside[word]]
            lines.append(Headline(name, counts, secondary, _sentence(name, results.baseline, main, rest, metrics)))
    return lines


def tiles(results: Results, groups: Sequence[RowGroup]) -> list[Tile]:
    """The main metrics with a line for each model, or for the best of many; if there are many, the decided ones."""
    others = [name for name in results.shown_models() if name != results.baseline] or [results.baseline]
    if len(others) > _MODELS:
        best = results.compared.best if results.compared else None
        others = [best] if best in others else others[:_MODELS]
    found: dict[str, list[ResultRow]] = {}
    for group in groups:
        for row in group.rows:
            if group.is_main and row.model in others:
                found.setdefault(row.title, []).append(row)
    listed = [Tile(title, rows) for title, rows in found.items()]
    if len(listed) > _TILES:
        listed.sort(
            key=lambda tile: min(_FIRST.index(row.outcome) if row.outcome in _FIRST else 9 for row in tile.rows)
        )
    return listed[:_TILES]


def checks(results: Results) -> list[Check]:
    """What the numbers rest on: warnings first."""
    listed = [*_leakage(results), *_labels(results), *_lengths(results), *_items(results), *_noise(results)]
    if any(task.synthetic for task in results.tasks):
        text = "The sample data that ships with medbench is synthetic: its scores are no benchmark result."
        listed.append(Check("note", "synthetic data", text))
    order = ("warning", "note", "fine")
    return sorted(listed, key=lambda check: order.index(check.level))


def _metrics(results: Results) -> dict[tuple[str, str], MetricInfo]:
    """All metrics with unique titles, those of suites included, by task or suite and key."""
    return labelled_metrics(results) | {key: metric for key, (_, metric) in results.suite_means().items()}


def _some(names: Sequence[str], most: int = _NAMED) -> str:
    """`a, b and c`, or the first few and how many more."""
    return join_words([*names[:most], f"{len(names) - most} more"] if len(names) > most + 1 else names)


def _sentence(
    model: str,
    baseline: str,
    main: Sequence[Comparison],
    rest: Sequence[Comparison],
    metrics: dict[tuple[str, str], MetricInfo],
) -> str:
    """Gains and losses in main metrics, what is not decided, and losses and gains beside them."""

    def named(pairs: Sequence[Comparison], *outcomes: str) -> str:
        return _some([metrics[pair.task, pair.metric].title for pair in pairs if pair.outcome in outcomes])

    better, worse = named(main, "better"), named(main, "worse")
    if better or worse:
        first = f"{model} is " + " and ".join(
            f"{word} than {baseline} in {titles}" if titles else f"{word} in no main metric"
            for word, titles in (("better", better), ("worse", worse))
        )
    elif any(pair.difference is not None for pair in main):
        first = f"{model} is not shown to be better or worse than {baseline} in any main metric"
    else:
        first = f"{model} and {baseline} have no values on the same items in any main metric"
    sentences = [first]
    if open_ := named(main, "inconclusive"):
        sentences.append(f"Not decided: {open_}")
    if same := named(main, "equivalent", "identical"):
        sentences.append(f"Equivalent or identical: {same}")
    worse, better = named(rest, "worse"), named(rest, "better")
    if worse or better:
        parts = [f"{word} in {titles}" for word, titles in (("worse", worse), ("better", better)) if titles]
        sentences.append(f"Among the secondary metrics, {model} is {' and '.join(parts)}")
    return ". ".join(sentences) + "."


def _leakage(results: Results) -> list[Check]:
    check = results.overlap
    if check is None:
        return [Check("note", "leakage not checked", "Whether items share text with training rows was not checked.")]
    if warnings := trained_on(results):
        return [Check("warning", "Leakage", text) for text in warnings]
    return [Check("fine", "no leakage found", f"{overlap_count(check)}.")]


def _labels(results: Results) -> list[Check]:
    if warnings := label_collapses(results):
        return [Check("warning", "Label collapse", text.removeprefix("Label collapse: ")) for text in warnings]
    text = "No model gives one label to nine of ten items while gold has it less often."
    return [Check("fine", "no label collapse", text)] if results.label_use else []


def _lengths(results: Results) -> list[Check]:
    warnings = truncations(results)
    return [Check("warning", "Truncated reasoning", text.removeprefix("Truncated reasoning: ")) for text in warnings]


def _items(results: Results) -> list[Check]:
    metrics = _metrics(results)
    main = [pair for pair in results.comparisons if metrics[pair.task, pair.metric].is_main]
    undecided = [pair for pair in main if pair.outcome == "inconclusive"]
    counts = sorted({pair.n for pair in main})
    if not counts:
        return []
    items = f"{counts[0]:,} items" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,} items"
    if not undecided:
        return [Check("fine", f"{items} decide all main metrics", f"All main comparisons are decided by {items}.")]
    text = (
        f"{len(undecided)} of {len(main)} main comparisons are not decided by {items}; the tables say how many would."
    )
    return [Check("note", f"{len(undecided)} of {len(main)} comparisons not decided", text)]


def _noise(results: Results) -> list[Check]:
    metrics = _metrics(results)
    within = [metrics[pair.task, pair.metric].title for pair in results.comparisons if pair.is_within_noise]
    if within:
        text = f"Differences in {_some(within)} are not distinguishable from numerical noise."
        return [Check("note", "numerical noise", text)]
    if results.noise is None or not results.noise.scores:
        return []
    return [
        Check("fine", "no numerical noise found", "Numerical noise, measured on some items, explains no difference.")
    ]
