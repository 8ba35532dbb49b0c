from pathlib import Path


def prepare_step(source: Path, target: Path) -> None:
    raise NotImplementedError
