"""Run folders written by hand: results and samples of a few models without any model."""

from reports.document.schema import MetricInfo, ModelInfo, Results, Sample, Score, TaskInfo, Training
from reports.files import write_json, write_jsonl

ACCURACY = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
LOSS = MetricInfo(key="loss", title="Loss", kind="mean", higher_is_better=False, secondary=True)
QUIZ = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY, LOSS])


def model(name, kind="adapter", sha256=None, **facts):
    """A model whose weights are like no other's, but for those of the base."""
    return ModelInfo(
        name=name, kind=kind, source=name, sha256=sha256 or f"weights of {name}", weights="float32", **facts
    )


def training(seconds=60.0, memory=1000, **facts):
    """What training did, as far as a comparison of runs reads it."""
    return Training(
        **{"trained_now": True, "backend": "trl", "device": "cpu", "steps": 3, "epochs": 1.0, "rows": 9}
        | {"validation_rows": 0, "truncated_rows": 0, "trained_tokens": 90, "trainable_parameters": 1}
        | {"total_parameters": 10, "final_loss": 1.0, "seconds": seconds, "peak_memory_bytes": memory}
        | facts
    )


def write_run(folder, answers, *, tasks=(QUIZ,), models=None, **facts):
    """Write a run in which each model got the listed items right (1) or wrong (0).

    Args:
        folder: The run folder.
        answers: Right or wrong by model, in the order of the items.
        tasks: Tasks of the document; the samples are of `quiz`.
        models: Models of the document; by default `base` is the base and the others are adapters.
        facts: Further fields of the results document.
    """
    models = models or [model(name, "base" if name == "base" else "adapter") for name in answers]
    for name, values in answers.items():
        rows = [sample(name, item, value).model_dump(mode="json") for item, value in enumerate(values)]
        write_jsonl(folder / "samples" / name / "quiz.jsonl", rows)
    document = {"medbench_version": "1", "name": folder.name, "created": "", "command": "", "seed": 7} | {
        "baseline": "base",
        "recipe": {},
        "environment": {},
        "models": models,
        "data": [],
        "tasks": list(tasks),
        "scores": [
            Score(model=name, task="quiz", metric="acc", value=sum(values) / len(values), n=len(values))
            for name, values in answers.items()
        ],
    }
    results = Results(**document | facts)
    write_json(folder / "results.json", results.model_dump(mode="json"))
    return results


def sample(name, item, value):
    """The answer of a model to an item."""
    return Sample(
        id=f"item {item}",
        doc_hash=f"hash {item}",
        model=name,
        task="quiz",
        prompt=f"question {item}",
        output="yes" if value else "no",
        gold="yes",
        metrics={"acc": float(value), "loss": 1.0 - value},
    )
