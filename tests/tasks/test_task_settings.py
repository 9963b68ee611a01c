"""What lm-eval's settings of a task mean, whatever they are called."""

import pytest

from tasks.task_settings import new_token_limit


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"max_gen_toks": 12}, 12),
        ({"max_new_tokens": 34, "until": ["\n"]}, 34),
        ({"max_tokens": "56"}, 56),
        ({"max_tokens": 5, "max_gen_toks": 7}, 7),
        ({}, 256),
    ],
)
def test_the_limit_of_new_tokens_is_read_under_each_of_its_names(settings, limit):
    assert new_token_limit(settings) == limit
