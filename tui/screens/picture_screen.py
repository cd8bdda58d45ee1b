"""What gallery, viewer and comparison share: the keys that do something with the picture at hand, and the way back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from textual import work

from flux2.errors import Flux2Error
from flux2.humanize import printable
from flux2.pictures.trash import NoTrashError
from tui.keys.keymap import Key
from tui.program import Program
from tui.screens import picture_desk
from tui.state.session import Session, Topic
from tui.terminal.inside_textual import UserKeysScreen

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture

_NEEDS_PICTURE = ("open", "favourite", "pick", "trash", "copy", "scp", "across", "neighbour", "actual_size", "settings")
_NEEDS_SETTINGS = ("more", "compare")
SCP_SECONDS = 30
"""How long the line stays, so that it can be read off."""


class PictureScreen(UserKeysScreen):
    AUTO_FOCUS = ""
    KEYS: ClassVar[tuple[Key, ...]] = ()
    app: Program

    @property
    def current(self) -> Picture | None:
        """The picture that keys act on."""
        raise NotImplementedError

    def show_pictures(self) -> None:
        """The library has changed."""

    def show(self, session: Session, topics: Topic) -> None:
        """The worker has said something."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        picture = self.current
        if action in _NEEDS_PICTURE and picture is None:
            return False
        if action == "scp":
            return self.app.options.remote
        if action == "before":
            return picture is not None and picture_desk.made_of_pictures(picture)
        if action in ("use_as", "reuse"):  # other programs' pictures, too
            return picture is not None and not picture.problem
        if action == "compare_strengths":
            return picture is not None and picture.request is not None and bool(picture.request.loras)
        if action in _NEEDS_SETTINGS or (action == "copy" and parameters[:1] in (("prompt",), ("seed",))):
            return picture is not None and picture.request is not None
        return True

    # --- with the picture --------------------------------------------------------------------------------------------

    @work(group="favourite")
    async def action_favourite(self) -> None:
        if (picture := self.current) is not None:
            await picture_desk.toggle_favourite(self.app, picture)

    def action_compare(self) -> None:
        if (picture := self.current) is not None and picture.request is not None:
            picture_desk.compare(self.app, picture.request)

    def action_compare_strengths(self) -> None:
        if (picture := self.current) is not None and picture.request is not None:
            picture_desk.compare_strengths(self.app, picture.request)

    def action_reuse(self) -> None:
        if (picture := self.current) is None:
            return
        if picture.request is not None:
            picture_desk.reuse(self.app, picture.request)
        else:
            picture_desk.reuse_of_others(self.app, picture.path)

    def action_use_as(self) -> None:
        from tui.screens.handing_in import ask_use

        if (picture := self.current) is not None:
            ask_use(self.app, [picture.path])

    def action_before(self) -> None:
        if (picture := self.current) is not None:
            picture_desk.before_and_after(self.app, picture)

    def action_more(self) -> None:
        if (picture := self.current) is not None and picture.request is not None:
            picture_desk.more_like(self.app, picture.request)

    @work(group="trash", exclusive=True)
    async def action_trash(self) -> None:
        from tui.screens.confirm import Confirm

        if (picture := self.current) is None:
            return
        name = printable(picture.path.name)
        if not await self.app.push_screen_wait(Confirm(f"Move {name} to the trash?", "trash")):
            return
        try:
            where = await self.app.library.trash(picture)
        except NoTrashError as error:
            if await self.app.push_screen_wait(Confirm(f"{error} Delete it for good?")):
                await self._delete(picture)
        else:
            self.app.say("info", f"{name} is in {printable(where)}.")

    async def _delete(self, picture: Picture) -> None:
        try:
            await self.app.library.delete(picture)
        except Flux2Error as error:
            self.app.say("error", printable(str(error)))
        else:
            self.app.say("info", f"{printable(picture.path.name)} is deleted.")

    def action_copy(self, what: str) -> None:
        picture = self.current
        if picture is None:
            return
        request = picture.request
        text = str(picture.path)
        if what != "path" and request is not None:
            text = request.prompt if what == "prompt" else str(request.seed)
        self._copy(text, f"Copied the {what}: {printable(text)}")

    def action_scp(self) -> None:
        from tui.terminal.fetching import scp_line

        if (picture := self.current) is not None:
            line = scp_line(picture.path)
            self._copy(line, f"Run this on your machine; it is copied:\n{printable(line)}", SCP_SECONDS)

    def _copy(self, text: str, said: str, timeout: float = 5) -> None:
        """Through the terminal (OSC 52), so that it reaches the machine that the user sits at."""
        self.app.copy_to_clipboard(text)
        if os.environ.get("TMUX"):
            said += "\nIf it does not arrive: tmux set -g set-clipboard on"
        self.notify(said, timeout=timeout)

    # --- elsewhere ---------------------------------------------------------------------------------------------------

    def action_back(self) -> None:
        self.dismiss()

    def action_dashboard(self) -> None:
        picture_desk.open_dashboard(self.app)

    def action_help(self) -> None:
        from tui.screens.help import Help

        self.app.push_screen(Help(self.KEYS))

    async def action_quit(self) -> None:
        await self.app.action_quit()
