"""What held-out rows share with training rows."""

from qweft.data.conversation import TEXT, Conversation, Message
from qweft.data.notes import describe_overlap
from tests.data.examples import make_conversation

LONG = "How many apples are there? There are 12 apples. hello how are you hi there"
TRAINED = [make_conversation("a", "b"), make_conversation("what", LONG)]


def overlap(train, test):
    return describe_overlap("test", {"train": train, "test": test})


def test_equal_prompts_are_found_without_case_and_white_space():
    assert "1 test row repeats" in overlap(TRAINED, [make_conversation(" A ", "c")])


def test_long_equal_answers_are_found():
    repeated = make_conversation("other", LONG)
    assert "1 test row repeats" in overlap(TRAINED, [repeated])
    assert "2 test rows repeat " in overlap(TRAINED, [make_conversation(" A ", "c"), repeated])


def test_short_equal_answers_and_longer_ones_are_no_overlap():
    held_out = [
        make_conversation("d", "B"),
        make_conversation("why", f"well {LONG}"),
        make_conversation("new", "words"),
    ]
    assert overlap(TRAINED, held_out) == ""


def test_equal_texts_are_found():
    text = Conversation((Message(TEXT, LONG),), "g")
    assert "1 test row repeats" in overlap([text], [text])
