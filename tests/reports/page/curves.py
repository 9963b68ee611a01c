"""Results documents with a learning curve, made from right and wrong answers."""

from reports.comparison import compare_models
from reports.comparison.learning_curve import learning_curve
from reports.document.schema import MetricInfo, Sample, TaskInfo, Training
from tests.reports.comparison.handmade import model
from tests.reports.skeleton import results_of

ACCURACY = MetricInfo(key="acc", title="Accuracy", kind="proportion", higher_is_better=True, percent=True)
LENGTH = MetricInfo(key="length", title="Length", kind="mean", secondary=True)


def curve_results(rights=(50, 70, 50, 48), base=40, items=100, purpose="target", *, losses=True):
    """Results of a base and checkpoints of steps 20, 40, ... with so many right answers of the first items."""
    models = [model(f"adapter-step-{20 * n}", trained_here=True, step=20 * n) for n, _ in enumerate(rights, 1)]
    return _results(models, [], [base, *rights], items, purpose, losses=losses)


def seed_curve_results(rights, base=40, items=100, *, losses=True):
    """Results of a base and the checkpoints of several seeds, with the means of the steps that all seeds have.

    Args:
        rights: Numbers of right answers of the first items at steps 20, 40, ..., by seed.
        base: The same of the base.
        items: Number of items.
        losses: Whether there is a log of losses.
    """
    models = [
        model(f"seed-{seed}-step-{20 * n}", seed=seed, step=20 * n)
        for seed, counts in rights.items()
        for n, _ in enumerate(counts, 1)
    ]
    pools = [
        model(
            f"adapter-step-{20 * n}-mean",
            "pool",
            step=20 * n,
            members=[f"seed-{seed}-step-{20 * n}" for seed in rights],
        )
        for n in range(1, 1 + min(map(len, rights.values())))
    ]
    counts = [base, *(count for of_seed in rights.values() for count in of_seed)]
    return _results(models, pools, counts, items, "target", losses=losses)


def _results(adapters, pools, rights, items, purpose, *, losses):
    task = TaskInfo(name="quiz", title="Quiz", metrics=[ACCURACY, LENGTH], purpose=purpose)
    models = [model("base", "base"), *adapters]
    samples = {
        (one.name, "quiz"): [_sample(one.name, item, item < count) for item in range(items)]
        for one, count in zip(models, rights, strict=True)
    }
    base = samples["base", "quiz"]
    tested, scores = [], []
    for metric in task.metrics:
        scores += [compare_models.score(metric, samples[one.name, "quiz"], None, seed=1) for one in models]
        tested += [compare_models.compare(metric, base, samples[one.name, "quiz"], seed=1)[0] for one in adapters]
        for pool in pools:
            members = [samples[member, "quiz"] for member in pool.members]
            scores.append(compare_models.score_pool(metric, pool.name, members, None))
            tested.append(compare_models.compare_pool(metric, base, pool.name, members)[0])
    return results_of(
        models=[*models, *pools],
        tasks=[task],
        scores=scores,
        comparisons=compare_models.judge(tested),
        learning_curve=learning_curve([*models, *pools], [task], samples, seed=1),
        training=_training(max(one.step for one in adapters)) if losses else None,
    )


def _sample(name, item, right):
    return Sample(
        id=str(item),
        doc_hash=str(item),
        model=name,
        task="quiz",
        prompt="",
        output="",
        gold="",
        metrics={"acc": float(right), "length": float(item % 7)},
    )


def _training(steps):
    losses = [{"step": float(step), "loss": 2.0 - step / 100} for step in range(1, steps + 1)]
    losses += [{"step": float(step), "eval_loss": 1.5 + step / 1000} for step in range(20, steps + 1, 20)]
    facts = {"trained_now": True, "backend": "trl", "device": "cpu", "steps": steps, "epochs": 1.0, "rows": 9}
    facts |= {"validation_rows": 2, "truncated_rows": 0, "trained_tokens": 90, "trainable_parameters": 1}
    return Training(**facts, total_parameters=10, seconds=1.0, final_loss=1.0, losses=losses)
