from pathlib import Path


def prepare_transformer(source: Path, target: Path) -> None:
    raise NotImplementedError
