"""The catalogue of our tasks against their configurations for lm-eval."""

import pytest
import yaml

from tasks.catalog import CONFIG_FOLDER, TASKS


class Loader(yaml.SafeLoader):
    """Reads lm-eval's `!function` as its name."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def configuration(name):
    value = yaml.load((CONFIG_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader)
    included = value.pop("include", None)
    return value if included is None else {**configuration(included.removesuffix(".yaml")), **value}


def test_every_task_has_its_configuration_and_its_entry():
    assert sorted(TASKS) == sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", TASKS)
def test_the_entry_names_the_metrics_that_the_configuration_lists(name):
    found = configuration(name)
    assert found["task"] == name
    listed = {each["metric"]: each["higher_is_better"] for each in found["metric_list"]}
    assert sorted(listed) == sorted(metric.key for metric in TASKS[name].metrics)
    for metric in TASKS[name].metrics:
        assert metric.higher_is_better in (None, listed[metric.key])
