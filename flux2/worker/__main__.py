from __future__ import annotations

import sys

from flux2.worker.process import main

sys.exit(main())
