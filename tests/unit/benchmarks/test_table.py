"""A benchmark's page is whole after every row, whichever process added it."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.gpu.table import STEPS, Results


def test_rows_of_several_processes_are_one_table_and_the_steps_come_last(tmp_path: Path) -> None:
    Results(tmp_path).note("# title")
    Results(tmp_path).row(STEPS, ("step", "s"), ("first", 1.5))
    Results(tmp_path).row("Speed", ("batch", "windows/s"), (16, 31.25))
    Results(tmp_path).row("Other", ("what",), ("a|b",))
    Results(tmp_path).row("Speed", ("batch", "windows/s"), (32, 0.00125))

    page = (tmp_path / "results.md").read_text()

    assert page == (
        "# title\n\n"
        "## Speed\n\n| batch | windows/s |\n| --- | --- |\n| 16 | 31.25 |\n| 32 | 1.25e-03 |\n\n"
        "## Other\n\n| what |\n| --- |\n| a\\|b |\n\n"
        "## Steps\n\n| step | s |\n| --- | --- |\n| first | 1.5 |\n"
    )


def test_the_page_stands_after_each_row_and_begins_anew_when_cleared(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.row("Speed", ("batch",), (16,))
    assert "| 16 |" in (tmp_path / "results.md").read_text()

    results.clear()
    results.note("next")
    assert (tmp_path / "results.md").read_text() == "next\n"
