"""Commands about the machine and the program: doctor, devices, their jobs, and the schema of config files."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qweft.cli.command import JSON, Command
from qweft.cli.schema import FILES, schema_of
from qweft.cli.terminal import print_json
from qweft.core.errors import QweftError
from qweft.core.text import many

if TYPE_CHECKING:
    from qweft.cli.call import Call

MARKS = {"ok": ("ok   ", "green"), "note": ("note ", "yellow"), "fault": ("FAULT", "bold red")}
VERBS = {"list": 0, "show": 1, "fetch": 1, "adopt": 2, "forget": 1, "cancel": 1}
"""The actions on jobs, with the number of words that follow each; `fetch` also works without a token."""


@Command(
    "doctor",
    "look whether this machine is ready, with a self-test of ten seconds",
    "Look whether this machine is ready: versions, devices, the model cache, and a self-test of ten seconds "
    "that trains, saves, loads and compares a tiny model. The exit status is 2 if there is a fault.",
    "qweft doctor",
    flags=JSON,
)
def _doctor(call: "Call") -> None:
    from rich.console import Group
    from rich.text import Text

    from qweft.doctor import findings

    results = list(findings())
    lines = []
    for finding in results:
        line = Text(*MARKS[finding.state])
        line.append(f"  {finding.name}: ", style="bold")
        line.append(finding.said, style="default")
        lines.append(line)
    call.answer([asdict(finding) for finding in results], lambda: Group(*lines))
    faults = [finding.name for finding in results if finding.state == "fault"]
    if faults:
        raise QweftError(f"{many(len(faults), 'fault')}: {', '.join(faults)}")


@Command(
    "devices",
    "list where circuits can run, and what is installed",
    "List where circuits can run: the devices of this package and the families of other packages, what is installed of "
    "them, and how the rest is installed.",
    "qweft devices --json",
    flags=JSON,
)
def _devices(call: "Call") -> None:
    from qweft.devices.registry import catalogue

    rows = catalogue()
    call.answer(rows, lambda: _device_table(rows))


def _device_table(rows: list[dict[str, Any]]) -> Any:
    """Return a table for a terminal, followed by the install commands of missing packages."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, expand=True, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("device", overflow="fold")  # not narrowed, because users type the names
    table.add_column("what it is", ratio=3, overflow="fold")
    table.add_column("installed")
    for row in rows:
        table.add_row(row["name"], row["what"], "no" if row["missing"] else "yes")
    commands = dict.fromkeys(f"{row['extra']}: {row['install']}" for row in rows if row["missing"])
    return Group(table, *map(Text, commands))


@Command(
    "jobs",
    "what was sent to devices that take jobs: list, show, fetch, adopt, forget, cancel",
    "What was sent to devices that take jobs. list: every job. show: one of them. fetch: ask for one that is open, or "
    "for all, and store the results. adopt: say the provider's id of a job of which nobody knows whether it was taken. "
    "forget: give a job up; its circuits are sent again when they are asked for, and paid again if it was taken. "
    "cancel: ask the provider to stop a job.",
    "qweft jobs fetch",
    target="[VERB TOKEN ID]",
    target_help="list (without any, too), show TOKEN, fetch [TOKEN], adopt TOKEN ID, forget TOKEN, or cancel TOKEN.",
    flags=JSON,
    verbs=tuple(VERBS),
)
def _jobs(call: "Call") -> None:
    verb, *words = call.targets or ["list"]
    _check_job_words(verb, words)
    from rich.console import Group

    from qweft.devices.jobs import Store, manage

    store = Store()
    if verb == "list":
        jobs = store.jobs()
        call.answer([vars(job) for job in jobs], lambda: manage.job_table(jobs))
        return

    if verb == "show":
        answers = [(store.job(*words), "")]
    elif verb == "fetch":
        answers = manage.fetch(store, *words)
    else:
        action = getattr(manage, verb)  # adopt, forget or cancel
        answers = [(action(store, *words), "")]

    records = []
    parts: list[Any] = []
    for job, message in answers:
        records.append(dict(vars(job)))
        parts.append(manage.table_of_one(job))
        if message:
            records[-1]["said"] = message
            parts.append(message)
    call.answer(records, lambda: Group(*parts))


def _check_job_words(verb: str, words: list[str]) -> None:
    """Check the number of words after a verb of `qweft jobs`."""
    if verb == "fetch" and not words:  # fetches all open jobs
        return
    if len(words) != VERBS[verb]:
        expected = ("nothing", "the token of a job", "the token of a job and the provider's id")[VERBS[verb]]
        raise QweftError(f"qweft jobs {verb}: expected {expected} after it, got {' '.join(words) or 'nothing'}")


@Command(
    "schema",
    "print the JSON schema of a config file, by which editors complete and check it",
    "Print the JSON schema (draft 2020-12) of a command's config file: its keys, types, choices, defaults and texts. "
    "Editors complete and check a config by it, if the first line of the config is "
    "# yaml-language-server: $schema=FILE, where FILE is relative to the config.",
    "qweft schema compare > compare.json",
    target="KIND",
    target_help=f"One of {', '.join(FILES)}.",
    verbs=tuple(FILES),
)
def _schema(call: "Call") -> None:
    print_json(schema_of(call.targets[0]))
