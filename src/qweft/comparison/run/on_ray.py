"""Runs in actors of a Ray cluster, each of which loads the base model once."""

import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from qweft.comparison.config import ComparisonConfig
from qweft.comparison.methods import Method
from qweft.comparison.results import Run
from qweft.comparison.run.context import Context
from qweft.comparison.run.trial import RECORD, finished_trial, trial_here
from qweft.comparison.run.workers import LOCK, SECONDS_BETWEEN_LOOKS, sleep
from qweft.core.errors import QweftError, require
from qweft.core.files import write_bytes
from qweft.core.output import Console
from qweft.data.load import Data
from qweft.data.tokens import Encoded
from qweft.models.checksum import checksum
from qweft.models.config import allow_remote_code, remote_code_allowed
from qweft.models.load import load_model

SECONDS_TO_ANSWER = 20
"""Timeout in seconds for a connection to the cluster."""
RESTARTS = 3
"""How often Ray starts a lost actor (machine failure, out of memory) anew, and its run with it."""


class Worker:
    """Makes runs in a Ray actor, on one base model."""

    def __init__(self, *shared: Any) -> None:
        self.shared = shared

    @cached_property
    def context(self) -> Context:
        """What the runs share, loaded once: also in an actor that Ray started anew."""
        config, data, elsewhere, remote_code, folder = self.shared
        if Path(folder).is_dir():  # the command's current folder, from which a base model's path may be named
            os.chdir(folder)
        allow_remote_code(remote_code)
        model = load_model(config.model)
        return Context(config, model, data, Console(quiet=True), checksum(model.model), elsewhere)

    def base(self) -> tuple[Any, Any, str]:
        """Return dtype, device and checksum of the base model."""
        return self.context.loaded.dtype, self.context.loaded.device, self.context.base_checksum

    def run(self, changes: dict[str, Any], method: Method | None, seed: int, keep_adapter: bool) -> Any:
        """Make a run; return its record and all files of its folder."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run = trial_here(replace(self.context, **changes), method, seed, folder, keep_adapter)
            files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)
            return run, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def call(self, changes: dict[str, Any], function: Callable[..., Any], *arguments: Any) -> Any:
        """Return function(context, *arguments)."""
        return function(replace(self.context, **changes), *arguments)


class OnRay:
    """Makes runs in actors of the Ray cluster at RAY_ADDRESS, or of an own one; the calling process holds all files."""

    def __init__(self, config: ComparisonConfig):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports to Ray's makers
        self.ray = require("ray", "ray", "--executor ray")
        self.is_own = not self.ray.is_initialized()
        if self.is_own:
            self._connect(config.workers or 1)
        self.workers, self.resources = self._share(config.model.device, config.workers)
        self.tasks: dict[Path, tuple[Any, Any]] = {}  # actor, and reference to its result
        self.actors: list[Any] = []
        self.idle: list[Any] = []

    def _connect(self, workers: int) -> None:
        address = os.environ.get("RAY_ADDRESS")
        local = {"address": "local", "num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
        try:
            host, _, port = (address or "").removeprefix("ray://").rpartition(":")
            if host and port.isdigit():  # Ray itself retries for minutes and then exits the process
                socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
            self.ray.init(**({"address": address} if address else local), log_to_driver=False, logging_level="ERROR")
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

    def start(self, config: ComparisonConfig, data: Data, elsewhere: list[Encoded]) -> Any:
        """Start the actors; return dtype, device and checksum of the base model once the first has loaded it."""
        shared = (config, self.ray.put(data), self.ray.put(elsewhere), remote_code_allowed(), str(Path.cwd()))
        options = {**self.resources, "max_restarts": RESTARTS, "max_task_retries": RESTARTS}
        self.actors = [self.ray.remote(**options)(Worker).remote(*shared) for _ in range(self.workers)]
        self.idle = list(self.actors)
        return self._result(self.actors[0].base.remote())

    def run(self, context: Context, method: Method | None, seed: int, folder: Path, keep_adapter: bool) -> Run | None:
        """Read the run if it is finished; otherwise have an actor make it and return `None` until it is done."""
        if folder in self.tasks:
            return self._collected(folder)
        finished = finished_trial(context, method, seed, folder)
        if finished is not None or not self.idle:
            return finished
        worker = self.idle.pop()
        self.tasks[folder] = worker, worker.run.remote(_changes(context), method, seed, keep_adapter)
        return None

    def _collected(self, folder: Path) -> Run | None:
        worker, reference = self.tasks[folder]
        if not self.ray.wait([reference], timeout=0)[0]:
            return None
        del self.tasks[folder]
        made, files = self._result(reference)
        self.idle.append(worker)
        # the record last: a folder without a record is an unfinished run
        for name in sorted(files, key=lambda name: name == RECORD):
            write_bytes(folder / name, files[name])
        run: Run = made
        return run

    def call(self, context: Context, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function in an actor."""
        worker = self.idle[-1] if self.idle else self.actors[0]
        return self._result(worker.call.remote(_changes(context), function, *arguments))

    def _result(self, reference: Any) -> Any:
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
        if waiting := [reference for _, reference in self.tasks.values()]:
            self.ray.wait(waiting, timeout=SECONDS_BETWEEN_LOOKS)
        else:
            sleep()

    def close(self) -> None:
        """Release the actors, and shut down the cluster if it was started here."""
        if self.is_own:
            self.ray.shutdown()
            return
        for worker in self.actors:
            self.ray.kill(worker)


def _changes(context: Context) -> dict[str, Any]:
    """Return what may differ between an actor's context and the one of a run."""
    return {"config": context.config, "takes_failures": context.takes_failures}
