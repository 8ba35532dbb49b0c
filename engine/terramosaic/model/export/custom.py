"""Users' own code that a fine-tuned model needs, such as a decoder that they registered with terratorch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from terramosaic.errors import RequestError, one_line, printable


def run_custom_modules(path: Path) -> None:
    """Imports a package or a module, so that it registers what it has; it may do anything that Python can.

    A package goes by its folder's name, as terratorch's ``--custom_modules_path`` has it.

    Raises:
        RequestError: it is neither, or fails.
    """
    path = path.expanduser().absolute()
    is_package = path.is_dir()
    if not is_package and not (path.is_file() and path.suffix == ".py"):
        raise RequestError(
            f"custom-modules: {printable(str(path))} is no folder of Python modules, and no module (.py)"
        )
    try:
        if is_package:
            sys.path.insert(0, str(path.parent))
            importlib.import_module(path.name)
            return
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None  # of a file .py there are both
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
    except Exception as error:  # whatever it raises
        raise RequestError(f"custom-modules: {printable(str(path))} failed: {one_line(error)}") from error
