"""Plans that earlier versions wrote, read as what they say today."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.planning.layers import Layer, layers_of
from terramosaic.planning.plan import BundleRef, Plan
from terramosaic.request.request import RegionRequest

#: What 0.1 wrote: neither layers nor all that is told of the model, both of which it took from the bundle each time.
_WITHOUT_LAYERS = "terramosaic-plan-1"

#: What 0.1 called a standard deviation in the names of files.
_SPREAD = "spread"


def plan_in(text: str) -> Plan:
    """The plan that a ``plan.json`` holds, of this version or an earlier one.

    Raises:
        RequestError: it is of an earlier version, and what it needs to be read is gone.
        pydantic.ValidationError: it is no plan.
    """
    if _WITHOUT_LAYERS not in text[:100]:
        return Plan.model_validate_json(text)
    content = json.loads(text)
    named_spread = _SPREAD in content["request"]["extras"]
    request = RegionRequest.model_validate_json(json.dumps(content["request"]))
    bundle = _bundle_of(content["bundle"]["fingerprint"], request)
    found = [_renamed(layer) if named_spread else layer for layer in layers_of(request, bundle)]
    added: dict[str, Any] = {
        "format": "terramosaic-plan-2",
        "pixels": 1,
        "request": request,
        "bundle": BundleRef.of(bundle),
        "layers": found,
    }
    return Plan.model_validate({**content, **added})


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


def _renamed(layer: Layer) -> Layer:
    return layer if layer.measure != "std" else replace(layer, name=f"{layer.target}_{_SPREAD}")
