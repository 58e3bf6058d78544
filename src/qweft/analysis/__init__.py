"""What a trained adapter does: ranks, non-linearity, the circuit's share, its states and gradients, layer by layer."""
