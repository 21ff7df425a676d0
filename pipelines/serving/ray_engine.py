"""Models in replicas of Ray Serve: each holds a stepper, so that requests that meet there share batches.

Ray carries models only; pages stay in their own processes and ask by `DeploymentHandle`. Each role is an
application of its own, without HTTP. `serve.batch` is not used: it closes a batch while it runs, whereas runs
join and leave the stepper's at every tick.
"""

import asyncio
import logging
import os
import pickle
import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipelines.serving import catalogue
from pipelines.serving.errors import InputError
from pipelines.serving.steps import RETRY_S, Begun, Message, Relay, pause, portable
from pipelines.serving.work import ROLES, Work, behind

log = logging.getLogger(__name__)
ROOT = Path(__file__).parents[2]
AT_ONCE = 256  # requests that a replica holds: as many as its stepper takes
QUEUE_TARGET = 8  # requests a replica beyond which another one is started: half of what shares a call
ROUTER = "ray.serve.experimental.round_robin_router.RoundRobinRouter"
HEALTH_S = 1.0  # between two looks at a replica; calls to one that crashed fail until then (ray #47219)


def app_name(role: str) -> str:
    """The name of a role's application."""
    return f"steuervektor-{role}"


class Replica:
    """All models of one role in a process of its own.

    What comes and goes is pickled here and not by Ray, whose arrays cannot be written to.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="request")

    async def submit(self, told: bytes) -> AsyncIterator[bytes]:
        """Begin runs and tell what becomes of them; see `Begun`."""
        door, requests, added = pickle.loads(told)  # noqa: S301  from a page process of the same cluster
        catalogue.take_over(added)
        begun = Begun(behind(door), requests)
        loop = asyncio.get_running_loop()
        try:
            while (message := await loop.run_in_executor(self._threads, next, begun, None)) is not None:
                yield pickle.dumps(message)
        finally:  # a caller who has gone is an exception here
            begun.close()

    async def call(self, told: bytes) -> bytes:
        """Do work that has one answer."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _answer, told)

    def check_health(self) -> None:
        """Ray asks now and then; a process that is stuck does not answer."""


def _answer(told: bytes) -> bytes:
    door, args, kwargs, added = pickle.loads(told)  # noqa: S301  as above
    catalogue.take_over(added)
    try:
        return pickle.dumps((True, behind(door)(*args, **kwargs)))
    except Exception as error:
        return pickle.dumps((False, portable(error)))


REPLICAS = (
    r"\d+(?:-[1-9]\d*)?"  # of a role: a number, or a range within which the length of the queue decides
)
GPUS = r"\d+(?:\.\d+)?"  # of a replica


def shares(variable: str, usual: dict[str, str], number: str) -> dict[str, str]:
    """What a variable says of roles, such as "text=1 image=1-4"; the others have what is usual.

    Args:
        number: pattern of what is said of a role.

    Raises:
        SystemExit: it says something else.
    """
    said = os.environ.get(variable, "")
    words = [re.fullmatch(rf"(\w+)=({number})", word) for word in re.split(r"[\s,]+", said) if word]
    found = {word[1]: word[2] for word in words if word}
    if len(found) < len(words) or set(found) - set(ROLES):
        example = " ".join(f"{role}={count}" for role, count in usual.items())
        raise SystemExit(f"{variable} is {said!r}; it wants numbers by role, such as {example!r}.")
    return usual | found


def build(args: dict[str, str]) -> Any:
    """The Ray Serve application of a role (`import_path` of `deploy/serve.yaml`).

    Args:
        args: "role", one of `ROLES`; "replicas", a number or a range such as "1-4", within which the length
            of the queue decides; "gpus" of a replica, which may be a part of one; "cpus" of a replica, which
            are its threads, too.
    """
    from ray import serve
    from ray.serve.config import RequestRouterConfig

    fewest, _, most = args.get("replicas", "1").partition("-")
    cpus = float(args.get("cpus", "1"))
    scale: dict[str, Any] = {"num_replicas": int(fewest)}
    if most:
        scale = {"autoscaling_config": {
            "min_replicas": int(fewest), "max_replicas": int(most), "target_ongoing_requests": QUEUE_TARGET,
        }}  # fmt: skip
    environment = {
        "STEUERVEKTOR_ENGINE": "local", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(max(1, int(cpus))),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000"),
    }  # fmt: skip
    deployment = serve.deployment(
        Replica,
        name=args["role"],
        max_ongoing_requests=AT_ONCE,
        # When a class presses at once, the usual router, which remembers how long queues were, overloads one.
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
        health_check_period_s=HEALTH_S,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={
            "num_cpus": cpus,
            "num_gpus": float(args.get("gpus", "0")),
            "runtime_env": {"env_vars": environment},
        },
        **scale,
    )
    return deployment.bind()


def _settings() -> None:
    """What Ray reads when it is imported. Whoever reaches its ports runs code there: it asks for a token."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A replica that computes on all cores may answer late how long its queue is; by itself Ray waits 0.1 s.
    os.environ.setdefault("RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "2")
    os.environ.setdefault("RAY_SERVE_MAX_QUEUE_LENGTH_RESPONSE_DEADLINE_S", "10")


def connect() -> None:
    """Join the cluster that `RAY_ADDRESS` names, or start one on this machine that no other reaches.

    What it starts by itself holds all roles, as `STEUERVEKTOR_REPLICAS` and `STEUERVEKTOR_GPUS` say.
    """
    _settings()
    if not os.environ.get(
        "RAY_ADDRESS"
    ):  # read when ray is imported: all ports are those of the loopback then
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray
    from ray import serve

    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    usual = {"text": "1", "image": "2", "video": "1", "audio": "1"}
    replicas = {k: v for k, v in shares("STEUERVEKTOR_REPLICAS", usual, REPLICAS).items() if v != "0"}
    gpus = shares("STEUERVEKTOR_GPUS", dict.fromkeys(ROLES, "0"), GPUS)
    # A place a replica, however many cores there are: they are shared, as threads of one process are.
    places = sum(int(count.rpartition("-")[2]) for count in replicas.values())
    ray.init(num_cpus=places + 1, include_dashboard=False, **quiet)
    serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
    for role, count in replicas.items():
        application = build({"role": role, "replicas": count, "gpus": gpus[role]})
        serve.run(application, name=app_name(role), route_prefix=None)


class RayEngine:
    """Asks replicas; one that dies takes no run along, see `Relay`."""

    def __init__(self) -> None:
        connect()
        self._handles: dict[str, Any] = {}
        self._changing = threading.Lock()

    def _handle(self, role: str) -> Any:
        from ray import serve

        with self._changing:
            if role not in self._handles:
                self._handles[role] = serve.get_deployment_handle(role, app_name(role))
            return self._handles[role]

    def submit(self, work: Work, requests: Sequence[Any]) -> list[Any]:
        handle = self._handle(work.role).options(stream=True)

        def attempt(remaining: Sequence[Any]) -> _Messages:
            told = pickle.dumps((work.door, list(remaining), catalogue.added()))
            return _Messages(handle.submit.remote(told))

        return list(Relay(attempt, requests, is_lost).start())

    def call(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        told = pickle.dumps((work.door, args, kwargs, catalogue.added()))
        for seconds in RETRY_S:
            pause(seconds)
            try:
                done, value = pickle.loads(self._handle(work.role).call.remote(told).result())  # noqa: S301
            except Exception as error:
                if not is_lost(error):
                    raise
                log.warning("a call was lost and is made again: %s", error)
                continue
            if not done:
                raise value
            return value
        raise InputError("engine_stopped")


class _Messages(Iterator[Message]):
    """What a replica tells of runs; closing it stops them there."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __next__(self) -> Message:
        message: Message = pickle.loads(next(self._response))  # noqa: S301  from a replica of the same cluster
        return message

    def close(self) -> None:
        self._response.cancel()


def is_lost(error: Exception) -> bool:
    """Whether a replica is gone, or the way to it: what was asked of it can be asked of another."""
    from ray import exceptions

    own = (exceptions.RayTaskError, exceptions.TaskCancelledError)
    return isinstance(error, exceptions.RayError) and not isinstance(error, own)
