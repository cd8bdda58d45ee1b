"""Textual's widgets for words, made to show any text as it is.

Textual's own read what stands in brackets as markup: `[solo]` vanishes, `[/]` ends the program. Prompts, names of files
and sentences of other programs hold brackets, so nothing here reads markup; colours are given with `Content`. Every
other module takes these widgets from here, which a test sees to.
"""

from __future__ import annotations

from typing import Any

from textual import widgets
from textual.visual import VisualType
from textual.widgets.option_list import Option, OptionDoesNotExist

__all__ = ["Label", "Option", "OptionDoesNotExist", "OptionList", "Static"]


class Static(widgets.Static):
    def __init__(self, content: VisualType = "", **options: Any) -> None:
        super().__init__(content, markup=False, **options)


class Label(widgets.Label):
    def __init__(self, content: VisualType = "", **options: Any) -> None:
        super().__init__(content, markup=False, **options)


class OptionList(widgets.OptionList):
    def __init__(self, *content: Option, **options: Any) -> None:
        super().__init__(*content, markup=False, **options)

    def action_page_up(self) -> None:
        """Textual's own asks where lines are that are not laid out, as in a list without room."""
        if self.scrollable_content_region:
            super().action_page_up()  # type: ignore[no-untyped-call]
        else:
            self.action_first()

    def action_page_down(self) -> None:
        if self.scrollable_content_region:
            super().action_page_down()  # type: ignore[no-untyped-call]
        else:
            self.action_last()
