"""Prices as lists of models say them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.providers.model_prices import price_of


@pytest.mark.parametrize(
    ("pricing", "price"),
    [
        ({"prompt": "0.000003", "completion": "0.000015", "request": "0"}, 18.0),
        ({"prompt": 1e-6, "completion": 0}, 1.0),
        ({"prompt": "0", "completion": "0"}, 0.0),
        ({"hourly": 0, "input": 3, "output": 15.5, "base": 0}, 18.5),
        ({"prompt": "-1", "completion": "-1"}, None),
        ({"prompt": "0.1"}, None),
        ({"prompt": "free", "completion": "0"}, None),
        ({"prompt": True, "completion": False}, None),
        ({"prompt": "nan", "completion": "inf"}, None),
        ({"prompt": 10**400, "completion": 1}, None),
        ("cheap", None),
        (None, None),
    ],
)
def test_a_price(pricing: Any, price: float | None) -> None:
    assert price_of({"pricing": pricing}) == (None if price is None else pytest.approx(price))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
    )
)
def test_whatever_an_entry_holds_is_read(value: Any) -> None:
    found = price_of({"pricing": value})
    assert found is None or found >= 0
