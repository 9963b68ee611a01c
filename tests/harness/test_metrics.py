"""The public metrics: their examples hold, they are the product's own functions, and importing them is light."""

import doctest
import subprocess
import sys

import pytest

import tasks.formats
import tasks.labels
import tasks.reasoning
import tasks.text_metrics
from harness import metrics


@pytest.mark.parametrize("module", [metrics, tasks.formats, tasks.labels])
def test_the_examples_hold(module):
    tried = doctest.testmod(module)
    assert tried.attempted >= 2
    assert tried.failed == 0


def test_the_products_own_functions_are_public():
    assert metrics.extract_label is tasks.labels.extract_label
    assert metrics.split_answer is tasks.formats.split_answer
    assert metrics.rouge_l is tasks.text_metrics.rouge_l
    assert metrics.perplexity is tasks.reasoning.perplexity
    assert all(getattr(metrics, name).__doc__ for name in metrics.__all__)


def test_importing_them_takes_no_heavy_library():
    code = "import sys, harness.metrics; print({'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
