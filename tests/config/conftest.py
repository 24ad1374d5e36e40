"""An OVSDB per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def ovsdb(tmp_path) -> Iterator:
    import ovsdb_lab  # noqa: PLC0415 - only these tests need it

    try:
        server = ovsdb_lab.single(tmp_path)
    except ovsdb_lab.NoOvsdb as error:
        pytest.skip(str(error))
    yield server
    server.stop()
