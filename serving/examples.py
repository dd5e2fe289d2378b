"""The examples in /openapi.json; a test sends each of them."""

from __future__ import annotations

from typing import Any

DEVICE_ID = "apple-iphone-13-128gb"

_PHONE = {"device_id": DEVICE_ID}
_LAPTOP = {
    "category": "laptop",
    "brand": "Lenovo",
    "model": "ThinkPad T480",
    "storage_gb": 256,
    "launched_on": "2018-01-09",
    "launch_price": {"amount": "989.00", "currency": "GBP"},
}
_ANSWERS = {
    "powers_on": True,
    "fully_functional": True,
    "screen": "LIGHT",
    "body": "VISIBLE",
    "battery_health": 0.87,
    "carrier_locked": False,
    "activation_locked": False,
    "blacklisted": False,
    "accessories": True,
}

Examples = dict[str, Any]

QUOTES: Examples = {
    "known device": {"value": {"market": "DE", "device": _PHONE, "answers": _ANSWERS}},
    "described device": {"value": {"market": "GB", "device": _LAPTOP, "answers": _ANSWERS}},
}
VALUATIONS: Examples = {
    "two devices": {"value": {"market": "GB", "devices": [{"device": _PHONE}, {"device": _LAPTOP}]}},
}
PRICE_CHECKS: Examples = {
    "known device": {
        "value": {
            "market": "FR",
            "device": _PHONE,
            "grade": "GOOD",
            "price": {"amount": "329.00", "currency": "EUR"},
            "paid": {"amount": "180.00", "currency": "EUR"},
        }
    },
}
ACCEPTANCES: Examples = {"the amount": {"value": {"amount": {"amount": "129.00", "currency": "EUR"}}}}
INSPECTIONS: Examples = {"as found": {"value": {"found": _ANSWERS}}}
VOIDS: Examples = {"its owner keeps it": {"value": {"reason": "WITHDRAWN"}}}
