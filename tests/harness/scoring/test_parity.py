"""Our numbers are lm-eval's: stock HFLM on our task files with the same model in float32."""

import pytest

from tasks.catalog import CONFIG_FOLDER


@pytest.fixture(scope="module")
def stock(tiny_model):
    """Results of stock lm-eval, which its command prints; without standard errors, which take it seconds."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    return simple_evaluate(
        "hf",
        model_args=f"pretrained={tiny_model},dtype=float32,softmax_dtype=float32",
        tasks=["medbench_pubmedqa", "medbench_perplexity"],
        device="cpu",
        batch_size=8,
        bootstrap_iters=0,
        task_manager=TaskManager(
            include_path=str(CONFIG_FOLDER), include_defaults=False, metadata={"pretrained": str(tiny_model)}
        ),
    )["results"]


@pytest.fixture(scope="module")
def ours(tiny_recipe, tmp_path_factory):
    import harness

    settings = ["quantization.method=none", "scoring.limit=null"]
    tasks = ["medbench_pubmedqa", "medbench_perplexity"]
    out = tmp_path_factory.mktemp("ours")
    results = harness.score(str(tiny_recipe), models="base", tasks=tasks, out=out, settings=settings, quiet=True)
    return {(score.task, score.metric): score.value for score in results.scores}


def test_stock_lm_eval_gives_the_same_pubmedqa_figures(stock, ours):
    for metric in ("accuracy", "macro_f1"):
        assert ours["medbench_pubmedqa", metric] == stock["medbench_pubmedqa"][f"{metric},none"]


def test_stock_lm_eval_gives_the_same_perplexity(stock, ours):
    wanted = stock["medbench_perplexity"]["perplexity_with_markers,none"]
    assert ours["medbench_perplexity", "perplexity_with_markers"] == pytest.approx(wanted, rel=1e-4)


def test_perplexity_of_the_text_alone_needs_each_token_which_stock_lm_eval_does_not_give(stock, ours):
    assert not {"perplexity,none", "bits_per_byte,none"} & set(stock["medbench_perplexity"])
    assert ours["medbench_perplexity", "perplexity"] != ours["medbench_perplexity", "perplexity_with_markers"]
