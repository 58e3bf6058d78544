from qweft.text import many


def test_many():
    assert [many(count, "shot") for count in (0, 1, 2, 1000)] == ["0 shots", "1 shot", "2 shots", "1,000 shots"]
