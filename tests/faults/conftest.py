"""The laboratory for each row of the fault table."""

from collections.abc import AsyncIterator

import pytest
from tests.lab.laboratory import Laboratory
from tests.support.stack import Stack


@pytest.fixture
async def lab(stack: Stack) -> AsyncIterator[Laboratory]:
    """A laboratory around a deployment of this test alone."""
    async with Laboratory(stack) as made:
        yield made
