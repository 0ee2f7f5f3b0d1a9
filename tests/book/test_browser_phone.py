"""Every built page on a phone, which is dark first and turns light."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import opened
from visits import PAGES, inspect, short

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def window(browser: Any, site: str) -> Iterator[Any]:
    with opened(browser, home=site, width=390, height=844) as page:
        yield page


@pytest.mark.parametrize("name", PAGES, ids=short)
def test_page_is_in_order(name: str, window: Any, site: str) -> None:
    faults = inspect(window, site, name, ("dark", "light"))
    assert not faults, "\n".join(faults)
