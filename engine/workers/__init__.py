"""Worker processes: blocks of a run spread over devices, one process each, fed by the process that maps the region."""

from engine.workers.pool import WorkerPool
from engine.workers.served import DeviceProcesses

__all__ = ["DeviceProcesses", "WorkerPool"]
