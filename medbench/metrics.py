"""The public metrics of single answers and of labels, as `harness.metrics` lists and documents them."""

from harness.metrics import *  # noqa: F403 - the list is there
from harness.metrics import __all__  # noqa: F401
