"""One thing that was looked at."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """What was found.

    Args:
        name: What was looked at.
        said: What it is, in a few words; of a fault also the way out.
        state: "fault" is what makes qweft useless here, "note" what a user may want to know.
    """

    name: str
    said: str
    state: Literal["ok", "note", "fault"] = "ok"

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)
