"""How far counted values are from the truth, in standard errors."""

import numpy as np

from qweft.devices import Frequencies


def check_scatter(found: Frequencies, exact: np.ndarray) -> None:
    """Every z-score of counts against expectations (circuits, n), and their spread, is that of counting.

    Of m independent scores the mean of squares is 1 with a standard deviation of sqrt(2 / m). Without fixed seeds all
    bounds together fail by chance less than once in ten thousand runs.
    """
    assert found.shots is not None
    scores = (found.expectations() - exact) / np.sqrt(np.maximum(1 - exact**2, 1e-4) / found.shots)
    assert scores.size >= 60
    assert abs(scores).max() < 5
    assert abs(scores.mean()) < 4.5 / np.sqrt(scores.size)
    # qubits of one circuit are measured together: count circuits, not scores, for the spread of the spread
    assert abs((scores**2).mean() - 1) < 4.5 * np.sqrt(2 / len(scores))
