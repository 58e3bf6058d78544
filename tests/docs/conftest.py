"""Where the commands of the pages are run."""

import pytest

from tests.docs.workplace import make_workplace, train_adapters


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("QWEFT_CACHE", str(folder / "cache"))
        make_workplace(folder)
        train_adapters(folder)
        yield folder
