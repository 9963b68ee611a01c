"""`medbench judge`: a model judges the generated answers of a finished run by a rubric."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.console import Terminal
from harness.folder import RunFolder
from harness.judging.rubric_files import load_criteria, load_rubric
from harness.logs import log_to
from harness.runs.judged_answers import add_judging, judging_path, read_answers
from reports.document.checksums import remove_facts, write_facts
from reports.document.judging import JudgedReply, JudgeInfo, JudgingInfo
from reports.document.reading import read_scored, write_results
from reports.errors import UserError
from reports.files import ListHash, sha256_value, write_jsonl
from reports.rating_sheet import output_hash
from tasks import catalog
from tasks.judging.prompts import JudgePrompt, judge_prompt
from tasks.judging.replies import read_reply
from tasks.judging.rubric import Criterion, Rubric
from training.machine_failures import raise_machine_errors

if TYPE_CHECKING:
    from harness.answers.answer_store import AnswerStore
    from harness.judging.judges import Judge, JudgeReply
    from reports.document.schema import Results, Sample
    from training.models.model import Model
    from training.recipes.recipe import Recipe

_WAIT_SECONDS = 60.0  # for another command in the run folder
_FIX = "write NAME=http://HOST/v1#MODEL, NAME=FOLDER of a whole model, or base"


@dataclass(frozen=True)
class _Question:
    """What is asked about one answer, or about two in one order."""

    prompt: JudgePrompt
    samples: tuple[Sample, ...]
    criteria: Sequence[Criterion]

    def reply(self, rubric: Rubric, given: JudgeReply) -> JudgedReply:
        """The judge's reply, read."""
        status, ratings = read_reply(given.text, rubric, self.criteria)
        if given.ending in ("refused", "failed"):
            status, ratings = given.ending, {}
        first = self.samples[0]
        return JudgedReply(
            id=first.id,
            doc_hash=first.doc_hash,
            cluster=first.cluster,
            models=[sample.model for sample in self.samples],
            outputs=[output_hash(sample) for sample in self.samples],
            characters=[len(sample.output) for sample in self.samples],
            prompt_sha256=self.prompt.sha256,
            status=status,
            ratings=ratings,
            reply=given.text,
            prompt_tokens=given.prompt_tokens,
            output_tokens=given.output_tokens,
        )


def judge(  # noqa: PLR0913 - one for each flag of the command
    run: str | Path,
    judge: str,
    rubric: str = "five-aspects",
    *,
    task: str | None = None,
    criteria: str | Path | None = None,
    settings: Sequence[str] = (),
    only_cost: bool = False,
    again: bool = False,
    quiet: bool = False,
) -> Results:
    """Have a model judge the generated answers of a finished run, and add what it says to results and report.

    Every reply is stored as it comes; after a kill the same command asks only for the rest.

    Args:
        run: The run folder.
        judge: `NAME=http://HOST/v1#MODEL`, `NAME=FOLDER`, or `base`.
        rubric: Name of a rubric, or the path of a rubric file.
        task: Task of the answers; `medbench_generation` if not given.
        criteria: JSONL file with the criteria of each item, for rubrics of the kind `criteria`.
        settings: `key.path=value` overrides of the run's recipe, such as `scoring.served.concurrency=2`.
        only_cost: Only show what it would cost.
        again: Ask everything again.
        quiet: Print nothing.

    Returns:
        The results document with `judging`.

    Raises:
        UserError: The run has no such answers, the rubric has faults, or the judge cannot be used.
    """
    from harness.answers.stored_answers import opened_store
    from training.recipes.recipe_file import load_recipe

    terminal, folder = Terminal(quiet=quiet), RunFolder(Path(run))
    results, loaded = read_scored(folder.path), load_rubric(rubric)
    if not folder.recipe.is_file():
        raise UserError("the run folder has no recipe.yaml", where=str(run), fix="judge a folder of `medbench run`")
    recipe = load_recipe(str(folder.recipe), settings)
    judged = task or catalog.GENERATION
    questions = list(_questions(results, folder, judged, loaded, criteria))
    with raise_machine_errors(), folder.lock(wait=_WAIT_SECONDS), opened_store(terminal) as store:
        log_to(folder.log)
        model = _find_judge(judge, recipe, terminal)
        started = _start(model, recipe, folder, store, results.seed, terminal, reads=not again)
        with contextlib.closing(started):
            replies = _ask(started, questions, terminal, only_cost=only_cost, keeps=store is not None)
        if only_cost:
            return results
        info = _info(started, loaded, judged, questions, replies, results)
        rows = [question.reply(loaded, replies[question.prompt]) for question in questions]
        path = judging_path(folder, model.name, loaded.name)
        remove_facts(path)
        write_jsonl(path, (row.model_dump(mode="json") for row in rows))
        write_facts(path, {"judging": info.model_dump(mode="json")})
        results = add_judging(results, folder)
        write_results(folder.path, results)
    _show(folder, results, info, terminal)
    return results


def _questions(
    results: Results, folder: RunFolder, task: str, rubric: Rubric, criteria: str | Path | None
) -> Iterator[_Question]:
    """Every answer, or for preferences every candidate's with the baseline's in both orders."""
    names = [model.name for model in results.models if model.kind != "pool"]
    names.sort(key=lambda name: name != results.baseline)
    answers = {name: read_answers(folder.path, name, task) for name in names}
    if all(sample.finish_reason is None for own in answers.values() for sample in own.values()):
        fix = "name a task with generated answers with --task"
        raise UserError(f"the answers to {task} are chosen labels", where=str(folder.path), fix=fix)
    if (criteria is not None) != (rubric.kind == "criteria"):
        needs = "needs the items' criteria" if criteria is None else "takes no criteria"
        fix = "add --criteria FILE.jsonl" if criteria is None else "leave --criteria out, or choose another rubric"
        raise UserError(f"the rubric {rubric.name} {needs}", where="--criteria", fix=fix)
    first = list(answers[names[0]].values())
    own = load_criteria(Path(criteria), first) if criteria is not None else {}

    def question(*samples: Sample) -> _Question:
        item = samples[0]
        prompt = judge_prompt(
            rubric,
            item.question or item.prompt,
            [sample.output for sample in samples],
            gold=item.gold,
            criteria=own.get(item.id, ()),
        )
        return _Question(prompt, samples, own.get(item.id, ()))

    if rubric.kind != "preference":
        yield from (question(sample) for name in names for sample in answers[name].values())
        return
    if len(names) == 1:
        raise UserError("a preference needs two models", where=str(folder.path), fix="choose another rubric")
    for name in names[1:]:
        for item in first:
            other = answers[name].get(item.id)
            if other is not None and other.doc_hash == item.doc_hash:
                yield question(item, other)
                yield question(other, item)


def _find_judge(text: str, recipe: Recipe, terminal: Terminal) -> Model:
    """The judge that `--judge` names.

    Raises:
        UserError: It names none or several, or an adapter.
    """
    from harness.planning.find_models import find_recipe_base, find_whole, with_kinds
    from harness.planning.model_names import parse_models

    try:
        arguments = with_kinds(parse_models(text), terminal.say)
    except UserError as error:
        raise UserError(error.what, where=f"--judge {text}", fix=_FIX) from error
    (argument, *more) = arguments
    if more or argument.kind == "adapter":
        what = "it names several models" if more else "a judge is a whole model, not an adapter"
        raise UserError(what, where=f"--judge {text}", fix=_FIX)
    base = find_recipe_base(recipe, arguments, terminal.say)
    return base if argument.kind == "base" else find_whole(argument, base, terminal.say)


def _start(
    model: Model,
    recipe: Recipe,
    folder: RunFolder,
    store: AnswerStore | None,
    seed: int,
    terminal: Terminal,
    *,
    reads: bool,
) -> Judge:
    if model.is_served:
        from harness.judging.judges import ServedJudge

        served = recipe.scoring.served
        return ServedJudge(model, served, seed=seed, store=store, reads=reads, record=folder.served, say=terminal.note)
    from harness.judging.local_judge import LocalJudge

    return LocalJudge(model, recipe.model_copy(update={"seed": seed}), folder, store, reads=reads)


def _ask(
    judge: Judge, questions: Sequence[_Question], terminal: Terminal, *, only_cost: bool, keeps: bool
) -> dict[JudgePrompt, JudgeReply]:
    """All replies by prompt: stored ones, and the others once their cost is shown."""
    prompts = list(dict.fromkeys(question.prompt for question in questions))
    replies = judge.stored(prompts)
    missing = [prompt for prompt in prompts if prompt not in replies]
    tokens, most = sum(map(judge.count_tokens, missing)), sum(prompt.max_new_tokens for prompt in missing)
    about = "about " if judge.model.is_served else ""
    terminal.heading("Judge")
    terminal.say(
        f"  {len(questions)} judgements by {judge.model.name} ({judge.model.source}):"
        f" {len(missing)} requests to send, {len(prompts) - len(missing)} replies are there already"
    )
    terminal.say(f"  cost: {about}{tokens:,} prompt tokens, at most {most:,} new tokens")
    if only_cost or not missing:
        return replies
    if not keeps:
        terminal.note("the answer store is off (MEDBENCH_CACHE_GB), so a stopped judgement starts again")
    with terminal.progress("judging", len(missing)) as advance:
        for prompt, reply in judge.ask(missing):
            replies[prompt] = reply
            advance(1, judge.model.name)
    return replies


def _info(
    judge: Judge,
    rubric: Rubric,
    task: str,
    questions: Sequence[_Question],
    replies: Mapping[JudgePrompt, JudgeReply],
    results: Results,
) -> JudgingInfo:
    """What the ratings rest on, with the models of the run that the judge itself is."""
    model, prompts = judge.model, ListHash()
    for question in questions:
        prompts.add(question.prompt.sha256)
    adapters = any(one.kind == "adapter" for one in results.models)
    is_base = results.base is not None and results.base.sha256 == model.sha256
    return JudgingInfo(
        judge=JudgeInfo(
            name=model.name,
            kind=model.kind,
            source=model.source,
            sha256=model.sha256,
            facts=judge.facts,
            json_schema=any(reply.json_schema for reply in replies.values()),
            seed=results.seed,
            same_as=[one.name for one in results.models if one.sha256 == model.sha256],
            is_base=is_base and adapters,
        ),
        rubric=rubric.name,
        rubric_sha256=sha256_value(rubric.model_dump(mode="json")),
        title=rubric.title,
        kind=rubric.kind,
        note=rubric.note,
        task=task,
        prompts_sha256=prompts.hexdigest(),
        metrics=rubric.metrics,
    )


def _show(folder: RunFolder, results: Results, info: JudgingInfo, terminal: Terminal) -> None:
    """Write the reports and print what the judge said."""
    from reports.judging_tables import judged_table, judging_sentences
    from reports.page.render import render
    from reports.tables import NOT_MEDICAL_ADVICE

    _, html = render(folder.path)
    judging = next(one for one in results.judging if (one.judge.name, one.rubric) == (info.judge.name, info.rubric))
    table = judged_table(judging)
    terminal.table(table.columns, table.rows)
    terminal.say()
    for sentence, is_warning in judging_sentences(judging):
        terminal.say(sentence, style="yellow" if is_warning else "")
    terminal.say(NOT_MEDICAL_ADVICE)
    terminal.say(f"\nreplies: {judging_path(folder, info.judge.name, info.rubric)}\nreport: {html}")
