"""Suites of benchmarks by name: `--tasks medical` stands for the tasks of a suite.

No task or group of lm-eval 0.4.13 has the name of a suite, which a test checks, so a suite hides none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.document.schema import Purpose
from tasks.benchmarks import EXTRAS, MEMBERS, Benchmark


@dataclass(frozen=True)
class Suite:
    """Benchmarks that answer one question together.

    Attributes:
        name: Name in `--tasks` and `scoring.tasks`.
        purpose: What the suite is for, one clause.
        members: What the name stands for.
        extras: Benchmarks beside them, scored only by their own names: their licence forbids commercial use, they
            need more packages, or they are other ways to answer the members' questions.
        mean_of: Metric by task whose unweighted mean is the suite's row; empty if it has none.
        mean_title: Title of that row.
    """

    name: str
    purpose: str
    members: tuple[Benchmark, ...]
    extras: tuple[Benchmark, ...] = ()
    mean_of: tuple[tuple[str, str], ...] = ()
    mean_title: str = ""

    @property
    def tasks(self) -> list[str]:
        """Names of the lm-eval tasks that the suite stands for."""
        return [member.task for member in self.members]


_PURPOSES = {
    "medical": "the nine tasks of the Open Medical-LLM Leaderboard, zero-shot",
    "medical-reasoned": "medical questions answered in words, for models that reason",
    "medical-hard": "what strong models still fail: specialists' questions and calculations",
    "medical-trust": "hallucination, false confidence and not knowing",
    "control": "guessing: medicine that does not exist, options shuffled, question left out",
    "retention": "what a fine-tune forgets: fixed samples of general benchmarks",
    "languages": "medicine in other languages than English",
}
_MEAN_TITLES = {
    "medical": "Mean of the nine accuracies (Open Medical-LLM Leaderboard)",
    "retention": "Mean of the three accuracies of general knowledge (retention)",
}


def _mean_of(name: str) -> tuple[tuple[str, str], ...]:
    """The metric of each task in the suite's row; empty if the suite has none."""
    members = MEMBERS[name] if name in _MEAN_TITLES else ()
    return tuple((member.task, "accuracy" if member.task == "medbench_pubmedqa" else "acc") for member in members)


SUITES = {
    name: Suite(name, _PURPOSES[name], members, EXTRAS.get(name, ()), _mean_of(name), _MEAN_TITLES.get(name, ""))
    for name, members in MEMBERS.items()
}
_BESIDE_TARGET: tuple[Purpose, ...] = ("retention", "languages", "control")


def purpose_of(task: str) -> Purpose:
    """`target`, or the suite by which a task measures something beside a fine-tune's target."""
    for name in _BESIDE_TARGET:
        if any(member.task == task for member in (*MEMBERS[name], *EXTRAS.get(name, ()))):
            return name
    return "target"


def expand(names: Iterable[str]) -> list[str]:
    """Task names with suites replaced by their tasks, each task once, in order."""
    tasks: list[str] = []
    for name in names:
        tasks += SUITES[name].tasks if name in SUITES else [name]
    return list(dict.fromkeys(tasks))


def named_suites(names: Sequence[str]) -> list[Suite]:
    """The suites among task names, once each, in order."""
    return [SUITES[name] for name in dict.fromkeys(names) if name in SUITES]
