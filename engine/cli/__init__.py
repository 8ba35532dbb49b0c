"""The command line: ``terramosaic demo | map | plan | model``."""

from engine.cli.app import main

__all__ = ["main"]
