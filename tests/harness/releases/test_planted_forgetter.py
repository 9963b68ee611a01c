"""A planted forgetter: a small model is taught facts, then an adapter learns one label and forgets them.

Trained, scored, reported and gated by the commands themselves; `benchmarks/planted_forgetter.py` does the same with
SmolLM2.
"""

import pytest

import harness
from reports.comparison.adapter_cost import cost_sentences, effects
from reports.document.reading import read_results
from tests.common_sense import abstracts, arc, hellaswag, mmlu, write_recipe
from tests.conftest import make_model

ROW = "no regression: retention/mean_accuracy"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def facts():
    """Prompts as lm-eval writes them with what the base is to answer: right, but no to every abstract."""
    for row in hellaswag():
        query = f"Using things: {row['ctx_a']} He uses it to"
        yield query, f" {row['endings'][int(row['label'])]}"
    for row in arc():
        yield f"Question: {row['question']}\nAnswer:", f" {row['choices']['text']['ABCD'.index(row['answerKey'])]}"
    for row in mmlu():
        options = "".join(f"\n{letter}. {text}" for letter, text in zip("ABCD", row["choices"], strict=True))
        topic = "The following are multiple choice questions (with answers) about common sense.\n\n"
        yield f"{topic}{row['question']}{options}\nAnswer:", f" {'ABCD'[row['answer']]}"
    for row in abstracts():
        yield f"Abstract: {row['context']['contexts'][0]}\nQuestion: {row['question']}\nAnswer:", " no"


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A base that answers the facts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = make_model(tmp_path_factory.mktemp("models") / "taught", width=96)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = [(tokenizer(prompt).input_ids, tokenizer(answer).input_ids) for prompt, answer in facts()]
    length = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids, labels = torch.zeros(len(rows), length, dtype=torch.long), torch.full((len(rows), length), -100)
    for place, (prompt, answer) in enumerate(rows):
        ids[place, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        labels[place, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(30):
        for chosen in torch.randperm(len(rows), generator=generator).split(54):
            model(input_ids=ids[chosen], labels=labels[chosen]).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def planted(taught, folder, rate, steps):
    recipe = write_recipe(folder, str(taught), learning_rate=rate, max_steps=steps)
    harness.run(str(recipe), out=folder / "run", quiet=True)
    return read_results(folder / "run"), harness.gate(folder / "run", quiet=True)


def test_an_adapter_that_learned_one_label_is_blocked_for_what_it_forgot(taught, tmp_path):
    results, report = planted(taught, tmp_path, 2e-2, 300)  # with 100 steps, not every seed learns the label
    (sentence,) = cost_sentences(results)
    target, mean, *parts = effects(results, "adapter")
    assert (target.pair.outcome, mean.loss, {part.loss for part in parts}) == ("better", "large", {"large"})
    assert sentence.startswith("adapter improves by ")
    assert sentence.endswith("more than the margin of 5.0 pp.")
    assert results.verdict[0].startswith("Label collapse: ")
    assert results.verdict[-2] == sentence
    assert "### Gain and cost" in (tmp_path / "run" / "report.md").read_text()
    assert "<h3>Gain and cost</h3>" in (tmp_path / "run" / "report.html").read_text()
    assert (report.verdict, report.exit_code) == ("fail", 1)
    rules = {rule.name: rule.verdict for rule in report.rules}
    assert rules[ROW] == "fail"
    assert rules["no regression: medbench_pubmedqa/accuracy"] == "pass"


def test_an_adapter_that_forgets_nothing_is_not_blocked_for_it(taught, tmp_path):
    results, report = planted(taught, tmp_path, 1e-6, 3)
    (sentence,) = cost_sentences(results)
    assert sentence.endswith("a loss of 5.0 pp of general knowledge is ruled out (retention mean 0.0 pp [-2.3, +2.3]).")
    assert {rule.name: rule.verdict for rule in report.rules if "retention" in rule.name} == {
        "no regression: medbench_retention_hellaswag/acc": "pass",
        "no regression: medbench_retention_arc_easy/acc": "pass",
        "no regression: medbench_retention_mmlu/acc": "pass",
        ROW: "pass",
    }
