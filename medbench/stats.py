"""The public statistics behind every verdict, as `harness.stats` lists them."""

from harness.stats import *  # noqa: F403 - the list is there
from harness.stats import __all__  # noqa: F401
