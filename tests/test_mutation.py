"""A fixed sample of mutants: at least 90 % are killed or listed as equivalent (see CONTRIBUTING.md)."""

import pytest

from benchmarks.mutation import ROOT, changed_lines, load_settings, run_module

MODULE = "reports/comparison/multiplicity.py"


@pytest.mark.slow
def test_the_tests_kill_a_sample_of_mutants():
    tests, equivalent = load_settings()
    result = run_module(MODULE, tests[MODULE], equivalent[MODULE], sample=20)
    assert result.mutants == 20
    assert result.passes, result.survived


def test_equivalent_mutants_are_of_lines_that_are_there():
    tests, equivalent = load_settings()
    for module, changes in equivalent.items():
        text = " ".join((ROOT / module).read_text(encoding="utf-8").split())
        for line, mutant in changes:
            assert " ".join(line.split()) in text
            assert line != mutant
    assert all((ROOT / path).is_file() for paths in tests.values() for path in paths)


def test_a_change_is_the_removed_and_the_added_line():
    diff = "--- a.py\n+++ a.py\n@@ -1,3 +1,3 @@\n def f(a):\n-    return a + 1\n+    return a - 1\n"
    assert changed_lines(diff) == ("return a + 1", "return a - 1")
