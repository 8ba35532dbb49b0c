"""Plans that earlier versions wrote, read as what they say today."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.planning.layers import ACQUIRED, Layer, layers_of
from terramosaic.planning.plan import BundleRef, Plan
from terramosaic.request.request import RegionRequest
from terramosaic.storage.records import unsealed

#: What 0.1 wrote: neither layers nor all that is told of the model, both of which it took from the bundle each time.
_WITHOUT_LAYERS = "terramosaic-plan-1"

#: What 0.1 called a standard deviation in the names of files.
_SPREAD = "spread"


def plan_in(text: str | bytes) -> Plan:
    """The plan that a ``plan.json`` holds, of this version or an earlier one.

    Raises:
        RequestError: it is of an earlier version, and what it needs to be read is gone.
        ValueError: it is damaged, or (pydantic.ValidationError) no plan.
    """
    content = unsealed(text)
    return Plan.model_validate(_of_0_1(content) if content.get("format") == _WITHOUT_LAYERS else content)


def _of_0_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan of 0.1 says, in today's words."""
    try:
        named_spread = _SPREAD in content["request"]["extras"]
        fingerprint = content["bundle"]["fingerprint"]
    except (KeyError, TypeError) as error:
        raise ValueError("it has no request, or no bundle") from error
    request = RegionRequest.model_validate_json(json.dumps(content["request"]))
    bundle = _bundle_of(fingerprint, request)
    found = [layer for layer in layers_of(request, bundle) if _is_of_0_1(layer, request)]
    return {
        **content,
        "format": "terramosaic-plan-2",
        "pixels": 1,
        "request": request,
        "bundle": BundleRef.of(bundle),
        "layers": [_renamed(layer) for layer in found] if named_spread else found,
    }


def _bundle_of(fingerprint: str, request: RegionRequest) -> Bundle:
    try:
        bundle = load_bundle(request.model)
    except TerramosaicError as error:
        raise RequestError(
            f"plan: version 0.1 wrote it, and its layers can be told with its model alone; {error}"
        ) from error
    if bundle.fingerprint != fingerprint:
        raise RequestError(
            f"plan: version 0.1 wrote it for another model than the one that is now in {request.model}; put that "
            f"one back, whose fingerprint is {fingerprint[:12]}…"
        )
    return bundle


def _is_of_0_1(layer: Layer, request: RegionRequest) -> bool:
    """Whether 0.1 made a layer: what tells how far to trust a map it made where it was asked for."""
    return layer.key != ACQUIRED.key and layer.measure in ("estimate", *request.extras)


def _renamed(layer: Layer) -> Layer:
    return layer if layer.measure != "std" else replace(layer, name=f"{layer.target}_{_SPREAD}")
