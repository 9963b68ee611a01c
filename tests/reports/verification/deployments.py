"""Answers of an evaluated and a deployed model with given values, for the tests of the certificate."""

import numpy as np

from reports.document.schema import MetricInfo, Sample, TaskInfo
from reports.document.verification import DeployedTarget, Reference, Verification
from reports.verification.equivalence import judge

ACCURACY = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
MACRO_F1 = MetricInfo(key="f1", title="Macro-F1", kind="macro_f1", higher_is_better=True, percent=True)
PERPLEXITY = MetricInfo(key="ppl", title="Perplexity", kind="perplexity", higher_is_better=False)
CHOICES = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY])
TEXTS = TaskInfo(name="texts", title="Texts", metrics=[PERPLEXITY])
LABELS = ("no", "yes")


def quiz(nats, gold=None, **changes):
    """Answers to questions with two choices, from their log-likelihoods, shape [items, 2]; `no` is right by default."""
    rights = np.zeros(len(nats), int) if gold is None else gold
    chosen = np.argmax(nats, axis=1)
    rows = zip(nats.tolist(), rights.tolist(), chosen.tolist(), strict=True)
    facts = [
        {
            "id": str(n),
            "doc_hash": str(n),
            "model": "adapter",
            "task": "quiz",
            "prompt": "p",
            "output": LABELS[choice],
            "gold": LABELS[right],
            "metrics": {"acc": float(choice == right), "f1": (float(right), float(choice))},
            "choices": dict(zip(LABELS, row, strict=True)),
            "output_tokens": 2,
        }
        for n, (row, right, choice) in enumerate(rows)
    ]
    return {"quiz": [Sample(**fact | changes) for fact in facts]}


def texts(nats, tokens=50):
    """Gold answers with these log-likelihoods per token."""
    return {
        "texts": [
            Sample(
                id=str(n),
                doc_hash=str(n),
                model="adapter",
                task="texts",
                prompt="p",
                output="",
                gold="g",
                metrics={"ppl": (float(value) * tokens, float(tokens))},
            )
            for n, value in enumerate(nats)
        ]
    }


def generated(ended):
    """Generated answers that ended by themselves or at the limit, all of the same value."""
    return {
        "quiz": [
            Sample(
                id=str(n),
                doc_hash=str(n),
                model="adapter",
                task="quiz",
                prompt="p",
                output="o",
                gold="g",
                metrics={"acc": float(n % 2)},
                finish_reason="stop" if is_ended else "length",
            )
            for n, is_ended in enumerate(ended)
        ]
    }


def random_nats(items, seed=0):
    """Log-likelihoods of two choices whose probabilities go from near 0 to near 1."""
    return np.random.default_rng(seed).normal(-4, 2, (items, 2))


def document(parts, causes=(), **reference):
    """A whole certificate of the adapter of `tests.reports.gate.examples`."""
    facts = {"run": "r", "model": "adapter", "sha256": "b", "base_sha256": "a", "engine": "transformers"}
    return Verification(
        **parts.model_dump(),
        medbench_version="1",
        created="2026-11-29",
        command="medbench verify r model.gguf",
        reference=Reference(**facts | reference),
        target=DeployedTarget(kind="gguf", label="model.gguf", form="q8_0 GGUF", sha256="c"),
        causes=list(causes),
    )


def equal_parts(items=500):
    """The parts of a target that equals the reference up to small noise."""
    nats = random_nats(items)
    return judge([CHOICES], quiz(nats), quiz(nats + np.random.default_rng(1).normal(0, 0.001, nats.shape)))
