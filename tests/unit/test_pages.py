"""Pages that run: how they are read, and which output fits what they show."""

from __future__ import annotations

import pytest

from tests import pages
from tests.pages import Action, Output, Script

PAGE = """# A page

<!-- do: lose-offsets orders "two words" -->

```sh
netsold status    # exit code 5
```

```text
1 record behind
```

## Second

```sh
netsold top
```
"""


def test_a_page_has_actions_and_scripts_in_their_order() -> None:
    """A script has its exit code, and the output below it if there is one."""
    action, status, top = pages.parts(PAGE)
    assert action == Action("lose-offsets", ("orders", "two words"))
    assert isinstance(status, Script)
    assert (status.exit_code, status.shown) == (5, ("1 record behind",))
    assert isinstance(top, Script)
    assert (top.exit_code, top.shown) == (0, None)
    assert [*pages.parts(PAGE, pages.sections(PAGE)["Second"])] == [top]


@pytest.mark.parametrize(
    ("shown", "fresh"),
    [
        ("orders-0  12  as of 2026-07-01T08:00:00Z", "orders-0 7 as of 2026-11-29T10:00:00.123Z"),
        ("¥1,299.00 in 3.1 s", "¥5.00 in 120 ms"),
        ("nothing behind", "12 records behind"),
        ("build 0.1.0+49e37c8f9e0a", "build 0.2.0"),
        ("+2 units", "-12 units"),
    ],
)
def test_numbers_and_times_differ_from_run_to_run(shown: str, fresh: str) -> None:
    """Their lines have one shape."""
    assert pages.shape(shown) == pages.shape(fresh)


@pytest.mark.parametrize(
    ("shown", "fresh", "kept"),
    [
        ("a\nrow 1\nrow 2\nz", "a\nrow 5\nz", "a\nrow 5\nz"),
        ("a\nrow 1\nz", "a\nrow 5\nrow 6\nz", "a\nrow 5\nz"),
        ("a\n…\nz", "a\nb\nc\nz", "a\n…\nz"),
        ("…\nz 1", "z 2", "…\nz 2"),
        ("a 1\n…", "a 2\nb", "a 2\n…"),
        ("a\n…\nz 1\n…", "a\nb\nz 7\nc", "a\n…\nz 7\n…"),
    ],
)
def test_fresh_lines_replace_those_of_one_shape(shown: str, fresh: str, kept: str) -> None:
    """Rows may be more or fewer; what is left out stays left out."""
    assert pages.fitting(shown.splitlines(), fresh.splitlines()) == kept.splitlines()


@pytest.mark.parametrize(
    ("shown", "fresh"),
    [("a", "b"), ("a", "a\nb"), ("a\nb", "a"), ("a\n…\nz", "a\nb"), ("ok 1", "fault 1"), ("a", "")],
)
def test_other_words_do_not_fit(shown: str, fresh: str) -> None:
    """Nor do lines that are missing, or more of them."""
    assert pages.fitting(shown.splitlines(), fresh.splitlines()) is None


def test_differences_name_the_command_and_what_it_printed() -> None:
    """The exit code counts as well."""
    _, status, top = pages.parts(PAGE)
    assert isinstance(status, Script)
    assert isinstance(top, Script)
    assert pages.differences(status, Output(("9 records behind",), 5)) == []
    assert pages.differences(top, Output(("anything",), 0)) == []
    assert pages.differences(status, Output(("live",), 0)) == [
        "$ netsold status    # exit code 5",
        "exit code 0, not 5",
        "another output than the page shows",
        "--- it printed",
        "live",
    ]
    assert not pages.differences(status, Output(("live",), 5), of_codes_alone=True)
    assert pages.differences(status, Output(("live",), 0), of_codes_alone=True)


def test_a_page_gets_fresh_output() -> None:
    """The rest stays; output of another shape is shown whole."""
    _, status, top = pages.parts(PAGE)
    assert isinstance(status, Script)
    assert isinstance(top, Script)
    outputs = [(status, Output(("nothing behind",), 5)), (top, Output(("x",), 0))]
    assert pages.rewritten(PAGE, outputs) == PAGE.replace("1 record behind", "nothing behind")
    outputs = [(status, Output(("one", "two"), 5))]
    assert pages.rewritten(PAGE, outputs) == PAGE.replace("1 record behind", "one\ntwo")


def test_parts_run_in_their_order() -> None:
    """Actions are handed to one function, scripts to the other."""
    order: list[str] = []

    def execute(script: Script) -> Output:
        order.append(script.text.split()[1])
        return Output((), 0)

    outputs = pages.run(pages.parts(PAGE), lambda action: order.append(action.name), execute)
    assert order == ["lose-offsets", "status", "top"]
    assert [output for _, output in outputs] == [Output((), 0)] * 2
