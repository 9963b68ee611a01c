"""The metrics of single answers and of labels, as medbench itself computes them, for use from Python.

    >>> from harness import metrics
    >>> metrics.extract_label("The answer is no because the dose was the same.", "medical-question")
    'no'
    >>> gold = ["yes"] * 276 + ["no"] * 169 + ["maybe"] * 55
    >>> round(metrics.macro_f1(gold, ["none", *gold[1:]]), 4)
    0.9994

Sources: accuracy and macro-F1 are those of PubMedQA's official script (`evaluation.py` of github.com/pubmedqa/pubmedqa,
Jin et al. 2019) on predictions that all have a label; ROUGE-L is Lin 2004; perplexity is that of all tokens together.
Every function documents its own rules; this module only gathers them.
"""

from tasks.formats import split_answer
from tasks.labels import accuracy, extract_label, macro_f1
from tasks.reasoning import perplexity
from tasks.text_metrics import rouge_l

__all__ = ["accuracy", "extract_label", "macro_f1", "perplexity", "rouge_l", "split_answer"]
