"""The soak of `tests.soak`, a short one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.soak import soak


async def test_pictures_and_cancels_leave_nothing_behind() -> None:
    folder = Path(tempfile.mkdtemp(prefix="flux2-"))
    try:
        made, broken_off = await soak(folder, images=4, cancels=10)
    finally:
        shutil.rmtree(folder)
    assert made.endings == {"RunFinished": 4}
    assert sum(broken_off.endings.values()) == 10
    assert broken_off.endings["RunCancelled"] >= 5
    assert not made.errors + broken_off.errors
    for report in (made, broken_off):
        assert report.last.active <= report.first.active
        assert report.last.cache <= report.first.cache
        assert report.last.descriptors <= report.first.descriptors
        assert report.last.children == 0
        assert report.last.files <= report.first.files
