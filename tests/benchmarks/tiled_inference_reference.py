"""terratorch's ``tiled_inference`` on a trivial model; run by `throughput` with a Python that has terratorch."""

from __future__ import annotations

import json
import resource
import sys
import time

import torch
from terratorch.tasks.tiled_inference import tiled_inference


def trivial(windows: torch.Tensor) -> torch.Tensor:
    """NDVI, two dB bands and ten class probabilities by band arithmetic, like the demo bundle: 13 channels."""
    red, near_infrared, short = windows[:, 3], windows[:, 7], windows[:, 10]
    ndvi = (near_infrared - red) / (near_infrared + red)
    moisture = (near_infrared - short) / (near_infrared + short)
    backscatter = torch.stack([-12 + 4 * ndvi, -18 + 4 * moisture], 1)
    classes = torch.softmax(torch.stack([k * ndvi - (9 - k) * moisture for k in range(10)], 1), 1)
    return torch.cat([backscatter, ndvi[:, None], classes], 1)


def main() -> None:
    """Prints megapixels, seconds and peak memory as JSON."""
    size = int(sys.argv[1])
    image = torch.randint(1, 5000, (1, 12, size, size)).to(torch.float32)
    started = time.perf_counter()
    with torch.inference_mode():
        tiled_inference(
            trivial, image, out_channels=13, h_crop=224, w_crop=224, h_stride=192, w_stride=192,
            average_patches=True, blend_overlaps=True, batch_size=8,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"megapixels": size**2 / 1e6, "seconds": seconds, "gigabytes": peak}))


if __name__ == "__main__":
    main()
