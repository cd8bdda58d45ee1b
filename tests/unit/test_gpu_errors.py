"""The last words of GPU backends, as they were recorded, and what is made of them."""

from __future__ import annotations

import pytest

from flux2.backend.gpu_errors import GPU_ERRORS, explain

_ABORT = "libc++abi: terminating due to uncaught exception of type std::runtime_error: "
_FAILED = "[METAL] Command buffer execution failed: "

RECORDED = {
    f"{_ABORT}{_FAILED}Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)": "ran out of memory",
    f"{_ABORT}{_FAILED}Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)": (
        "display waiting"
    ),
    f"{_FAILED}Caused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)": "took too long",
    f"{_FAILED}Ignored (for causing prior/excessive GPU errors) "
    "(00000004:kIOGPUCommandBufferCallbackErrorSubmissionsIgnored)": "earlier failure",
    f"{_FAILED}Caused GPU Address Fault Error (0000000b:kIOGPUCommandBufferCallbackErrorPageFault)": "invalid address",
    "[metal::malloc] Resource limit (499000) exceeded.": "more arrays",
    "[metal::load_device] No Metal device available": "no access to the Mac's GPU",
    "[metal::malloc] Attempting to allocate 68719476736 bytes which is greater than the maximum allowed buffer size "
    "of 22906503168 bytes.": "larger than the GPU allows",
    "[malloc] Unable to allocate 137438953472 bytes.": "not enough memory",
    "cudaMallocAsync failed: out of memory": "not enough memory",
}


@pytest.mark.parametrize(("last_words", "meant"), RECORDED.items())
def test_last_words_become_a_sentence_with_a_remedy(last_words: str, meant: str) -> None:
    error = explain(f"some line before\n{last_words}\n")
    assert error is not None
    assert meant in error.sentence
    assert "; " in error.sentence


def test_what_is_not_the_gpus_is_left_alone() -> None:
    assert explain("ValueError: shapes (1, 2) and (3, 4) do not match") is None


def test_no_kind_hides_another() -> None:
    assert {explain(words) for words in RECORDED} >= {error for error in GPU_ERRORS if error.out_of_memory}
