"""Records: JSON objects that carry a checksum of their own, so that one which was damaged is known for it.

    {"run_id": "1f3a…", "checksum": "9c40…"}    SHA-256 of the rest as JSON, its keys sorted and without blanks

One without a checksum is taken as it is, unless its kind always has one: items have none, and what earlier versions
wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_CHECKSUM = "checksum"


def sealed(content: Mapping[str, Any]) -> str:
    """A record's text: its content, and at the end the checksum."""
    return json.dumps({**content, _CHECKSUM: _checksum_of(content)}, indent=1)


def unsealed(text: str | bytes, *, always_sealed: bool = False) -> dict[str, Any]:
    """A record's content.

    Args:
        text: the record.
        always_sealed: whether all of its kind have a checksum, so that one without is damaged.

    Raises:
        ValueError: the text is no JSON object, or is not as it was written; says which.
    """
    try:
        content = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    checksum = content.pop(_CHECKSUM, None)
    if checksum is None and always_sealed:
        raise ValueError("its checksum is missing")
    if checksum is not None and checksum != _checksum_of(content):
        raise ValueError("its checksum is another")
    return content


def _checksum_of(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
