"""Every table of a page is one: its rows have as many cells as its head."""

import re

import pytest

from docs.test_commands import PAGES, ROOT

CELL = re.compile(r"(?<!\\)\|")


def broken_rows(text: str) -> list[str]:
    wrong, columns = [], 0
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        cells = len(CELL.findall(line))
        columns = columns or cells
        if cells != columns:
            wrong.append(line)
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_the_rows_of_a_table_have_its_columns(page):
    assert broken_rows((ROOT / page).read_text()) == []


def test_a_row_of_another_table_is_found():
    head = "| recipe | seconds |\n| --- | --- |\n"
    assert broken_rows(head + "| a | 1 |\n\n| b | c | d |\n") == []
    assert broken_rows(head + "| a \\| b | 1 |\n| a | yes | 1 |\n") == ["| a | yes | 1 |"]
