"""What stored numbers stand for, as the CF conventions say it: flags with values or masks, and their meanings.

https://cfconventions.org/cf-conventions/cf-conventions.html#flags (3.5)
"""

from __future__ import annotations

from typing import Any

from terramosaic.planning.layers import Layer


def meanings_of(layer: Layer) -> dict[str, Any]:
    """What the numbers of a layer stand for, as attributes; a meaning is one word there. Nothing of measured values."""
    if layer.kind == "class":
        numbers, texts = "flag_values", {item.value: item.name for item in layer.classes}
    elif layer.kind == "flags":
        # The sentence behind the colon explains; the words before it name.
        numbers, texts = "flag_masks", {bit: text.partition(":")[0] for bit, text in layer.bits.items()}
    else:
        return {}
    words = ("_".join(text.replace("/", " ").replace(",", " ").split()) for text in texts.values())
    return {numbers: list(texts), "flag_meanings": " ".join(words)}
