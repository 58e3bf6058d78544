"""`qweft jobs`."""

from typing import Any

from qweft.cli.command import JSON, Command
from qweft.cli.parser import Call
from qweft.errors import QweftError

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
    flags=JSON,
    verbs=tuple(VERBS),
)


def run(call: Call) -> None:
    """Run the action, and print the jobs concerned."""
    verb, *words = call.targets or ["list"]
    wanted = VERBS[verb]
    if len(words) != wanted and not (verb == "fetch" and not words):
        what = ("nothing", "the token of a job", "the token of a job and the provider's id")[wanted]
        raise QweftError(f"qweft jobs {verb}: expected {what} after it, got {' '.join(words) or 'nothing'}")
    from rich.console import Group

    from qweft.devices.jobs import Store, manage

    store = Store()
    if verb in ("list", "show"):
        jobs = [(job, "") for job in (store.jobs() if verb == "list" else [store.job(*words)])]
    else:
        done = getattr(manage, verb)(store, *words)
        jobs = done if verb == "fetch" else [done] if verb == "adopt" else [(done, "")]

    def as_text() -> Any:
        if verb == "list":
            return manage.table([job for job, _ in jobs])
        return Group(*(part for job, message in jobs for part in (manage.table_of_one(job), message) if part))

    call.answer(lambda: [vars(job) | ({"said": message} if message else {}) for job, message in jobs], as_text)
