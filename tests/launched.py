"""Commands in two processes each, started by the agent of `torchrun` and forked from this one: it imports for all.

Called with a JSON list of the words of each command.
"""

import json
import sys

import lm_eval.evaluator  # noqa: F401 - imported here once, as what follows
import peft  # noqa: F401
import transformers.trainer  # noqa: F401
import trl.trainer.sft_trainer  # noqa: F401
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from harness.__main__ import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["medbench", *words]
    config = LaunchConfig(
        1, 1, 2, run_id="tests", rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork"
    )
    elastic_launch(config, main)()
