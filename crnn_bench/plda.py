"""Two-covariance probabilistic linear discriminant analysis (Ioffe 2006; Brümmer & de Villiers 2010).

A class is a point drawn from N(mean, between), its vectors are drawn from N(point, within).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from crnn_bench.frames import Floats

N_ITERATIONS = 20
RIDGE = 1e-6  # of the mean variance: keeps the covariances invertible where every class has one vector


@dataclass(frozen=True)
class PLDA:
    """The model's parameters: `mean` (dimensions,), `between` and `within` (dimensions, dimensions)."""

    mean: Floats
    between: Floats
    within: Floats


def fit(vectors: Floats, codes: np.ndarray[tuple[int], np.dtype[np.intp]]) -> PLDA:
    """Fits by EM to vectors (n, dimensions) of classes 0, 1, …, each of which has at least one."""
    points = np.stack([vectors[codes == code].mean(axis=0) for code in np.unique(codes)])
    ridge = RIDGE * max(float(vectors.var(axis=0).mean()), RIDGE) * np.eye(vectors.shape[1])
    mean = points.mean(axis=0)
    between = (points - mean).T @ (points - mean) / len(points) + ridge
    residuals = vectors - points[codes]
    model = PLDA(mean, between, residuals.T @ residuals / len(vectors) + ridge)
    for _ in range(N_ITERATIONS):
        points, covariances = posteriors(model, vectors, codes)
        mean = points.mean(axis=0)
        between = (points - mean).T @ (points - mean) / len(points) + covariances.mean(axis=0)
        residuals = vectors - points[codes]
        spread = residuals.T @ residuals + np.einsum("k,kij->ij", np.bincount(codes), covariances)
        model = PLDA(mean, between + ridge, spread / len(vectors) + ridge)
    return model


def posteriors(model: PLDA, vectors: Floats, codes: np.ndarray[tuple[int], np.dtype[np.intp]]) -> tuple[Floats, Floats]:
    """Where each class's point lies, given its vectors: means (classes, dimensions) and their covariances."""
    between, within = np.linalg.inv(model.between), np.linalg.inv(model.within)
    counts = np.bincount(codes)
    sums = np.stack([vectors[codes == code].sum(axis=0) for code in range(len(counts))])
    covariances = np.linalg.inv(between + counts[:, None, None] * within)
    means = np.einsum("kij,kj->ki", covariances, between @ model.mean + sums @ within)
    return means, covariances


def log_normal(vectors: Floats, mean: Floats, covariance: Floats) -> Floats:
    """The log-density of N(mean, covariance) at each vector: (n, dimensions) to (n,)."""
    root = np.linalg.cholesky(covariance)
    whitened = solve_triangular(root, (vectors - mean).T, lower=True)
    constant = np.log(np.diag(root)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
    densities: Floats = -0.5 * (whitened**2).sum(axis=0) - constant
    return densities
