"""Textual's fields for text, in which a key moves over, selects or deletes a character as a reader counts them.

What is typed into the midst of a character (a flag's first half before another flag) stays where it was typed: the
place of the cursor is only corrected where a key up or down or the mouse has set it.
"""

from __future__ import annotations

from textual.events import MouseEvent
from textual.widgets import Input, TextArea
from textual.widgets.input import Selection
from textual.widgets.text_area import Location

from tui.terminal.graphemes import end_of, start_of


class Field(Input):
    """One line."""

    def action_cursor_left(self, select: bool = False) -> None:
        if select or self.selection.is_empty:
            place = start_of(self.value, self.cursor_position - 1)
            self.selection = Selection(self.selection.start if select else place, place)
        else:
            super().action_cursor_left()

    def action_cursor_right(self, select: bool = False) -> None:
        if select or (self.selection.is_empty and not self.cursor_at_end):
            place = end_of(self.value, self.cursor_position)
            self.selection = Selection(self.selection.start if select else place, place)
        else:
            super().action_cursor_right()

    def action_delete_left(self) -> None:
        if self.selection.is_empty:
            self.delete(start_of(self.value, self.cursor_position - 1), self.cursor_position)
        else:
            super().action_delete_left()

    def action_delete_right(self) -> None:
        if self.selection.is_empty:
            self.delete(self.cursor_position, end_of(self.value, self.cursor_position))
        else:
            super().action_delete_right()

    def _cell_offset_to_index(self, offset: int) -> int:
        return start_of(self.value, super()._cell_offset_to_index(offset))


class Editor(TextArea):
    """Several lines."""

    def get_cursor_left_location(self) -> Location:
        row, column = self.cursor_location
        return (row, start_of(self.document[row], column - 1)) if column else super().get_cursor_left_location()

    def get_cursor_right_location(self) -> Location:
        row, column = self.cursor_location
        line = self.document[row]
        return (row, end_of(line, column)) if column < len(line) else super().get_cursor_right_location()

    def get_cursor_up_location(self) -> Location:
        return self._corrected(super().get_cursor_up_location())

    def get_cursor_down_location(self) -> Location:
        return self._corrected(super().get_cursor_down_location())

    def get_target_document_location(self, event: MouseEvent) -> Location:
        return self._corrected(super().get_target_document_location(event))

    def _corrected(self, location: Location) -> Location:
        row, column = location
        return row, start_of(self.document[row], column)

    def _recompute_cursor_offset(self) -> None:
        """Where the cursor is drawn, also while an undo has shortened the text and not yet moved it.

        Textual's own ends with an exception then (https://github.com/Textualize/textual/issues/6686).
        """
        self._cursor_offset = self.wrapped_document.location_to_offset(self.clamp_visitable(self.cursor_location))
