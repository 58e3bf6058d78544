"""The console that commands print through. Names, data and messages cannot control the terminal."""

from collections.abc import Iterable
from typing import IO, Any

from rich import console as rich_console
from rich.segment import Segment

from qweft.core.streams import PlainStream
from qweft.core.text import strip_controls


class Console(rich_console.Console):
    """A rich console that reads no markup in text and renders no control characters but its own."""

    def __init__(self, **options: Any):
        super().__init__(markup=False, emoji=False, **options)

    @property
    def file(self) -> IO[str]:
        """The stream itself: this console's colours and cursor moves are wanted, and its text is plain already."""
        stream: Any = super().file
        return stream.stream if isinstance(stream, PlainStream) else stream

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        rich_console.Console.file.__set__(self, new_file)  # type: ignore[attr-defined]

    def say(self, text: str) -> None:
        """Print a line as it is: no colours for numbers, and no line ends but its own."""
        self.print(text, highlight=False, soft_wrap=True)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Render an object, without control characters in its text."""
        for segment in super().render(renderable, options):
            if segment.control:  # a cursor move of rich itself
                yield segment
            else:
                yield Segment(strip_controls(segment.text), segment.style)
