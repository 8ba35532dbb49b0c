"""The command line: ``terramosaic demo | map | plan | model``, and what other distributions add to it."""

from terramosaic.cli.app import main

__all__ = ["main"]
