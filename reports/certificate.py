"""The certificate of `medbench verify` as text: one sentence, the reasons, a table, and a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator

from reports.document.verification import (
    EndsPart,
    LikelihoodsPart,
    MetricPart,
    PromptsPart,
    Verification,
    VerificationParts,
    VerifyOutcome,
)
from reports.numbers import MISSING, amount_text, interval_text, join_words, signed_text, value_text
from reports.tables import Table
from reports.text import cut, plain_markdown, visible

_SHOWN = 800
_EXPLAINED_BY = {"rounding": "rounding", "kernel": "another kernel", "arithmetic": "16-bit arithmetic"}


def reasons(parts: VerificationParts, outcome: VerifyOutcome) -> list[str]:
    """Why the outcome is what it is, one sentence for each part that decides it."""
    if outcome == "different":
        sentences = [*_prompts(parts.prompts), *_ends(parts.ends)]
    elif outcome == "equivalent":
        sentences = [] if parts.likelihoods else ["No log-likelihoods were compared: the metrics alone decide."]
    else:
        sentences = [] if parts.metrics or parts.likelihoods else ["There is nothing to compare."]
    if parts.likelihoods is not None and parts.likelihoods.outcome == outcome:
        sentences.append(f"{_capital(nats_text(parts))}: {_because(parts.likelihoods)}.")
    for metric in parts.metrics:
        if metric.outcome == outcome:
            sentences.append(f"{metric.task}: {metric_text(metric)}: {_because(metric)}.")
    return sentences


def summary(document: Verification) -> str:
    """The certificate in one sentence."""
    numbers = "; ".join([*map(metric_text, document.metrics), *([nats_text(document)] if document.likelihoods else [])])
    kind = "adapter" if document.reference.base_sha256 not in (None, document.reference.sha256) else "model"
    verdict = {
        "equivalent": f"equivalent to the evaluated {kind} on",
        "different": f"not the evaluated {kind}: different on",
        "inconclusive": f"not shown to equal the evaluated {kind}: inconclusive on",
    }[document.outcome]
    text = f"Deployed as {document.target.form}: {verdict} {document.items:,} items"
    text += f" ({numbers})" if numbers else ""
    causes = " and ".join(cause.sentence for cause in document.causes)
    return f"{text}; cause: {causes}" if causes else text


def parts_table(document: Verification) -> Table:
    """A table with a row for each part that was compared."""
    prompts, ends = document.prompts, document.ends
    rows = (
        [("Prompts", f"{prompts.items:,} items", f"{prompts.equal:,} equal", "", "", prompts.note)]
        if prompts.items
        else []
    )
    if ends.target is not None:
        rows.append(("End tokens", ", ".join(ends.reference), ", ".join(ends.target), "", "", ""))
    if ends.answers:
        counts = (f"{ends.reference_ended:,} of {ends.answers:,}", f"{ends.target_ended:,}")
        rows.append(("Answers that end by themselves", *counts, "", "", ends.stopping))
    for answers in document.answers:
        change = f"{answers.changed:,} changed"
        change += f", {answers.explained:,} by what is explained" if answers.explained is not None else ""
        name = "Chosen labels" if answers.kind == "choices" else "Generated answers"
        rows.append((name, f"{answers.items:,} items", change, "", "", ""))
    if likelihoods := document.likelihoods:
        excess = f"{likelihoods.excess:.2g} unexplained" + (
            "" if likelihoods.high is None else f" [{likelihoods.low:.2g}, {likelihoods.high:.2g}]"
        )
        limit = f"{likelihoods.margin:g} nats per token"
        rows.append(
            ("Log-likelihoods", f"{likelihoods.items:,} items", nats_text(document), excess, limit, likelihoods.outcome)
        )
    for metric in document.metrics:
        values = (value_text(metric.reference, metric.info), value_text(metric.target, metric.info))
        change = MISSING if metric.difference is None else signed_text(metric.difference, metric.info)
        ends_text = interval_text(metric.low, metric.high, metric.info, signed=True)
        cells = (f"{change} {ends_text}".rstrip(), amount_text(metric.margin, metric.info), metric.outcome)
        rows.append((f"{metric.task}: {metric.info.title}", *values, *cells))
    return Table(("Compared", "Evaluated", "Deployed", "Difference", "Margin", "Outcome"), tuple(rows), figures=False)


def facts(document: Verification) -> list[str]:
    """Cause, reasons, what explains the difference, notes and provenance, one sentence each."""
    reference, target = document.reference, document.target
    level = f"Intervals are at {document.confidence:.0%}; inside the margin, they show equivalence."
    versions = ", ".join(f"{name} {version}" for name, version in document.versions.items())
    server = ", ".join(f"{name} {value}" for name, value in target.server.items())
    return [
        *(f"Cause: {cause.sentence}" for cause in document.causes),
        *document.reasons,
        *(part.description for part in document.explained),
        *document.notes,
        level,
        f"Evaluated: {reference.model} of {reference.run}, weights {reference.sha256[:12]}, {reference.engine}.",
        f"Deployed: {target.label}, {target.form}, files {(target.sha256 or MISSING)[:12]}, {target.engine or MISSING}"
        + (f", {server}." if server else "."),
        f"Verified on {document.created} by medbench {document.medbench_version}"
        + (f" ({versions})." if versions else "."),
    ]


def markdown(document: Verification) -> str:
    """The certificate as a Markdown page (`verify.md`), with all text from models, files and servers escaped."""
    lines = [f"- {_line(fact)}" for fact in facts(document)]
    return "\n\n".join([f"## medbench verify: {document.outcome}", body(document), "\n".join(lines)]) + "\n"


def body(document: Verification) -> str:
    """Sentence and table of the certificate in Markdown."""
    return f"{_line(summary(document))}.\n\n{parts_table(document).markdown(_line)}"


def _line(text: str) -> str:
    """A text on one line, shortened and escaped."""
    return plain_markdown(cut(visible(" ".join(text.split())), _SHOWN))


def metric_text(metric: MetricPart) -> str:
    """A metric's difference with interval and margin, such as `accuracy -0.2 pp [-1.4, +1.0], margin 5 pp`."""
    name = metric.info.title if metric.info.title.isupper() else metric.info.title[:1].lower() + metric.info.title[1:]
    if metric.difference is None:
        return f"{name} not compared"
    ends = interval_text(metric.low, metric.high, metric.info, signed=True)
    return f"{name} {signed_text(metric.difference, metric.info)} {ends}".rstrip() + (
        f", margin {amount_text(metric.margin, metric.info)}"
    )


def nats_text(parts: VerificationParts) -> str:
    """The difference of log-likelihoods, such as `0.004 nats per token, of which rounding explains 0.004`."""
    likelihoods = parts.likelihoods
    if likelihoods is None:
        return "no log-likelihoods"
    text = f"{likelihoods.mean_size:.2g} nats per token"
    if likelihoods.explained is None:
        return text
    names = join_words([_EXPLAINED_BY[part.kind] for part in parts.explained])
    return f"{text}, of which {names} explain{'s' * (len(parts.explained) == 1)} {likelihoods.explained:.2g}"


def _because(part: MetricPart | LikelihoodsPart) -> str:
    if part.outcome == "equivalent":
        return "within the margin"
    if part.outcome == "different":
        return (
            "more than what is explained" if isinstance(part, MetricPart) else f"beyond the margin of {part.margin:g}"
        )
    if part.caution:
        return part.caution
    if part.items_needed:
        return f"{part.items:,} items are too few, it takes about {part.items_needed:,}"
    return "the margin is not excluded, and it is not known how many items would"


def _prompts(prompts: PromptsPart) -> Iterator[str]:
    if not prompts.differs:
        return
    text = f"{prompts.items - prompts.equal:,} of {prompts.items:,} prompts have other tokens"
    if first := prompts.first:
        text += f", first {first.item} of {first.task} at token {first.position}"
        text += f" ({first.reference[:5]}, deployed {first.target[:5]})"
    yield f"{text}."


def _ends(ends: EndsPart) -> Iterator[str]:
    if ends.missing:
        yield f"Answers of the target do not end at {join_words(ends.missing)}."
    if ends.stopping == "different":
        yield (
            f"{ends.reference_ended:,} of {ends.answers:,} answers of the reference end by themselves,"
            f" {ends.target_ended:,} of the target."
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
