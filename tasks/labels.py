r"""Extracts yes, no or maybe from a generated answer, and scores labels; English only.

`extract_label` handles yes and no with the same patterns: swapping the two words in a text swaps its label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.data.rows import LABELS
from tasks.formats import split_answer

if TYPE_CHECKING:
    from tasks.formats import AnswerFormat


_LABEL = "|".join(LABELS)
# What may follow a label on the same line. A noun or adjective may not: "no adverse events" does not answer no.
_NEXT_WORD = (
    r"(?:because|since|as|but|and|if|unless|although|though|while|whereas|when|where|so|thus|therefore|hence|however"
    r"|given|based|according|due|considering|for|on|at|by|from|to|with|without|among|between|during|after|before"
    r"|within|across|despite|except|compared|not|indeed|actually|it|its|this|that|these|those|they|their|there|the"
    r"|we|our|i|my|you|your|he|his|she|her|in(?![ \t]+(?:vitro|vivo|situ|silico)\b))(?![\w-])"
    r"|(?:definitely|absolutely|certainly|clearly|probably|likely)[ \t]*(?:$|[\n.,;!])"
)
_END = r"(?![-'][a-z])(?=[ \t]*(?:$|\n|[^\w\s?])"  # of a word: no "no-show", and no "yes?", which asks
_USED = rf"(?:{_LABEL})\b{_END}|[ \t]+(?:{_NEXT_WORD}|(?:{_LABEL})\b))"
_SAID = rf"\b({_LABEL})\b{_END}|[ \t]+{_NEXT_WORD})"
_ALONE = re.compile(rf"\b({_LABEL})\b{_END}|[ \t]+(?:because|since)\b)", re.IGNORECASE)
# "yes, no or maybe" lists the choices and is skipped; "yes and no" gives several labels, so none of them counts.
_OR = r"(?:/|\||,?[ \t]{0,3}\b(?:or|nor)\b|,(?=[^.!?\n]{0,20}\b(?:or|nor)\b))"
_CHOICES = re.compile(rf"\b(?:{_LABEL})(?:[\s\"')\]]{{0,4}}{_OR}[\s\"'(\[]{{0,4}}(?:{_LABEL})\b){{1,3}}", re.IGNORECASE)
_SEVERAL = re.compile(
    rf"\b(?:{_LABEL})(?:(?:[\"')]?[ \t]{{0,3}}(?:,?[ \t]{{0,3}}\b(?:and|but)\b|[,&]))?[ \t]{{1,3}}[\"'(]?{_USED})+",
    re.IGNORECASE,
)
_ANY_LABEL = re.compile(rf"\b(?:{_LABEL})\b", re.IGNORECASE)
_MARK = "\N{SECTION SIGN}"  # stands for several labels
_FILL = rf"[^\w.!?{_MARK}]{{0,20}}"
_OPTION = r"(?:(?:option[ \t]{1,3})?\(?[a-e\d][).:][ \t]{0,3})?"
_ADVERB = r"(?:therefore|thus|clearly|indeed|simply|probably|definitely|(?:most |very )?likely|hence|also|an?)"
_NOUN = r"(?:answer|conclusion|decision|verdict|response|label|choice|prediction)"
_VERB = r"(?:is|was|would be|should be|must be|will be|has to be|(?:seems|appears) to be|remains)"
_STATED = re.compile(
    rf"\b(?:{_NOUN}"
    rf"(?:[\"')\]]{{0,2}}[ \t]{{0,3}}[:=-]|\s{{1,3}}{_VERB}\b[ \t]{{0,3}}:?|'s\b|[ \t]{{0,3}}\n)"
    rf"|(?:i|we)(?:'d| would| will)?[ \t]+(?:say|answer|conclude)\b:?)"
    rf"{_FILL}(?:{_ADVERB}\b{_FILL}){{0,2}}{_OPTION}{_FILL}{_SAID}",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:(?:so|thus|therefore|hence|overall|ultimately|in (?:short|summary|conclusion)|(?:most )?likely|probably|okay"
    rf"|ok|well|sure)\b{_FILL}){{0,2}}"
    rf"(?:(?:the |my |short |final |correct ){{0,2}}{_NOUN}[\"')\]]{{0,2}}[ \t]{{0,3}}[:=-])?"
    rf"{_FILL}{_OPTION}{_FILL}{_SAID}",
    re.IGNORECASE,
)
# Right before a label or a statement: negates it, or makes it hypothetical.
_NEGATED = re.compile(
    r"\b(?:not enough|insufficient|unable|impossible|difficult|hard|wrong|premature)\b[^.!?\n]{0,40}"
    r"\bto (?:say|answer|conclude)\W{0,4}$"
    r"|(?:\b(?:not|cannot|never|hardly|than|instead of)|n't)"
    r"(?:\s+(?:be|been|an?|the|answer|answered|as|to|say|simple|simply|just|necessarily|always|clearly?|really|exactly"
    r"|plain|definite|straightforward))*\W{0,4}$",
    re.IGNORECASE,
)
_HYPOTHETICAL = re.compile(
    r"(?:\b(?:whether|unless|if)(?:\s+or\s+not)?"
    r"|(?:\b(?:not|cannot|never)|n't)\s+(?:think|believe|say|mean|conclude|suggest|imply|show|true|certain|clear|sure"
    r"|the\s+case)(?:\s+that)?)(?:\s+(?:the|my|your|final|correct|right))*\s*$",
    re.IGNORECASE,
)
_BEFORE = 60  # characters searched before a label or statement
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2012\u2013\u2014\u2015", " - "),
        **dict.fromkeys("\u2192\u21d2", "="),
        **dict(zip("\uff1a\uff0c\u3002\uff01\uff1f\u3001_", ":,.!?, ", strict=True)),
        **dict.fromkeys(f"*`#>{_MARK}", ""),
    }
)
_ANSWER_TAG = re.compile(r"\\boxed\b|<(?:final[_ -]?)?answer>", re.IGNORECASE)
_MARKUP = re.compile(rf"<(?!(?:{_LABEL})>)" + r"/?[A-Za-z][\w-]{0,30}>|\\[A-Za-z]+|\\[()\[\]]|[{}$]", re.IGNORECASE)
_BEGINNING = re.compile(rf"\A[^\w{_MARK}]+")


def extract_label(answer: str, format_name: str | AnswerFormat, *, prompt_opened: str | None = None) -> str | None:
    r"""The label in the final response of an answer, or None if it gives no label or more than one.

    `tasks.formats.split_answer` finds the response, without thinking and invented next questions. The first of these
    rules that matches decides: the label at the start of the response; the last statement such as `the answer is no`,
    `Answer: no` or `\boxed{no}`; the only label before a punctuation mark or at the end of a line. A label does not
    count if it is negated (`cannot be yes`), hypothetical (`whether the answer is yes`), a question (`yes?`), one of
    several (`yes, no or maybe`; `yes and no`), or followed by a noun or adjective (`no adverse events`). The last rule
    holds for yes and maybe too, so that swapping yes and no in a text always swaps its label.

    Labels are the English words yes, no and maybe, as in PubMedQA's official submissions; synonyms (`possibly`,
    `uncertain`) and other languages give no label.

    Args:
        answer: The answer as generated.
        format_name: The requested answer format.
        prompt_opened: The thinking tag at the end of the prompt, or the prompt; see `split_answer`.

    Raises:
        UserError: There is no format of that name.

    Examples:
        >>> extract_label("No because the dose was the same.", "medical-question")
        'no'
        >>> extract_label("No adverse events were seen.", "medical-question") is None
        True
    """
    return label_of(split_answer(answer, format_name, prompt_opened=prompt_opened).response)


def label_of(response: str) -> str | None:
    """The label of a response without its reasoning, or None; see `extract_label`."""
    text = _MARKUP.sub(" ", _ANSWER_TAG.sub(" answer: ", response)).translate(_PLAIN)
    text = _BEGINNING.sub("", _SEVERAL.sub(_several_labels, _CHOICES.sub(" ", text)))
    if leading := _LEADING.match(text):
        return leading[1].lower()
    stated, hypothetical = [], set()
    for match in _STATED.finditer(text):
        if _before(text, match.start(), _HYPOTHETICAL):
            hypothetical.add(match.start(1))
        else:
            stated.append(match[1].lower())
    if stated:
        return stated[-1]
    if text.startswith(_MARK):
        return None
    alone = {
        match[1].lower()
        for match in _ALONE.finditer(text)
        if match.start() not in hypothetical and not _before(text, match.start(), _NEGATED)
    }
    return alone.pop() if len(alone) == 1 else None


def _several_labels(match: re.Match[str]) -> str:
    """The mark for several labels, the one label of "yes, yes", or the unchanged text of "not no, but yes"."""
    labels = {str(label).lower() for label in _ANY_LABEL.findall(match[0])}
    if len(labels) == 1:
        return labels.pop()
    is_contrast = "but" in match[0].lower() and _before(match.string, match.start(), _NEGATED)
    return match[0] if is_contrast else f" {_MARK} "


def _before(text: str, start: int, pattern: re.Pattern[str]) -> bool:
    """Whether the text right before a position matches a pattern."""
    return bool(pattern.search(text[max(0, start - _BEFORE) : start]))


def macro_f1(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str] | None = None) -> float:
    """Unweighted mean of the F1 of the labels that occur in gold, from 0 to 1.

    The classes are those of the task: a prediction outside of them, such as `none` for an answer without a label, is a
    miss for its gold label and does not add a class. If every prediction is a label of the task, this is the official
    score of PubMedQA (`evaluation.py` of github.com/pubmedqa/pubmedqa, Jin et al. 2019).

    Args:
        gold: Gold labels.
        predicted: Predicted labels, in the same order.
        labels: Labels to average over, restricted to those that occur in gold; all gold labels by default.

    Raises:
        ValueError: There are no items, the two differ in length, or none of the labels occurs in gold.

    Examples:
        >>> macro_f1(["yes", "yes", "no"], ["yes", "none", "no"])
        0.8333333333333333
    """
    classes = sorted(set(gold) if labels is None else set(gold) & set(labels))
    if not classes:
        raise ValueError("macro-F1 needs at least one gold label")
    pairs = list(zip(gold, predicted, strict=True))
    scores = []
    for label in classes:
        true_positives = sum(pair == (label, label) for pair in pairs)
        scores.append(2 * true_positives / (list(gold).count(label) + list(predicted).count(label)))
    return sum(scores) / len(scores)


def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Share of items whose predicted label is the gold one, from 0 to 1; an unparsed answer is wrong.

    Raises:
        ValueError: There are no items, or the two differ in length.

    Examples:
        >>> accuracy(["yes", "no"], ["yes", "none"])
        0.5
    """
    pairs = list(zip(gold, predicted, strict=True))
    if not pairs:
        raise ValueError("accuracy needs at least one item")
    return sum(truth == given for truth, given in pairs) / len(pairs)
