"""Worker processes: blocks of a run spread over devices, one process each, fed by the process that maps the region."""

from terramosaic.run.workers.pool import WorkerPool
from terramosaic.run.workers.served import DeviceProcesses

__all__ = ["DeviceProcesses", "WorkerPool"]
