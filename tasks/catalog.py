"""Our lm-eval tasks and their metrics, with titles, descriptions and how each metric is compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.document.schema import MetricInfo
from tasks.benchmarks import BENCHMARKS

CONFIG_FOLDER = Path(__file__).resolve().parent / "lm_eval_tasks"

PUBMEDQA = "medbench_pubmedqa"
PUBMEDQA_QUESTION = "medbench_pubmedqa_question"
PUBMEDQA_COT = "medbench_pubmedqa_cot"
PUBMEDQA_QUESTION_COT = "medbench_pubmedqa_question_cot"
MEDCALC = "medbench_medcalc"
PERPLEXITY = "medbench_perplexity"
GENERATION = "medbench_generation"
QUESTIONS = "medbench_questions"
QUESTIONS_REASONED = "medbench_questions_reasoned"


@dataclass(frozen=True)
class OwnTask:
    """A task with prompts of our own; its lm-eval configuration is the file with its name in `CONFIG_FOLDER`.

    Attributes:
        title: Title in reports.
        metrics: Metrics of the configuration, in the order of the report.
        pubmedqa: Short title in tables, for tasks on the items of `data.pubmedqa`; empty for others.
        by_likelihood: The task that scores the same items by log-likelihood, for tasks with generated answers.
        reads_hub: Whether its items are of a data set on the hub, not of a source that the recipe names.
        takes_examples: Whether `scoring.num_fewshot` puts examples before its items.
    """

    title: str
    metrics: list[MetricInfo]
    pubmedqa: str = ""
    by_likelihood: str = ""
    reads_hub: bool = False
    takes_examples: bool = True


def _share(key: str, title: str, description: str, *, better: bool | None = True, **more: Any) -> MetricInfo:
    """A share of answers."""
    more = {"kind": "proportion", **more}
    return MetricInfo(key=key, title=title, higher_is_better=better, percent=True, description=description, **more)


def _number(key: str, title: str, description: str, *, better: bool | None = None, **more: Any) -> MetricInfo:
    """A number in its own unit."""
    return MetricInfo(key=key, title=title, higher_is_better=better, description=description, **more)


def _length(unit: str, description: str, *, descriptive: bool = True) -> MetricInfo:
    title = f"Reasoning length ({unit})"
    return _number(f"reasoning_{unit}", title, description, secondary=True, descriptive=descriptive, relevant=0.1)


_MACRO_F1 = _share(
    "macro_f1",
    "Macro-F1",
    "Unweighted mean of the F1 of the labels that occur in gold; it does not reward always giving one label. An answer"
    " without a label is a miss of its gold label.",
    kind="macro_f1",
)
_ENDED = _share("ended", "Ended by itself", "Share of answers that ended before the token limit.", secondary=True)
_PROBABILITIES = [
    _share(
        "accuracy_calibrated",
        "Accuracy after calibration",
        "Accuracy once each label's probability is divided by its mean over all questions (batch calibration, Zhou et"
        " al. 2023), which takes out a preference for one label.",
        kind="batch_calibrated",
        secondary=True,
    ),
    _number(
        "brier",
        "Brier score",
        "Mean over the questions of the summed squared difference between the labels' normalised probabilities and the"
        " truth, from 0 to 2.",
        better=False,
        secondary=True,
    ),
    _number(
        "log_score",
        "Log score",
        "Mean over the questions of the negative log of the gold label's normalised probability, in nats.",
        better=False,
        secondary=True,
    ),
    _share(
        "ece",
        "Calibration error (ECE)",
        "Mean gap between the probability of the chosen label and how often it is right, over ten bins, less what"
        " chance adds (Kumar et al. 2019). Descriptive: compare calibration by Brier and log score.",
        better=False,
        kind="ece",
        secondary=True,
        descriptive=True,
    ),
]
_LIKELIHOOD = [
    _share("accuracy", "Accuracy", "Share of questions whose most likely label of yes, no and maybe is the gold one."),
    _MACRO_F1,
    *_PROBABILITIES,
]
_GENERATED = [
    _share("accuracy", "Accuracy", "Share of questions whose final response says the gold label; no label is wrong."),
    _MACRO_F1,
    _share("answered", "Answer found", "Share of answers in which yes, no or maybe was found.", secondary=True),
    _ENDED,
]
_POSITION_SPREAD = _share(
    "position_spread",
    "Spread over positions",
    "Standard deviation of the accuracy over the positions of the gold option (RStd, Zheng et al. 2024); chance alone"
    " gives some, more the fewer questions there are. Descriptive: the test of the position effect has a table.",
    better=False,
    kind="other",
    secondary=True,
    descriptive=True,
)
_LETTERS = [
    _share("accuracy", "Accuracy", "Share of questions whose most likely letter is that of the gold option."),
    *_PROBABILITIES,
    _POSITION_SPREAD,
]
_REASONED_LETTERS = [
    _share("accuracy", "Accuracy", "Share of questions whose final response gives the gold option; none is wrong."),
    _share(
        "truncated",
        "Cut by the token limit",
        "Share of answers that the token limit cut, most of them before they came to a letter.",
        better=False,
        secondary=True,
    ),
    _share("answered", "Answer found", "Share of answers in which a letter was found.", secondary=True),
    _POSITION_SPREAD,
]
_TEXTS = [
    _number(
        "perplexity",
        "Perplexity",
        "exp of the mean negative log-likelihood per token of the gold reasoning and response, without the format's"
        " markers; only comparable between models that share a tokenizer.",
        better=False,
        kind="perplexity",
    ),
    _number(
        "bits_per_byte",
        "Bits per byte",
        "The same log-likelihood for each byte of the same text; comparable between tokenizers.",
        better=False,
        kind="bits_per_byte",
        secondary=True,
        descriptive=True,
        relevant=0.02,
    ),
    _number(
        "perplexity_with_markers",
        "Perplexity with markers",
        "Perplexity of the whole gold answer, headings or tags included, as stock lm-eval gives it; it falls as soon as"
        " a model knows the format.",
        better=False,
        kind="perplexity",
        secondary=True,
        descriptive=True,
    ),
]
_ANSWERS = [
    _share(
        "rouge_l",
        "ROUGE-L",
        "F-measure of the longest common subsequence of words between the final response and the gold one"
        " (rouge_score, no stemming; letters where a script writes no spaces between words).",
        kind="mean",
        relevant=0.02,
    ),
    _share(
        "format_compliance",
        "Format compliance",
        "Share of answers that keep the asked format strictly: every part once, in order, not empty, nothing"
        " outside, not cut off.",
    ),
    _ENDED,
    _share(
        "distinct_trigrams",
        "Distinct trigrams",
        "Share of an answer's runs of three words that are distinct (Li et al. 2016), from 0 where it says nothing or"
        " one thing over and over to 1; comparable within a language.",
        kind="mean",
        secondary=True,
    ),
    _share("empty", "Empty answers", "Share of answers without any text.", better=False, secondary=True),
    _share(
        "copied",
        "Copies of the prompt",
        "Share of answers that copy their prompt: at least half of their runs of eight words stand in it; shorter"
        " answers do not count as copies.",
        better=False,
        secondary=True,
    ),
    _length("tokens", "Tokens of the reasoning, by the base model's tokenizer; 0 without any.", descriptive=False),
    _length("words", "Words of the reasoning part; 0 where there is none."),
    _length("characters", "Characters of the reasoning part; 0 where there is none."),
    _number(
        "tokens_per_word",
        "Tokens per word",
        "Tokens of all answers for each of their words; lengths in tokens compare between tokenizers by it.",
        kind="ratio",
        secondary=True,
    ),
]
TASKS = {
    PUBMEDQA: OwnTask(
        "PubMedQA (question and abstract, log-likelihood of yes / no / maybe)", _LIKELIHOOD, pubmedqa="PubMedQA"
    ),
    PUBMEDQA_QUESTION: OwnTask(
        "PubMedQA (question only, log-likelihood of yes / no / maybe)", _LIKELIHOOD, pubmedqa="PubMedQA, question only"
    ),
    PUBMEDQA_COT: OwnTask(
        "PubMedQA (question and abstract, generated reasoning and answer)",
        _GENERATED,
        pubmedqa="PubMedQA, generated",
        by_likelihood=PUBMEDQA,
    ),
    PUBMEDQA_QUESTION_COT: OwnTask(
        "PubMedQA (question only, generated reasoning and answer)",
        _GENERATED,
        pubmedqa="PubMedQA, question only, generated",
        by_likelihood=PUBMEDQA_QUESTION,
    ),
    MEDCALC: OwnTask(
        "MedCalc-Bench (clinical calculations, generated)",
        [
            _share("accuracy", "Accuracy", "Share of answers whose final value is within the benchmark's tolerance."),
            _share("answered", "Answer found", "Share of answers in which a value was found.", secondary=True),
            _ENDED,
        ],
        reads_hub=True,
        takes_examples=False,
    ),
    PERPLEXITY: OwnTask("Perplexity of the gold reasoning and response", _TEXTS),
    GENERATION: OwnTask("Generated answers", _ANSWERS),
    QUESTIONS: OwnTask("Own questions (log-likelihood of the letter)", _LETTERS),
    QUESTIONS_REASONED: OwnTask(
        "Own questions (reasoning, then the letter)",
        _REASONED_LETTERS,
        by_likelihood=QUESTIONS,
        takes_examples=False,
    ),
}
TASKS |= {
    benchmark.task: OwnTask(
        benchmark.title,
        _REASONED_LETTERS,
        by_likelihood=benchmark.by_likelihood,
        reads_hub=True,
        takes_examples=False,
    )
    for benchmark in BENCHMARKS.values()
    if benchmark.by_likelihood
}
HELD_OUT = (PERPLEXITY, GENERATION)  # tasks on the held-out reasoning rows
_BY_KEY = {metric.key: metric for metric in _LETTERS}
_LETTERED = [_BY_KEY[key] for key in ("accuracy", "brier", "log_score")]
_CALIBRATED = [_BY_KEY[key] for key in ("accuracy", "accuracy_calibrated", "brier", "log_score")]
_ACC = _share("acc", "Accuracy", "Share of questions whose most likely answer is the gold one.")
_ACC_NORM = _share(
    "acc_norm",
    "Accuracy by length",
    "The same with each answer's log-likelihood divided by its length in characters.",
    secondary=True,
)
# Task files on data sets of the hub with prompts in Jinja, by name: their metrics in the order of the report.
BENCHMARK_METRICS = {
    "medbench_medxpertqa": _LETTERED,
    "medbench_supergpqa_clinical": _LETTERED,
    "medbench_metamedqa": _LETTERED,
    "medbench_medhalt_nota": _LETTERED,
    "medbench_medhalt_fct": _CALIBRATED,
    "medbench_medhallu": _CALIBRATED,
    "medbench_glianorex_shuffled": _CALIBRATED,
    "medbench_glianorex_no_question": _CALIBRATED,
    "medbench_retention_hellaswag": [_ACC, _ACC_NORM],
    "medbench_retention_arc_easy": [_ACC, _ACC_NORM],
    "medbench_retention_mmlu": [_ACC],
}
QUESTION_LABELS = {QUESTIONS: "Own questions", QUESTIONS_REASONED: "Own questions, reasoned"}
TITLES = {name: benchmark.title for name, benchmark in BENCHMARKS.items()}
TITLES |= {name: task.title for name, task in TASKS.items()}
METRICS = {name: task.metrics for name, task in TASKS.items()}
PUBMEDQA_LABELS = {name: task.pubmedqa for name, task in TASKS.items() if task.pubmedqa}


def is_reasoned(task: str) -> bool:
    """Whether only the answer after a model's reasoning counts, so that an answer that is cut before it is wrong."""
    own, benchmark = TASKS.get(task), BENCHMARKS.get(task)
    return bool(own and own.by_likelihood) or (benchmark is not None and benchmark.kind == "generated")


def metrics_of(task: str) -> list[MetricInfo]:
    """Metrics of a task that comes with medbench; empty for other people's, whose metrics are found from results."""
    return METRICS.get(task) or BENCHMARK_METRICS.get(task, [])


def reads_hub(task: str) -> bool:
    """Whether a task's own function reads a data set of the hub."""
    return task in TASKS and TASKS[task].reads_hub
