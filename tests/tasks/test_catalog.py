"""The catalogue of our tasks against their configurations for lm-eval."""

import pytest
import yaml

from tasks.catalog import BENCHMARK_METRICS, CONFIG_FOLDER, TASKS, metrics_of

SHIPPED = [*TASKS, *BENCHMARK_METRICS]


class Loader(yaml.SafeLoader):
    """Reads lm-eval's `!function` as its name."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def configuration(name):
    file = name if name.endswith("_yaml") else f"{name}.yaml"
    value = yaml.load((CONFIG_FOLDER / file).read_text(encoding="utf-8"), Loader)
    included = value.pop("include", None)
    return value if included is None else {**configuration(included.removesuffix(".yaml")), **value}


def test_every_task_has_its_configuration_and_its_entry():
    assert sorted(SHIPPED) == sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_entry_names_the_metrics_that_the_configuration_lists(name):
    found = configuration(name)
    assert found["task"] == name
    listed = {each["metric"]: each["higher_is_better"] for each in found["metric_list"]}
    assert sorted(listed) == sorted(metric.key for metric in metrics_of(name))
    for metric in metrics_of(name):
        assert metric.higher_is_better in (None, listed[metric.key])
