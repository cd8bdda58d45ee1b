"""How many inputs each fuzzer tries: few in every run of the tests, as many as FLUX2_FUZZ_EXAMPLES says otherwise."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FLUX2_FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")
