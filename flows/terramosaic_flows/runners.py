"""Where block tasks run, chosen by the setting ``TERRAMOSAIC_RUNNER``.

threads     threads:4                        threads of the flow's process
processes   processes:cuda:0,cuda:1          a process for each device of this machine
dask        dask:4   dask:tcp://host:8786    a Dask cluster: a temporary one here, or one that is there
ray         ray:4    ray:ray://host:10001    a Ray cluster, likewise
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from terramosaic.errors import RequestError
from terramosaic.model.devices import Device, blocks_at_once, parse_device, worker_devices
from terramosaic.model.gpus import cuda_device_count
from terramosaic.planning.plan import Plan
from terramosaic.run.processes import DeviceProcesses
from terramosaic.run.scheduling import Workforce
from terramosaic.run.threads import Threads
from terramosaic.settings import RUNNER
from terramosaic.storage.retries import CLUSTER_TASK, DASK_START

#: Seconds that a cluster's first worker has to come.
_WORKERS_PATIENCE = 120

#: Seconds after which a cluster is asked again how many workers it has.
_COUNT_EVERY = 10

#: Dask's profiler stops a process for ever when a garbage collection comes at the wrong moment: CPython's issue 106883,
#: mended in late releases of 3.11, seen in both workers within 950 tasks on 3.11.7.
_DASK = {
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.allowed-failures": CLUSTER_TASK.tries - 1,
}

Kind = Literal["threads", "processes", "dask", "ray"]


@dataclass(frozen=True)
class Runner:
    """What the setting says.

    Attributes:
        kind: where tasks run.
        count: of threads, or of the temporary cluster's workers; None for the default.
        address: of a cluster that is there already.
        devices: of the worker processes, as a list with commas; empty for all that the request's device has.
    """

    kind: Kind = "threads"
    count: int | None = None
    address: str | None = None
    devices: str = ""


class Crew(TaskRunner[Any]):
    """A task runner at work, which one flow run after the other may use; who started it ends it.

    Args:
        slots: tells how many tasks run at the same time now; a cluster grows and shrinks.
        pool: where tasks go.
        context: entered around handing over a task.
        workforce: computes the blocks of tasks that stay in this process.
    """

    def __init__(
        self,
        slots: Callable[[], int],
        pool: TaskRunner[Any],
        *,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        workforce: Workforce | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.slots, self.workforce = slots, workforce
        self._pool, self._context = pool, context

    @property
    def is_cluster(self) -> bool:
        """Whether tasks leave this machine's processes, and so are sent with all that they need."""
        return self.workforce is None

    def submit(self, task: Task[..., Any], parameters: dict[str, Any], *more: Any, **options: Any) -> Any:
        with self._context():
            return self._pool.submit(task, parameters, *more, **options)

    def duplicate(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """It goes on for the next flow run."""

    def __enter__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A task takes its flow along to a cluster, and there it hands out nothing.
        return ThreadPoolTaskRunner, ()


def chosen_runner() -> Runner:
    """What the setting says.

    Raises:
        RequestError: it is not understood.
    """
    setting = RUNNER.text or "threads"
    kind, _, rest = setting.partition(":")
    if kind == "processes":
        return Runner("processes", devices=rest)
    if kind in ("threads", "dask", "ray"):
        if not rest:
            return Runner(kind)  # type: ignore[arg-type]
        if rest.isdigit() and int(rest) > 0:
            return Runner(kind, count=int(rest))  # type: ignore[arg-type]
        if kind != "threads" and "://" in rest:
            return Runner(kind, address=rest)  # type: ignore[arg-type]
    raise RequestError(
        f"{RUNNER}: {setting!r} is not a task runner; use threads, threads:N, processes, processes:cuda:0,cuda:1, "
        "dask:N, dask:tcp://HOST:PORT, ray:N or ray:ray://HOST:PORT"
    )


@contextmanager
def crew(runner: Runner, plan: Plan) -> Iterator[Crew]:
    """Starts a runner for runs like ``plan``, and stops it: at once, and within seconds, when an error passes.

    Raises:
        RequestError: what the setting wants is not here.
    """
    device = parse_device(plan.request.device)
    opened = {"threads": _threads, "processes": _processes, "dask": _dask, "ray": _ray}[runner.kind]
    with opened(runner, plan, device) as started:
        yield started


def _threads(runner: Runner, plan: Plan, device: Device) -> AbstractContextManager[Crew]:
    return _here(Threads(device, runner.count))


def _processes(runner: Runner, plan: Plan, device: Device) -> AbstractContextManager[Crew]:
    names = runner.devices or ",".join(_all_like(device))
    return _here(DeviceProcesses(plan, worker_devices(names, plan.request.device)))


@contextmanager
def _here(workforce: Threads | DeviceProcesses) -> Iterator[Crew]:
    """Tasks in threads that wait for a workforce of this machine."""
    pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=workforce.width())
    with workforce, pool:
        try:
            yield Crew(workforce.width, pool, workforce=workforce)
        except BaseException:
            # Before the pool waits for its threads: Prefect would let them go on for half a minute.
            workforce.close()
            raise


@contextmanager
def _dask(runner: Runner, plan: Plan, device: Device) -> Iterator[Crew]:
    with _extra("dask"):
        import dask  # of the extra, as all of Dask and Ray here
        from prefect_dask import DaskTaskRunner
    on_gpu = {"GPU": 1} if device.kind == "cuda" else {}
    local = {
        "n_workers": runner.count or _workers_for(device),
        "threads_per_worker": 1,
        "resources": on_gpu,
        # Any free port: two runs may be at work on one machine.
        "dashboard_address": "127.0.0.1:0",
    }
    if runner.address:
        pool = DaskTaskRunner(address=runner.address)
    else:
        pool = DaskTaskRunner(cluster_class=_local_cluster, cluster_kwargs=local)
    with dask.config.set(_DASK), pool:
        wanted = "started with --resources GPU=1" if on_gpu else "that runs"
        width = _width_of("Dask", partial(_dask_slots, pool.client, bool(on_gpu)), f"worker {wanted}")
        yield Crew(width, pool, context=_annotated(on_gpu))


@contextmanager
def _ray(runner: Runner, plan: Plan, device: Device) -> Iterator[Crew]:
    # Ray would write a token below the user's home, and ask for it.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _extra("ray"):
        import ray  # of the extra
        from prefect_ray import RayTaskRunner
        from prefect_ray.context import remote_options
    local: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False}
    count = runner.count or _workers_for(device)
    local |= {"num_cpus": count} if device.kind == "cpu" else {"num_gpus": count}
    pool = RayTaskRunner(address=runner.address, init_kwargs={} if runner.address else local)
    options: dict[str, Any] = {"max_retries": CLUSTER_TASK.tries - 1}
    if device.kind == "cuda":
        # Without max_calls=0 each task on a GPU would get a new process, which loads the model again.
        options |= {"num_gpus": 1, "num_cpus": 0, "max_calls": 0}
    with pool:
        resource = "GPU" if device.kind == "cuda" else "CPU"
        width = _width_of(
            "Ray", lambda: int(ray.cluster_resources().get(resource, 0)), f"{resource} to run on"
        )
        yield Crew(width, pool, context=lambda: remote_options(**options))


def _local_cluster(**options: Any) -> Any:
    """A temporary Dask cluster. One whose worker dies while it starts is tried again, as any lost worker is."""
    from distributed import LocalCluster  # of the extra

    attempts = Retrying(
        stop=stop_after_attempt(DASK_START.tries),
        wait=wait_fixed(DASK_START.pause),
        retry=retry_if_exception_type(RuntimeError),
        reraise=True,
    )
    return attempts(LocalCluster, **options)


def _dask_slots(client: Any, on_gpu: bool) -> int:
    """Tasks that the cluster's workers run at the same time: those for GPUs on workers that say they have one."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(
        1 if on_gpu else worker["nthreads"]
        for worker in workers
        if not on_gpu or worker["resources"].get("GPU")
    )


def _width_of(cluster: str, count: Callable[[], int], wanted: str) -> Callable[[], int]:
    """What a cluster counts, asked now and then; its workers may still be starting.

    Raises:
        RequestError: none came.
    """
    deadline = time.monotonic() + _WORKERS_PATIENCE
    while not (known := count()):
        if time.monotonic() >= deadline:
            raise RequestError(f"{RUNNER}: the {cluster} cluster has no {wanted}")
        time.sleep(0.5)
    asked = time.monotonic()

    def width() -> int:
        nonlocal known, asked
        if time.monotonic() - asked > _COUNT_EVERY:
            # One that has lost all its workers may get others.
            known, asked = max(1, count()), time.monotonic()
        return known

    return width


def _annotated(resources: dict[str, int]) -> Callable[[], AbstractContextManager[Any]]:
    if not resources:
        return nullcontext
    import dask  # of the extra

    return lambda: dask.annotate(resources=resources)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise RequestError(
            f"{RUNNER}: {name} is not installed ({error.name}); pip install 'terramosaic[{name}]'"
        ) from None


def _workers_for(device: Device) -> int:
    return len(_all_like(device))


def _all_like(device: Device) -> list[str]:
    """All devices of a kind on this machine; of a CPU as many as blocks run side by side."""
    if device.kind == "cpu":
        return ["cpu"] * blocks_at_once()
    return [f"cuda:{index}" for index in range(max(1, cuda_device_count()))]
