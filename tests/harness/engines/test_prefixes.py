"""What rows begin with in common: found where it pays, and only there."""

from harness.engines.prefixes import Prefix, rows_below, shared_prefixes


def split(rows, heads=None, minimum=4):
    return shared_prefixes(rows, heads or [len(row) - 1 for row in rows], minimum)


def test_nested_prefixes_are_found_whatever_the_order_of_rows():
    examples = tuple(range(20))
    rows = [(*examples, *([question] * 8), 100 + choice) for choice in range(3) for question in range(2)]
    (outer,), alone = split(rows)
    assert alone == []
    assert (outer.start, outer.end) == (0, 20)
    assert sorted(sorted(each.below) for each in outer.below) == [[0, 2, 4], [1, 3, 5]]
    assert {(each.start, each.end) for each in outer.below} == {(20, 28)}


def test_rows_without_enough_in_common_stay_alone():
    rows = [(1, 2, 3, *range(10 * number, 10 * number + 9)) for number in range(5)]
    assert split(rows) == ([], [0, 1, 2, 3, 4])


def test_a_prefix_that_saves_little_is_not_worth_a_pass():
    rows = [(1, 2, 3, 4, 5, *range(1000 * number, 1000 * number + 100)) for number in range(1, 4)]
    prefixes, alone = split(rows)
    assert prefixes == []
    assert sorted(alone) == [0, 1, 2]


def test_nothing_behind_a_rows_head_is_shared():
    rows = [tuple(range(20)), (*range(19), 77)]
    (prefix,), _ = split(rows, heads=[10, 12])
    assert prefix.end == 10


def test_equal_rows_and_no_rows():
    rows = [tuple(range(9))] * 3
    (prefix,), _ = split(rows)
    assert prefix == Prefix(0, 8, prefix.row, prefix.below)
    assert sorted(rows_below(prefix)) == [0, 1, 2]
    assert split([]) == ([], [])
