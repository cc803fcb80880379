"""What a report writes into a terminal."""

import io
import unicodedata
from dataclasses import replace

from rich.console import Console

EVIL = "x\x1b[31mRED\x1b[0m \x1b]0;pwned\x07 \x9b2J\x00end"


def test_control_characters_of_questions_do_not_reach_the_terminal(make_report):
    report = make_report([(0.5, 1.0), (1.0, 0.5)], title=EVIL, warnings=(EVIL,))
    (compared,) = report.comparisons
    gained, lost = (
        tuple(replace(query, question=EVIL) for query in moved)
        for moved in (compared.gained, compared.lost)
    )
    report = replace(report, comparisons=(replace(compared, gained=gained, lost=lost),))
    output = io.StringIO()
    Console(file=output, width=120).print(report)
    shown = output.getvalue()
    assert {one for one in shown if unicodedata.category(one) == "Cc"} == {"\n"}
    # The title, the warning, the question that gained and the one that lost.
    assert shown.count("pwned") == 4
