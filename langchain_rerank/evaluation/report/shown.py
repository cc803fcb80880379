"""What every report shares: one view, shown in the terminal, as Markdown, HTML and data frame."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import MissingExtraError
from langchain_rerank.evaluation.report.plots import Plot, svg
from langchain_rerank.evaluation.report.rendering import html, terminal
from langchain_rerank.evaluation.report.rendering.view import View
from langchain_rerank.optional import require

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderResult

logger = logging.getLogger(__name__)


class Shown:
    """A result that shows itself; subclasses say by `_view`, `_rows` and `plots` what there is."""

    def _view(self, *, narrow: bool = False) -> View:
        """Return what every form shows; `narrow` for a terminal."""
        raise NotImplementedError

    def _rows(self) -> list[dict[str, Any]]:
        """Return the rows of the data frame."""
        raise NotImplementedError

    def plots(self) -> list[Plot]:
        """Return the plots that fit this result (`langchain_rerank.evaluation.report.plots`).

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        raise NotImplementedError

    def print(self) -> None:
        """Print the summary to the terminal.

        Raises:
            MissingExtraError: rich is not installed.
        """
        require("rich.console", extra="eval").Console().print(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from terminal.renderables(self._view(narrow=True), options.max_width)

    def _repr_html_(self) -> str:
        return html.fragment(self._view())

    def to_markdown(self) -> str:
        """Return the summary as Markdown."""
        return html.markdown(self._view())

    def to_html(self) -> str:
        """Return a page of its own; no request to anywhere.

        The figures are left out, with a warning in the log, where matplotlib is not installed.
        """
        return self._page({one.caption: svg(one) for one in self._plots()})

    def _page(self, figures: Mapping[str, str]) -> str:
        return html.page(self._view(), figures)

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with the rows of the CSV file that `save` writes.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pd.DataFrame = require("pandas", extra="eval").DataFrame(self._rows())
        return frame

    def _plots(self) -> list[Plot]:
        try:
            return self.plots()
        except MissingExtraError as error:
            logger.warning("The plots are left out. %s", error)
            return []
