"""`python -m flux2.worker` is the worker process."""

from __future__ import annotations

import sys

from flux2.worker.process import main

sys.exit(main())
