"""The gallery's index and the favourites, kept off the event loop: what the picture screens show and ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.errors import Flux2Error

if TYPE_CHECKING:  # what is imported here is needed only once a picture screen opens
    from PIL import Image

    from flux2.pictures.favourites import Favourites
    from flux2.pictures.gallery import Gallery, Picture
    from flux2.pictures.image_metadata import ImageMetadata


class PictureLibrary:
    """All methods are for the event loop's thread; whatever touches a disk is done in another."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """
        Args:
            changed: told on the event loop that `pictures` or the marks are new.
        """
        self._changed = changed
        self.pictures: list[Picture] = []
        """Newest first."""
        self._loaded = False
        self._scan: asyncio.Future[None] | None = None
        self._decoding = asyncio.Lock()  # one picture's pixels in memory at a time

    @cached_property
    def _gallery(self) -> Gallery:
        from flux2.pictures.gallery import Gallery

        return Gallery()

    @cached_property
    def _favourites(self) -> Favourites:
        from flux2.pictures.favourites import Favourites

        return Favourites()

    def is_favourite(self, picture: Picture) -> bool:
        return picture in self._favourites

    async def refresh(self) -> None:
        """Bring `pictures` up to date: at first with what was known last time, then with what is on the disk."""
        if self._scan is None or self._scan.done():
            self._scan = asyncio.ensure_future(self._refresh())
        await asyncio.shield(self._scan)

    @property
    def scanning(self) -> bool:
        return self._scan is not None and not self._scan.done()

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()

        def tell(pictures: list[Picture]) -> None:
            loop.call_soon_threadsafe(self._publish, pictures)

        def look() -> list[Picture]:
            if not self._loaded:
                self._loaded = True
                tell(self._gallery.load())
            pictures = self._gallery.scan(tell)
            self._favourites.follow(pictures)
            return pictures

        self._publish(await asyncio.to_thread(look))

    def _publish(self, pictures: list[Picture]) -> None:
        self.pictures = pictures
        self._changed()

    async def take_up(self, path: Path) -> Picture | None:
        """A picture has just been made: know it. None if it is gone already."""

        def add() -> tuple[Picture | None, list[Picture]]:
            if not self._loaded:
                self._loaded = True
                self._gallery.load()
            return self._gallery.add(path), self._gallery.pictures

        picture, pictures = await asyncio.to_thread(add)
        self._publish(pictures)
        return picture

    async def thumbnail(self, picture: Picture) -> Image.Image:
        """
        Raises:
            Flux2Error: if the picture can't be read.
        """
        async with self._decoding:
            return await asyncio.to_thread(self._gallery.thumbnail, picture)

    async def pixels(self, picture: Picture) -> Image.Image:
        """
        Raises:
            Flux2Error: if the picture can't be read, or is too large to be shown.
        """
        from flux2.pictures.images import read_pixels

        async with self._decoding:
            return await asyncio.to_thread(read_pixels, picture.path)

    async def metadata(self, picture: Picture) -> ImageMetadata | None:
        """All that the picture says of itself; None where that is nothing of ours."""
        from flux2.pictures.images import read_metadata

        try:
            return await asyncio.to_thread(read_metadata, picture.path)
        except Flux2Error:
            return None

    async def toggle_favourite(self, picture: Picture) -> bool:
        """Whether it is one now.

        Raises:
            Flux2Error: if that can't be written down.
        """
        marked = await asyncio.to_thread(self._favourites.toggle, picture)
        self._changed()
        return marked

    async def trash(self, picture: Picture) -> str:
        """Move the file to the trash; where it is now.

        Raises:
            NoTrashError: if there is none, and nothing was moved.
        """
        from flux2.pictures.trash import move_to_trash

        where = await asyncio.to_thread(move_to_trash, picture.path)
        await self._drop(picture)
        return where

    async def delete(self, picture: Picture) -> None:
        """Remove the file for good.

        Raises:
            Flux2Error: if it can't be removed.
        """
        from flux2.pictures.trash import delete

        await asyncio.to_thread(delete, picture.path)
        await self._drop(picture)

    async def _drop(self, picture: Picture) -> None:
        await asyncio.to_thread(self._gallery.remove, picture.path)
        self._publish([other for other in self.pictures if other.path != picture.path])
