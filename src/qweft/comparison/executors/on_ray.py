"""Runs in actors of a Ray cluster, each of which loads the base model once."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qweft.comparison.claims import SECONDS_BETWEEN_LOOKS, claimed, sleep
from qweft.comparison.context import Context, RunSettings
from qweft.comparison.executors.worker import Worker, read_files, write_files
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.trial import RECORD, finished_trial
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.errors import QweftError, require
from qweft.models.config import remote_code_allowed

SECONDS_TO_ANSWER = 20
"""Timeout in seconds for a connection to the cluster."""
RESTARTS = 3
"""How often Ray starts a lost actor (machine failure, out of memory) anew, and its run with it."""


@dataclass
class Task:
    """A run in progress: its actor, Ray's reference to the result, and what keeps other processes out."""

    worker: Any
    reference: Any
    claim: ExitStack


class OnRay:
    """Makes runs in actors of a Ray cluster.

    It uses the cluster at RAY_ADDRESS. Without that variable, it starts a cluster on this machine and shuts it down at
    the end. The calling process holds all files: it sends rows to the actors, and gets records and adapters back.
    `workers` is the number of actors; `None` means one per GPU, or one per machine if no GPU is used.
    """

    def __init__(self, device: str, workers: int | None):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports to Ray's makers
        self.ray = require("ray", "ray", "--executor ray")
        self.ours = not self.ray.is_initialized()
        if self.ours:
            self._connect(workers or 1)
        self.workers, self.resources = self._share(device, workers)
        self.tasks: dict[Path, Task] = {}
        self.actors: list[Any] = []
        self.idle: list[Any] = []

    def _connect(self, workers: int) -> None:
        address = os.environ.get("RAY_ADDRESS")
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        cores = max(workers, os.cpu_count() or 1)
        local = {"address": "local", "num_cpus": cores, "include_dashboard": False}
        try:
            if address:
                _reach(address)
            self.ray.init(**({"address": address} if address else local), **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise QweftError(
                f"--executor ray: the cluster {address or 'of this machine'} does not answer ({reason}); set "
                "RAY_ADDRESS to that of a running one"
            ) from error

    def _share(self, device: str, wanted: int | None) -> tuple[int, dict[str, Any]]:
        """Return the number of actors, and the resources of each."""
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        cores = sum(int(machine.get("CPU", 0)) for machine in machines)
        gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
        on_gpus = gpus > 0 and (device == "auto" or device.startswith("cuda"))
        workers = wanted or (gpus if on_gpus else len(machines))
        places, what = (gpus, "GPUs") if on_gpus else (cores, "cores")
        if workers > places:
            raise QweftError(f"--workers {workers}: the Ray cluster has {places} {what}; give at most so many")
        each = min(int(machine.get("CPU", 0)) for machine in machines) // -(-workers // len(machines))
        # Ray gives an actor as many threads as cores
        threads = min(max(1, each), int(os.environ.get("OMP_NUM_THREADS") or each or 1))
        return workers, {"num_cpus": threads, "num_gpus": 1 if on_gpus else 0}

    def start(self, settings: RunSettings, data: Data, elsewhere: list[Encoded]) -> Any:
        """Start the actors; return dtype, device and checksum of the base model once the first has loaded it."""
        shared = (settings, self.ray.put(data), self.ray.put(elsewhere), remote_code_allowed(), str(Path.cwd()))
        options = {**self.resources, "max_restarts": RESTARTS, "max_task_retries": RESTARTS}
        self.actors = [self.ray.remote(**options)(Worker).remote(*shared) for _ in range(self.workers)]
        self.idle = list(self.actors)
        return self._told(self.actors[0].base.remote())

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """Read the run if it is finished; otherwise have an actor make it and return `None` until it is done."""
        if folder in self.tasks:
            return self._collected(folder)
        finished = finished_trial(context, method, seed, folder)
        if finished is not None or not self.idle:
            return finished
        with ExitStack() as stack:
            if not stack.enter_context(claimed(folder)):
                return None
            worker = self.idle.pop()
            reference = worker.run.remote(context.settings, method, seed, read_files(folder), keep_adapter)
            self.tasks[folder] = Task(worker, reference, stack.pop_all())
        return None

    def _collected(self, folder: Path) -> Run | None:
        task = self.tasks[folder]
        if not self.ray.wait([task.reference], timeout=0)[0]:
            return None
        del self.tasks[folder]
        with task.claim:
            run, files = self._told(task.reference)
            self.idle.append(task.worker)
            # the record last: a folder without a record is an unfinished run
            for name in sorted(files, key=lambda name: name == RECORD):
                write_files(folder, {name: files[name]})
        made: Run = run
        return made

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function in an actor."""
        worker = self.idle[-1] if self.idle else self.actors[0]
        return self._told(worker.call.remote(context.settings, function, *arguments))

    def _told(self, reference: Any) -> Any:
        """Return the result of a task; an error in words is raised as it is."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except errors.RayActorError as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise QweftError(
                f"Ray lost an actor ({reason}); where memory is short, give fewer --workers; finished runs are kept"
            ) from error
        except errors.RayTaskError as error:
            if isinstance(error.cause, QweftError):
                raise error.cause from None
            raise

    def wait(self) -> None:
        """Wait for an actor, or one polling interval for other processes."""
        waiting = [task.reference for task in self.tasks.values()]
        if waiting:
            self.ray.wait(waiting, timeout=SECONDS_BETWEEN_LOOKS)
        else:
            sleep()

    def close(self) -> None:
        """Release the actors, and shut down the cluster if it was started here."""
        for task in self.tasks.values():
            task.claim.close()
        if self.ours:
            self.ray.shutdown()
            return
        for worker in self.actors:
            self.ray.kill(worker)


def _reach(address: str) -> None:
    """Test the connection if an address has a port: Ray itself retries for minutes and then exits the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
