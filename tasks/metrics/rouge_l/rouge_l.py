"""`evaluate` module: ROUGE-L of the final response of medical answers, offline."""

import datasets
import evaluate

from tasks.formats import split_answer
from tasks.text_metrics import rouge_l


class RougeL(evaluate.Metric):  # type: ignore[misc]
    """ROUGE-L F-measure of the final response, after taking the answer format apart."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="ROUGE-L F-measure (rouge_score, no stemming, words of all scripts) of the final response"
            " of each prediction.",
            citation="Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004",
            inputs_description="predictions: full answers; references: gold responses; answer_format: a format's name,"
            " or None to compare the texts as they are.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[str], answer_format: str | None = None
    ) -> dict[str, float | list[float]]:
        if answer_format is not None:
            predictions = [split_answer(text, answer_format).response for text in predictions]
        scores = [rouge_l(text, gold) for text, gold in zip(predictions, references, strict=True)]
        return {"rouge_l": sum(scores) / len(scores), "each": scores}
