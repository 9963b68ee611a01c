"""Candidates and baselines with given values, for the tests of the gate."""

from dataclasses import replace

import numpy as np

from reports.comparison.sums import value_of_samples
from reports.document.evidence import OverlapCheck
from reports.document.schema import MetricInfo, ModelInfo, Sample, Score, TaskCost, TaskInfo
from reports.gate.inputs import GateInput
from reports.gate.judging import judge
from reports.gate.policy import Policy
from tests.reports.skeleton import results_of

ACCURACY = MetricInfo(key="m", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
PERPLEXITY = MetricInfo(key="m", title="Perplexity", kind="perplexity", higher_is_better=False)
ROUGE = MetricInfo(key="m", title="ROUGE-L", higher_is_better=True, percent=True)
LENGTH = MetricInfo(key="m", title="Length")


def inputs(metric, before, after, **changes):
    """Baseline and candidate of one run, with these values on one task; every third item is of class maybe."""

    def samples(model, values):
        return {
            str(n): Sample(
                id=str(n),
                doc_hash=str(n),
                model=model,
                task="t",
                prompt="p",
                output="o",
                gold="maybe" if n % 3 == 0 else "yes",
                metrics={"m": value},
                fields={"speciality": "cardiology" if n < 20 else "surgery"},
                finish_reason="length" if n < 2 else "stop",
            )
            for n, value in enumerate(values)
        }

    models = {"base": list(before), "adapter": list(after)}
    base = ModelInfo(name="base", kind="base", source="", sha256="a", weights="w")
    results = results_of(
        models=[
            base,
            ModelInfo(name="adapter", kind="adapter", source="", sha256="b", weights="w", weight_bytes=3 * 2**20),
        ],
        base=base,
        tasks=[TaskInfo(name="t", title="T", metrics=[metric])],
        scores=[
            Score(model=name, task="t", metric="m", value=value_of_samples(metric.kind, values), n=len(values))
            for name, values in models.items()
        ],
        costs=[TaskCost(model="adapter", task="t", seconds=2.0, prompt_tokens=1, output_tokens=100)],
        overlap=OverlapCheck(method="", models=["adapter"], rows=1, items={"t": len(models["base"])}),
    ).model_copy(update=changes)
    return tuple(
        GateInput(run="r", results=results, model=name, items={"t": samples(name, values)})
        for name, values in models.items()
    )


def verdict(rule, baseline, candidate, **policy):
    report = judge(Policy.model_validate({"rules": [rule], **policy}), candidate, [baseline])
    return report.rules[0], report


def shifted(n, gain, seed=0):
    generator = np.random.default_rng(seed)
    before = generator.beta(2, 5, n)
    return before.tolist(), (before + gain + generator.normal(0, 0.05, n)).tolist()


def right_and_wrong(gained, lost, items):
    """Answers of two models that differ on so many items; half of the rest is right."""
    same = [float(n % 2) for n in range(items - gained - lost)]
    return [0.0] * gained + [1.0] * lost + same, [1.0] * gained + [0.0] * lost + same


def with_items(side, change):
    return replace(side, items={"t": {key: change(item) for key, item in side.items["t"].items()}})


def first(update):
    return lambda item: item.model_copy(update=update) if item.id == "0" else item


def perplexities(n, loss):
    """(log-likelihood, tokens) of texts under two models, the second one more perplexed by that share."""
    generator = np.random.default_rng(1)
    before, noise = generator.normal(-50, 5, n), generator.normal(0, 2, n)
    after = before + noise - 20 * np.log1p(loss)
    return [[(float(value), 20.0) for value in values] for values in (before, after)]
