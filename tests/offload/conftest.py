"""A layer with a table of connections and a recording provider, stepped by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from offload_lab import Lab

from ctoffload_dpdk.providers.recording import RecordingProvider


@pytest.fixture
def provider() -> RecordingProvider:
    return RecordingProvider()


@pytest.fixture
def lab(provider: RecordingProvider) -> Iterator[Lab]:
    made = Lab(provider)
    yield made
    provider.answer_later()
    provider.complete()
    made.layer.close()
    assert provider.held == {}
