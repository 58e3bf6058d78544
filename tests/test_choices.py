"""How often a short comparison is right: what its benchmark counts."""

from benchmarks import choices

LONG = {
    "runs": [
        {"method": "base", "eval_loss": 9.0},
        *({"method": "a", "eval_loss": loss} for loss in (1.0, 1.2)),
        *({"method": "b", "eval_loss": loss} for loss in (1.1, 1.104)),
        {"method": "c", "eval_loss": 1.21},
    ]
}


def test_a_choice_is_judged_by_the_long_comparison():
    losses = choices.known(LONG)
    assert losses == {"a": 1.1, "b": 1.102, "c": 1.21}

    def made(budget, method, text):
        return choices.choice(losses, {"recommendation": {"method": method, "text": text}}, budget, 0)

    found = [made("3min", "a", "Use a"), made("3min", "c", "Nothing is decided"), made("5min", "b", "Use b")]
    assert [round(one.above, 3) for one in found] == [0.0, 10.0, 0.182]
    short, longer, both = choices.table(found)
    assert short == {
        "budget": "3min",
        "comparisons": 2,
        "right": 50.0,
        "harmless": 50.0,
        "decided": 50.0,
        "worst": found[1].above,
    }
    assert found[0].steps is None and found[0].tried == ()
    assert longer["right"] == 0.0 and longer["harmless"] == 100.0 and both["comparisons"] == 3
