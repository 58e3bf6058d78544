"""`qweft jobs`."""

from collections.abc import Sequence
from typing import Any

from qweft.cli.command import Command, NoOptions
from qweft.cli.parser import apply_options, read_arguments
from qweft.cli.terminal import only_json, print_json, show
from qweft.errors import QweftError
from qweft.text import near

VERBS = {"list": 0, "show": 1, "fetch": 1, "adopt": 2, "forget": 1, "cancel": 1}
"""The actions, with the number of words that follow each; `fetch` also works without a token."""

COMMAND = Command(
    name="jobs",
    description="What was sent to devices that take jobs. list: every job. show: one of them. fetch: ask for one that "
    "is open, or for all, and store the results. adopt: say the provider's id of a job of which nobody knows whether "
    "it was taken. forget: give a job up; its circuits are sent again when they are asked for, and paid again if it "
    "was taken. cancel: ask the provider to stop a job.",
    example="qweft jobs fetch",
    target="[VERB TOKEN ID]",
    target_help="list (without any, too), show TOKEN, fetch [TOKEN], adopt TOKEN ID, forget TOKEN, or cancel TOKEN.",
    flags={"json": "Print the jobs as JSON, and nothing else, on standard output."},
    verbs=tuple(VERBS),
)


def run(argv: Sequence[str]) -> None:
    """Parses the arguments, runs the action, and prints the jobs concerned."""
    arguments = read_arguments(argv, COMMAND)
    apply_options(NoOptions, {}, arguments, COMMAND)
    verb, *words = arguments.targets or ["list"]
    _check(verb, words)
    wants_json = "json" in arguments.flags
    with only_json(wants_json):
        from qweft.devices.jobs.describe import describe, describe_one
        from qweft.devices.jobs.store import Store

        told = _do(Store(), verb, words)
    if wants_json:
        print_json([job.to_json() | ({"said": said} if said else {}) for job, said in told])
    elif verb == "list":
        show(describe([job for job, _ in told]))
    else:
        for job, said in told:
            show(describe_one(job))
            if said:
                show(said)


def _check(verb: str, words: list[str]) -> None:
    if verb not in VERBS:
        close = near(verb, VERBS, cutoff=0.75)
        raise QweftError(
            f"qweft jobs: there is no {verb}; " + (f"did you mean {close[0]}?" if close else ", ".join(VERBS))
        )
    wanted = VERBS[verb]
    if len(words) != wanted and not (verb == "fetch" and not words):
        what = ("nothing", "the token of a job", "the token of a job and the provider's id")[wanted]
        raise QweftError(f"qweft jobs {verb}: expected {what} after it, got {' '.join(words) or 'nothing'}")


def _do(store: Any, verb: str, words: list[str]) -> list[tuple[Any, str]]:
    """Runs the action; returns the jobs concerned, each with a message or ""."""
    from qweft.devices.jobs import manage

    if verb == "list":
        return [(job, "") for job in store.jobs()]
    if verb == "fetch":
        return manage.fetch(store, *words)
    if verb == "adopt":
        return [manage.adopt(store, *words)]
    done = {"show": store.job}.get(verb) or getattr(manage, verb)
    return [(done(*words) if verb == "show" else done(store, *words), "")]
