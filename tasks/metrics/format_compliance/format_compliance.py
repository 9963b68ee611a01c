"""`evaluate` module: share of answers that keep their format strictly, with the reason of each failure."""

import datasets
import evaluate

from tasks.formats import split_answer
from tasks.text_metrics import is_compliant


class FormatCompliance(evaluate.Metric):  # type: ignore[misc]
    """Strict compliance with one of medbench's answer formats."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of predictions that keep an answer format strictly, and what is wrong with the others.",
            citation="",
            inputs_description="predictions: full answers; answer_format: a format's name (see `medbench list"
            " formats`); truncated: for each prediction, whether it stopped at a token limit.",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(
        self, predictions: list[str], answer_format: str, truncated: list[bool] | None = None
    ) -> dict[str, float | list[list[str]]]:
        cut = truncated or [False] * len(predictions)
        parsed = [
            split_answer(text, answer_format, finish_reason="length" if ended else None)
            for text, ended in zip(predictions, cut, strict=True)
        ]
        return {
            "format_compliance": sum(map(is_compliant, parsed)) / len(parsed),
            "problems": [list(answer.problems) for answer in parsed],
        }
