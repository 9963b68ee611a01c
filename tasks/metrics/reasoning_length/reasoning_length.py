"""`evaluate` module: length of the reasoning in words and, with a tokenizer, in tokens."""

import datasets
import evaluate

from tasks.formats import split_answer
from tasks.rendering import load_tokenizer
from tasks.text_metrics import count_tokens, count_words


class ReasoningLength(evaluate.Metric):  # type: ignore[misc]
    """Mean length of the reasoning part; an answer without one counts as 0."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Mean length of the reasoning part of each prediction.",
            citation="",
            inputs_description="predictions: full answers; answer_format: a format's name; tokenizer: folder or hub id,"
            " for the length in tokens.",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions: list[str], answer_format: str, tokenizer: str | None = None) -> dict[str, float]:
        reasonings = [split_answer(text, answer_format).reasoning for text in predictions]
        result = {"reasoning_words": sum(map(count_words, reasonings)) / len(reasonings)}
        if tokenizer is not None:
            loaded = load_tokenizer(tokenizer)
            result["reasoning_tokens"] = sum(count_tokens(text, loaded) for text in reasonings) / len(reasonings)
        return result
