"""torch on the same device: terratorch as it is, and the strongest that torch makes of the same arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.export.graphs import Classes, Context, Decode, Embed, Tokens
from terramosaic.model.export.reference import Reference, tokens_key
from terramosaic.model.manifest import Schedule

_SCHEDULE = Schedule(
    training_steps=1000,
    betas="linear",
    zero_terminal_snr=True,
    prediction="x0",
    spacing="trailing",
    eta=0,
    default_steps=10,
)


def name_of_sentinel_2(reference: Reference) -> str:
    """What terratorch's model wants its windows to be called."""
    key = reference.key_of("S2L2A")
    return next(name for name, known in reference.model.mod_name_mapping.items() if known == key)


def eager(reference: Reference, device: str, steps: int) -> Callable[[np.ndarray], object]:
    """terratorch's own forward pass."""
    model = reference.model.to(device)
    name = name_of_sentinel_2(reference)

    def run(windows: np.ndarray) -> object:
        with torch.inference_mode():
            image = {name: torch.from_numpy(windows).to(device)}
            return {
                target: made.cpu() for target, made in model(image, standardize=True, timesteps=steps).items()
            }

    return run


def strongest(reference: Reference, device: str, steps: int, mode: str) -> Callable[[np.ndarray], object]:
    """The same graphs as ours, written in torch: half precision, channels last, each compiled with CUDA graphs."""
    reference.model.to(device)

    def compiled(module: nn.Module) -> Any:
        return torch.compile(module.eval().to(device), mode=mode, dynamic=False)

    embed = compiled(Embed(reference, "S2L2A"))
    context_of = [compiled(Context(reference)) for _ in reference.targets]
    decode = [compiled(Decode(reference)) for _ in reference.targets]
    tokens = {target: compiled(Tokens(reference, target)) for target in reference.targets}
    last: dict[str, Any] = {}
    for target in reference.targets:
        is_diffusion = hasattr(reference.model.tokenizer[tokens_key(target)], "noise_scheduler")
        last[target] = compiled(_HalfStep(reference, target) if is_diffusion else Classes(reference, target))
    walk = [
        (
            torch.tensor([step.t], dtype=torch.float32, device=device),
            torch.tensor([step.a, step.b, step.c, 1], dtype=torch.float32, device=device),
        )
        for step in ddim_steps(_SCHEDULE, steps)
    ]
    top_p = torch.tensor([0.8], device=device)

    def run(windows: np.ndarray) -> object:
        made: dict[str, torch.Tensor] = {}
        count = len(windows)
        image = torch.from_numpy(windows).to(device)
        ids = torch.zeros((count, 0), dtype=torch.int64, device=device)
        first = torch.zeros(1, dtype=torch.int64, device=device)
        for k, target in enumerate(reference.targets):
            before = torch.arange(k, device=device)
            with torch.inference_mode(), torch.autocast(device, torch.float16):
                patches = embed(image).clone()[None]
                context = context_of[k](patches, first, ids, before)[0].clone()
                hidden = decode[k](context, torch.tensor([k], device=device)).clone()
            with torch.inference_mode():
                uniform = torch.rand((count, 14, 14), device=device)
                drawn, code = (part.clone() for part in tokens[target](hidden.float(), uniform, top_p))
                ids = torch.cat([ids, drawn], dim=1)
                if isinstance(getattr(last[target], "_orig_mod", last[target]), _HalfStep):
                    channels = reference.model.tokenizer[tokens_key(target)].n_channels
                    x = torch.randn((count, channels, 224, 224), device=device)
                    for t, coefficients in walk:
                        x = last[target](x, code, t, coefficients).clone()
                    made[target] = x.cpu()
                else:
                    with torch.autocast(device, torch.float16):
                        made[target] = last[target](code)[0].float().cpu()
        return made

    return run


class _HalfStep(nn.Module):
    """A denoising step with the U-Net in half precision, but for the time embedding and normalisations."""

    def __init__(self, reference: Reference, target: str) -> None:
        super().__init__()
        import copy

        unet = copy.deepcopy(reference.model.tokenizer[tokens_key(target)].decoder)
        self.unet = unet.half().to(memory_format=torch.channels_last)
        self.unet.time_embed.float()
        for module in self.unet.modules():
            if hasattr(module, "emb_layers"):
                module.emb_layers.float()
            if isinstance(module, nn.GroupNorm):
                module.float()

    def forward(
        self, x: torch.Tensor, code: torch.Tensor, t: torch.Tensor, coefficients: torch.Tensor
    ) -> torch.Tensor:
        a, b, c, clip = coefficients.unbind(0)
        x0 = self.unet(x.half(), t, code.half()).float()
        return a * torch.minimum(torch.maximum(x0, -clip), clip) + b * x - c * x0


def wait(device: str) -> None:
    """Until a GPU has done what it was told."""
    if device != "cpu":
        torch.cuda.synchronize()
