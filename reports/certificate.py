"""Sentences of the certificate: why an outcome is what it is, and the whole in one line."""

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
from reports.numbers import amount_text, interval_text, join_words, signed_text

_EXPLAINED_BY = {"rounding": "rounding", "kernel": "another kernel"}


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
    return f"{text}; cause: {document.cause.sentence}" if document.cause else text


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
