"""The command line: ``terramosaic demo | map | plan | model | up``."""

from engine.cli.app import main

__all__ = ["main"]
