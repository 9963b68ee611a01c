"""Builds the results document from the stages' outcomes: scores, paired comparisons, costs and the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from harness.environment import describe
from harness.planning.run_plan import Plan
from harness.runs.confident_answers import confident_answers
from harness.runs.pooling import own_names, pool_models
from harness.runs.positions import chosen_letters
from harness.runs.reasoning_effects import reasoning_effects
from harness.runs.reproduction import chat_template_hash, reproduction, tokenizer_hash
from harness.runs.slice_results import slice_results
from harness.runs.suite_rows import suite_rows
from harness.scoring.kept_answers import Scored
from harness.scoring.noise import NoiseMeter, with_noise
from reports.comparison import compare_models
from reports.comparison.compare_models import Tested
from reports.comparison.label_use import label_use
from reports.comparison.learning_curve import learning_curve
from reports.comparison.position_effect import position_effects
from reports.comparison.sums import value_of_samples
from reports.comparison.verdict import sentences
from reports.document.evidence import ClassCount, Confusion, Problem
from reports.document.schema import Comparison, DataInfo, MetricInfo, ModelInfo, Results, Score, Training
from reports.files import sha256_value
from reports.frames import confusion_matrix
from reports.numbers import percent_text
from reports.version import __version__
from tasks import catalog
from tasks.data.rows import LABELS
from tasks.data.selection import describe_selection
from tasks.pubmedqa import PREDICTIONS, official_script_macro_f1, prediction
from training.finetune import rows_hash
from training.log import TrainingLog, read_log
from training.models.adapters import WEIGHTS
from training.models.model import Model


def assemble(
    plan: Plan,
    scored: Sequence[Scored],
    noise: NoiseMeter | None,
    *,
    command: str,
    stages: dict[str, float],
    engine: dict[str, Any],
) -> Results:
    """The results document of a run."""
    scored = agree_on_metrics(scored)
    seed = plan.recipe.seed
    tested, notes = _compare(plan, scored)
    pooled = pool_models(plan, scored)
    rows = suite_rows(plan, scored)
    judged = compare_models.judge([*tested, *pooled.tested, *rows.tested])
    count = len(judged) - len(rows.tested)
    comparisons = with_noise_of(judged[:count], scored, plan, noise)
    notes += official_macro_f1(scored)
    confusion, letters = _confusion(scored), chosen_letters(scored)
    sliced = slice_results(plan, scored)
    tasks = {answers.task.name: answers.task.info.model_copy(update={"metrics": answers.metrics}) for answers in scored}
    models = [*(_model_info(plan, model) for model in plan.models), *pooled.models]
    samples = {(answers.model, answers.task.name): answers.samples for answers in scored}
    results = Results(
        medbench_version=__version__,
        name=plan.recipe.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=seed,
        baseline=plan.baseline.name,
        recipe=plan.recipe.model_dump(mode="json"),
        environment=describe(plan.device),
        models=models,
        base=_model_info(plan, plan.base) if plan.loads_base else None,
        data=_data(plan),
        tasks=list(tasks.values()),
        suites=rows.with_comparisons(judged[count:]),
        training=_training(plan, trained_now=any(name.startswith("train") for name in stages)),
        scores=[*_scores(scored, seed), *pooled.scores],
        comparisons=comparisons,
        costs=[answers.cost for answers in scored],
        classes=_classes(confusion),
        confusion=_confusion_cells(confusion),
        label_use=label_use(_labels(scored) | letters),
        positions=position_effects({key: of for key, of in letters.items() if key[1] in catalog.QUESTION_LABELS}),
        reasoning=reasoning_effects(scored, seed=seed),
        answer_confidence=confident_answers(scored, plan.baseline.name, seed=seed),
        slices=sliced.slices,
        worst_slices=sliced.worst,
        learning_curve=learning_curve(models, [*tasks.values()], samples, own=own_names(plan), seed=seed),
        problems=_problems(scored),
        overlap=plan.overlap,
        noise=noise.check() if noise is not None else None,
        reproduction=reproduction(plan, scored, engine["name"]),
        stages=stages,
        engine=engine,
        notes=[*plan.warnings, *notes],
    )
    return results.model_copy(update={"verdict": sentences(results)})


def agree_on_metrics(scored: Sequence[Scored]) -> list[Scored]:
    """Give each metric of a task one kind: the one that holds for the samples of all models.

    Only the kinds of other people's metrics are inferred from samples, so only theirs can disagree.
    """
    weaker = {"proportion": 0, "mean": 1, "other": 2}
    agreed: dict[tuple[str, str], MetricInfo] = {}
    for answers in scored:
        for metric in answers.metrics:
            first = agreed.setdefault((answers.task.name, metric.key), metric)
            if weaker.get(metric.kind, 0) > weaker.get(first.kind, 0):
                agreed[answers.task.name, metric.key] = metric
    return [
        replace(answers, metrics=[agreed[answers.task.name, metric.key] for metric in answers.metrics])
        for answers in scored
    ]


def _scores(scored: Sequence[Scored], seed: int) -> list[Score]:
    return [answers.score(metric, seed) for answers in scored for metric in answers.metrics]


def _compare(plan: Plan, scored: Sequence[Scored]) -> tuple[list[Tested], list[str]]:
    """Every other model against the baseline, before the correction over all of them; and what was left out."""
    notes: list[str] = []
    tested: list[Tested] = []
    by_model = {(answers.model, answers.task.name): answers for answers in scored}
    baseline = plan.baseline.name
    for model in plan.models:
        if model.name == baseline:
            continue
        for loaded in plan.tasks:
            before, after = by_model[baseline, loaded.name], by_model[model.name, loaded.name]
            for metric in after.metrics:
                pair, unpaired = compare_models.compare(metric, before.samples, after.samples, seed=plan.recipe.seed)
                tested.append(pair)
                if unpaired:
                    notes.append(
                        f"{loaded.name}, {metric.title}: {len(unpaired)} items have no value for both"
                        f" {baseline} and {model.name} and are left out of their comparison"
                    )
    return tested, notes


def with_noise_of(
    comparisons: Sequence[Comparison], scored: Sequence[Scored], plan: Plan, noise: NoiseMeter | None
) -> list[Comparison]:
    """The comparisons with the numerical noise of their differences, where it was measured."""
    metrics = {(answers.task.name, metric.key): metric for answers in scored for metric in answers.metrics}
    return [
        with_noise(
            comparison,
            metrics[comparison.task, comparison.metric],
            noise,
            [member.name for member in plan.pools.get(comparison.candidate, ())],
        )
        for comparison in comparisons
    ]


def official_macro_f1(scored: Sequence[Scored]) -> list[str]:
    """What PubMedQA's official script gives where that differs: it counts unparsed answers as one more label."""
    notes = []
    for answers in scored:
        if answers.task.name not in catalog.PUBMEDQA_LABELS:
            continue
        pairs = [sample.metrics["macro_f1"] for sample in answers.samples]
        ours, official = value_of_samples("macro_f1", pairs), official_script_macro_f1(pairs)
        if not math.isclose(ours, official, abs_tol=1e-9):
            notes.append(
                f"{answers.task.name}, {answers.model}: PubMedQA's official script gives a macro-F1 of"
                f" {percent_text(official)} instead of {percent_text(ours)}, since it counts answers without a label as"
                " a label of their own"
            )
    return notes


def _labels(scored: Sequence[Scored]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Gold and predicted label of each item, by model and task, for tasks of ours with labels."""
    return {
        (answers.model, answers.task.name): [
            (PREDICTIONS[int(sample.metrics["macro_f1"][0])], prediction(sample))  # type: ignore[index]
            for sample in answers.samples
            if sample.repeat == 0
        ]
        for answers in scored
        if answers.task.name in catalog.PUBMEDQA_LABELS
    }


def _model_info(plan: Plan, model: Model) -> ModelInfo:
    dialogue, part = plan.dialogues[model.name], plan.part_of(model)
    return ModelInfo(
        name=model.name,
        kind=model.kind,
        source=model.source,
        sha256=model.sha256,
        config_sha256=model.config_sha256,
        weights=part.weights,
        quantized_share=None if model.is_served else part.weight_format.share,
        weight_bytes=(model.folder / WEIGHTS).stat().st_size if model.is_adapter else None,
        tokenizer_sha256=tokenizer_hash(dialogue.tokenizer),
        chat_template_sha256=chat_template_hash(dialogue),
        answer_ends=dialogue.ends_in_words(),
        training_data=plan.training_data(model.name),
        trained_here=model.trained_here,
        step=model.step,
        seed=model.seed,
        unrecorded_base=model.unrecorded_base or None,
    )


def _data(plan: Plan) -> list[DataInfo]:
    data = []
    if plan.own_adapter is not None and (rows := plan.own_adapter.rows) is not None:
        sources = [("train", plan.recipe.data.train, rows.train)]
        if rows.validation:
            source = plan.recipe.data.validation or plan.recipe.data.train
            sources.append(("validation", source, rows.validation))
        data += [
            DataInfo(
                role=role,
                source=source.public_name,
                selection=describe_selection(source),
                rows=len(chosen),
                sha256=rows_hash(chosen),
                synthetic=source.is_sample,
                account=rows.accounts.get(role),
            )
            for role, source, chosen in sources
        ]
    for loaded in plan.tasks:
        data.append(
            DataInfo(
                role=loaded.name,
                source=loaded.source.public_name if loaded.source else loaded.file or f"lm-eval task {loaded.name}",
                selection=loaded.info.setting,
                rows=len(loaded.indices),
                sha256=sha256_value([row["id"] for row in loaded.documents()]) if loaded.source else loaded.items_hash,
                synthetic=loaded.info.synthetic,
                account=loaded.account,
                available=len(loaded.task.eval_docs) - loaded.set_aside,
            )
        )
    return data


def _training(plan: Plan, *, trained_now: bool) -> Training | None:
    own = plan.own_adapter
    if own is None:
        return None
    folder = plan.folder if own.seed is None else plan.folder.of_seed(own.seed)
    log = read_log(folder.adapter)
    if log is None:
        return None
    shared = set(Training.model_fields) & set(TrainingLog.model_fields) - {"dropped_rows"}
    peak, dropped = log.memory.peak_allocated_bytes, len(log.dropped_rows)
    shared_values = log.model_dump(include=shared)
    return Training(trained_now=trained_now, peak_memory_bytes=peak, dropped_rows=dropped, **shared_values)


def _confusion(scored: Sequence[Scored]) -> dict[tuple[str, str], pd.DataFrame]:
    """Confusion matrices by model and task, for tasks of ours with labels; `none` is a column only if it was given."""
    matrices = {}
    for answers in scored:
        if answers.task.name in catalog.PUBMEDQA_LABELS:
            pairs = [sample.metrics["macro_f1"] for sample in answers.samples]
            gold, predicted = ([PREDICTIONS[int(pair[place])] for pair in pairs] for place in (0, 1))  # type: ignore[index]
            labels = [label for label in PREDICTIONS if label in LABELS or label in predicted]
            matrices[answers.model, answers.task.name] = confusion_matrix(gold, predicted, labels)
    return matrices


def _confusion_cells(matrices: Mapping[tuple[str, str], Any]) -> list[Confusion]:
    return [
        Confusion(model=model, task=task, gold=gold, predicted=predicted, count=int(matrix.loc[gold, predicted]))
        for (model, task), matrix in matrices.items()
        for gold in LABELS
        for predicted in matrix.columns
    ]


def _classes(matrices: Mapping[tuple[str, str], Any]) -> list[ClassCount]:
    """How often each label was gold, given, and right."""
    return [
        ClassCount(
            model=model,
            task=task,
            label=label,
            gold=int(matrix.loc[label].sum()),
            predicted=int(matrix[label].sum()),
            correct=int(matrix.loc[label, label]),
        )
        for (model, task), matrix in matrices.items()
        for label in matrix.columns
    ]


def _problems(scored: Sequence[Scored]) -> list[Problem]:
    return [
        Problem(model=answers.model, task=answers.task.name, problem=problem, count=count)
        for answers in scored
        for problem, count in answers.tally.problems.most_common()
    ]
