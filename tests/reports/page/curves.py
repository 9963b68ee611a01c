"""A results document with a learning curve, made from right and wrong answers."""

from reports.comparison import compare_models
from reports.comparison.learning_curve import learning_curve
from reports.document.schema import MetricInfo, ModelInfo, Sample, TaskInfo, Training
from tests.reports.skeleton import results_of

ACCURACY = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
LENGTH = MetricInfo(key="length", title="Length", kind="mean", secondary=True)


def curve_results(rights=(50, 70, 50, 48), base=40, items=100, purpose="target", *, losses=True):
    """Results of a base and checkpoints of steps 20, 40, ... with so many right answers of the first items."""
    task = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY, LENGTH], purpose=purpose)
    counts = {"base": base} | {f"adapter-step-{20 * n}": count for n, count in enumerate(rights, 1)}
    models = [
        ModelInfo(
            name=name,
            kind="adapter" if name != "base" else "base",
            source=name,
            sha256=name,
            weights="float32",
            trained_here=name != "base",
            step=None if name == "base" else int(name.rpartition("-")[2]),
        )
        for name in counts
    ]
    samples = {
        (name, "quiz"): [
            Sample(
                id=str(item),
                doc_hash=str(item),
                model=name,
                task="quiz",
                prompt="",
                output="",
                gold="",
                metrics={"acc": float(item < count), "length": float(item % 7)},
            )
            for item in range(items)
        ]
        for name, count in counts.items()
    }
    pairs = [
        compare_models.compare(metric, samples["base", "quiz"], samples[model.name, "quiz"], seed=1)[0]
        for metric in task.metrics
        for model in models[1:]
    ]
    return results_of(
        models=models,
        tasks=[task],
        scores=[
            compare_models.score(metric, samples[model.name, "quiz"], None, seed=1)
            for metric in task.metrics
            for model in models
        ],
        comparisons=compare_models.judge(pairs),
        learning_curve=learning_curve(models, [task], samples, seed=1),
        training=_training(len(rights)) if losses else None,
    )


def _training(checkpoints):
    steps = 20 * checkpoints
    losses = [{"step": float(step), "loss": 2.0 - step / 100} for step in range(1, steps + 1)]
    losses += [{"step": float(step), "eval_loss": 1.5 + step / 1000} for step in range(20, steps + 1, 20)]
    facts = {"trained_now": True, "backend": "trl", "device": "cpu", "steps": steps, "epochs": 1.0, "rows": 9}
    facts |= {"validation_rows": 2, "truncated_rows": 0, "trained_tokens": 90, "trainable_parameters": 1}
    return Training(**facts, total_parameters=10, seconds=1.0, final_loss=1.0, losses=losses)
