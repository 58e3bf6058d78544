"""The data sets that have a name in Qweft."""

from typing import NamedTuple

from rich.console import Group
from rich.text import Text

from qweft.data.read.embedded import EMBEDDED_TITLES


class HubDataSet(NamedTuple):
    """A public data set: its id on the hub, and a line about it."""

    hub_id: str
    about: str


HUB_DATA_SETS = {
    "CPsyCounD": HubDataSet("CAS-SIAT-XinHai/CPsyCoun", "3,134 Chinese counselling dialogues; the paper's"),
    "R1-Distill-SFT": HubDataSet(
        "ServiceNow-AI/R1-Distill-SFT:v1",
        "1.7 million problems with DeepSeek-R1's chains of thought; the paper's",
    ),
    "Chinese-DeepSeek-R1-Distill-data-110k": HubDataSet(
        "Congliu/Chinese-DeepSeek-R1-Distill-data-110k",
        "110,000 Chinese questions with DeepSeek-R1's chains of thought; the paper's",
    ),
    "MetaMathQA": HubDataSet(
        "meta-math/MetaMathQA",
        "395,000 questions with worked answers, made of GSM8K's and MATH's training questions",
    ),
    "GSM8K": HubDataSet("openai/gsm8k:main", "7,473 word problems with worked answers; GSM8K@test has 1,319 others"),
}
"""Public data sets by the name that stands for their hub id. A new one is an entry here."""


def list_data_sets() -> list[dict[str, str]]:
    """Return the data sets that have a name, each with a line about it and, if it is on the hub, its id there."""
    listing = [{"name": f"embedded:{name}", "about": about} for name, about in EMBEDDED_TITLES.items()]
    for name, (hub_id, about) in HUB_DATA_SETS.items():
        listing.append({"name": name, "hub": hub_id, "about": about})
    return listing


def describe_data_sets() -> Group:
    """Return the list of data sets that have a name, for the terminal."""
    lines: list[Text] = []
    for data_set in list_data_sets():
        origin = data_set.get("hub", "a Python package")
        lines.append(Text.assemble((data_set["name"], "bold"), f"\n  {data_set['about']}; from {origin}"))
    return Group(*lines)


def expand_name(source: str) -> str:
    """Return a source with the hub id of a public data set in place of its name, whose case does not matter."""
    name, at_sign, split = source.partition("@")
    hub_ids = {known.casefold(): data_set.hub_id for known, data_set in HUB_DATA_SETS.items()}
    return hub_ids.get(name.casefold(), name) + at_sign + split
