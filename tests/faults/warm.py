"""What the fork server of schedules has ready, so that a worker only works: imports and templates, but no threads."""

from __future__ import annotations

import warnings

import obstore.store
import onnxruntime
from PIL import Image

from terramosaic.publishing.markup import _environment
from tests.faults import schedules

__all__ = ["obstore", "onnxruntime", "schedules"]

Image.init()
for name in _environment().list_templates():
    _environment().get_template(name)

# A worker takes the module that was started as its main one, though it is here already.
warnings.filterwarnings("ignore", message=".*found in sys.modules after import of package")
