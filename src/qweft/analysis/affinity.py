"""How far a core is from an affine map on the tokens that it sees."""

import torch


def non_affinity(c: torch.Tensor, h: torch.Tensor) -> float | None:
    """Share of the variance of h that the best affine map of c does not explain, on tokens it was not fitted to.

        sum_t |h_t - (L c_t + b)|^2 / sum_t |h_t - mean h|^2,   clipped to [0, 1]

    L and b are the least squares fit to the first half of the tokens; the sums and the mean are over the second.

    Args:
        c: (tokens, r), in the order of the text, so that at most one row has tokens in both halves.
        h: (tokens, k), float64 like c.

    Returns:
        The share; 0 where h does not vary; none with fewer than 4 (r + 1) tokens, where the fit would mean nothing.
    """
    half = len(c) // 2
    if half < 2 * (c.shape[1] + 1):
        return None
    with_constant = torch.cat([c, torch.ones_like(c[:, :1])], 1)
    # "gelsd": c may lie in fewer than r dimensions
    fit = torch.linalg.lstsq(with_constant[:half], h[:half], driver="gelsd").solution
    judged = h[half:]
    variance = (judged - judged.mean(0)).square().sum()
    missed = (judged - with_constant[half:] @ fit).square().sum()
    floor = (len(judged) * torch.finfo(h.dtype).eps) ** 2 * judged.square().sum()  # rounding of the mean alone
    return float((missed / variance).clamp(0, 1)) if variance > floor else 0.0
