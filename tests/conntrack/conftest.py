"""What tests of the tracker share."""

from __future__ import annotations

import pytest
import sharded


@pytest.fixture(params=[1, 3], ids=["one-shard", "three-shards"])
def each_number_of_shards(request, monkeypatch):
    """The test runs with one shard, and again with three that packets arrive at by chance."""
    monkeypatch.setattr(sharded, "N_SHARDS", request.param)
