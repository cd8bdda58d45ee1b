"""`python -m flux2` is `flux2`."""

from __future__ import annotations

import sys

from flux2.cli import main

sys.exit(main())
