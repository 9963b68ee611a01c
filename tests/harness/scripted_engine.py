"""An engine that is installed as a package and answers as well as a script says, for whole runs of known quality."""

import json

from tests.harness.plugins import install_engine

LABELS = ("yes", "no", "maybe")
SCRIPT = "MEDBENCH_SCRIPT"  # environment variable: path of {"base" or "adapter": the label given to each item}
_ENGINE = '''
"""Gives each item the label of a script; generated answers of adapters are cut short, their texts less likely."""

import json
import os
import re
from array import array
from pathlib import Path

from harness.engines.interface import Cost, GenerateRequest, GenerateResponse, PerplexityRequest, ScoreResponse

COST = Cost(0.001, 0.001, 1 << 30)


class Engine:
    capabilities = frozenset({"log_likelihoods", "generation", "adapters"})

    def __init__(self, config):
        self.setup = {}
        self.decode = config.tokenizer.decode
        self.labels = json.loads(Path(os.environ["MEDBENCH_SCRIPT"]).read_text())

    def respond(self, requests):
        for index, (model, request) in enumerate(requests):
            adapter = model != "base"
            if isinstance(request, GenerateRequest):
                text = "It is." if adapter else "It was tried, and it helped."
                yield index, GenerateResponse(text, (1, 2), "length" if adapter else "stop", COST)
            elif isinstance(request, PerplexityRequest):
                yield index, ScoreResponse(array("f", [-3.0 if adapter else -2.0] * len(request.tokens)), False, COST)
            else:
                yield index, self.score(request, self.labels["adapter" if adapter else "base"])

    def score(self, request, labels):
        number = re.search(r"treatment (\\d+)", self.decode(request.context))
        wanted = labels[int(number[1])] if number else "yes"
        chosen = self.decode(request.continuation).strip() == wanted
        logprobs = [-0.1 if chosen else -3.0, *[0.0] * (len(request.continuation) - 1)]
        return ScoreResponse(array("f", logprobs), chosen, COST)

    def close(self):
        pass
'''


def install_scripted_engine(folder):
    """Install the engine `scripted` into a folder, which must be on the path."""
    install_engine(folder, "scripted", "medbench_scripted:Engine")
    (folder / "medbench_scripted.py").write_text(_ENGINE)


def gold(number):
    """Label of an item: of five, two are yes, two no and one maybe."""
    return LABELS[(0, 1, 0, 1, 2)[number % 5]]


def question(number):
    """Question of an item."""
    return f"Does treatment {number} help?"


def write_items(path, count):
    """Write a PubMedQA file of items whose questions name their number."""
    items = {
        str(number): {
            "QUESTION": question(number),
            "CONTEXTS": [f"Treatment {number} was tried."],
            "LABELS": ["TRIED"],
            "final_decision": gold(number),
            "LONG_ANSWER": "It was tried.",
        }
        for number in range(count)
    }
    path.write_text(json.dumps(items))


def labels(count, correct, *, shifted=0):
    """Labels for all items, of which this share is right; `shifted` moves which ones those are."""
    wrong = {"yes": "no", "no": "maybe", "maybe": "yes"}
    return [
        gold(number) if (number * 37 + shifted) % count < correct * count else wrong[gold(number)]
        for number in range(count)
    ]


def write_script(path, base, adapter):
    """Write the labels that base and adapters give."""
    path.write_text(json.dumps({"base": base, "adapter": adapter}))
