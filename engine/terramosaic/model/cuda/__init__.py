"""TerraMind's graphs on NVIDIA GPUs: rewritten for them once, then opened so that they never run anywhere else."""

from terramosaic.model.cuda.sessions import open_on_cuda
from terramosaic.model.cuda.step import prepare_step
from terramosaic.model.cuda.transformer import prepare_transformer

__all__ = ["open_on_cuda", "prepare_step", "prepare_transformer"]
