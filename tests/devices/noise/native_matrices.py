"""Matrices of native gates, for other simulators."""

import math

import numpy as np

PAULIS = {"x": np.array([[0, 1], [1, 0]]), "y": np.array([[0, -1j], [1j, 0]]), "z": np.diag([1, -1])}
CZ = np.diag([1, 1, 1, -1])


def unitary_of(gate, angles):
    """The 2 x 2 matrix of a U3: the product of exp(-i t P / 2)."""
    found = np.eye(2, dtype=complex)
    for turn in gate.turns:
        t = turn.constant + sum(factor * angles[place] for place, factor in turn.terms)
        found = (math.cos(t / 2) * np.eye(2) - 1j * math.sin(t / 2) * PAULIS[turn.axis]) @ found
    return found


def u3_angles(matrix):
    """(theta, phi, lambda) of a U3, up to a phase."""
    theta = 2 * math.atan2(abs(matrix[1, 0]), abs(matrix[0, 0]))
    total = np.angle(matrix[1, 1]) - np.angle(matrix[0, 0])  # phi + lambda
    difference = np.angle(matrix[1, 0]) - np.angle(-matrix[0, 1])  # phi - lambda
    phi, lam = (total + difference) / 2, (total - difference) / 2
    rebuilt = np.array(
        [
            [math.cos(theta / 2), -np.exp(1j * lam) * math.sin(theta / 2)],
            [np.exp(1j * phi) * math.sin(theta / 2), np.exp(1j * (phi + lam)) * math.cos(theta / 2)],
        ]
    )
    if not np.isclose(abs(np.trace(rebuilt.conj().T @ matrix)), 2):  # each sum is known up to 2 pi, each half up to pi
        phi, lam = phi + math.pi, lam + math.pi
    return theta, phi, lam
