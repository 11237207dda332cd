"""Trained models in use: slices → probabilities and embeddings; imports nothing that only training needs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crnn_bench.errors import BenchError
from crnn_bench.models import Network
from crnn_bench.records import Slices

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from crnn_bench.baselines import Baseline

PREDICT_BATCH = 4  # on a processor, larger batches leave the cache and are slower
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Heard:
    """What a model makes of some slices.

    Attributes:
        probabilities: (slices, classes).
        vectors: (slices, width), where it places each.
    """

    probabilities: NDArray[np.floating]
    vectors: NDArray[np.floating]


@dataclass
class FittedNetwork:
    """A network with the weights of its best epoch.

    Attributes:
        network: in evaluation mode, fp32.
        details: what was chosen and reached, epoch by epoch too, for the record.
        heard: content hashes of the tracks that its first weights had heard before.
    """

    network: Network
    details: dict[str, Any]
    heard: frozenset[str] = frozenset()

    def hear(self, slices: Slices) -> Heard:
        """Probabilities and bottlenecks in one pass, always in fp32: a batch's company does not change an answer."""

        def both(x: Tensor) -> list[Tensor]:
            vectors = self.network.embed(x)
            return [self.network.head(vectors).softmax(dim=1), vectors]

        return Heard(*self._run(slices, both))

    def predict_proba(self, slices: Slices) -> NDArray[np.float32]:
        """(slices, classes), in fp32 likewise."""
        return self._run(slices, lambda x: [self.network(x).softmax(dim=1)])[0]

    def embed(self, slices: Slices) -> NDArray[np.float32]:
        """Bottleneck vectors, (slices, width), in fp32 likewise."""
        return self._run(slices, lambda x: [self.network.embed(x)])[0]

    @torch.no_grad()
    def _run(self, slices: Slices, function: Callable[[Tensor], list[Tensor]]) -> list[NDArray[Any]]:
        self.network.eval()
        device = next(self.network.parameters()).device
        results = []
        for first in range(0, len(slices), PREDICT_BATCH):
            batch = slices.batch(range(first, min(first + PREDICT_BATCH, len(slices))))
            x = torch.from_numpy(batch).transpose(1, 2).to(device, torch.float32)
            results.append([answer.float().cpu().numpy() for answer in function(x)])
        return [np.concatenate(some) for some in zip(*results, strict=True)]


@dataclass
class FittedBaseline:
    """A fitted estimator; where it gives no probabilities, one temperature makes some of its scores.

    Attributes:
        baseline: how it summarises frames.
        estimator: fitted on the training part alone.
        temperature: divides decision values before the softmax; fitted on validation slices (Guo et al. 2017). `None`
            where the estimator has probabilities of its own.
        n_classes: of the experiment.
        details: numbers for the record.
    """

    baseline: "Baseline"
    estimator: "BaseEstimator"
    temperature: float | None
    n_classes: int
    details: dict[str, Any]

    def hear(self, slices: Slices) -> Heard:
        """Probabilities, and the vectors that the classifier itself sees: the scaled inputs of its pipeline.

        A model of frames sees no vector; where it places a slice is the logarithm of what it says.
        """
        inputs = self.baseline.inputs(slices)
        probabilities = self._probabilities(inputs)
        if inputs.ndim == 2 and len(getattr(self.estimator, "steps", ())) > 1:
            seen = self.estimator[:-1].transform(inputs)
            return Heard(probabilities, np.asarray(seen, dtype=np.float32))
        return Heard(probabilities, np.log(np.maximum(probabilities, LEAST_PROBABILITY)).astype(np.float32))

    def predict_proba(self, slices: Slices) -> NDArray[np.float64]:
        """(slices, classes)."""
        return self._probabilities(self.baseline.inputs(slices))

    def embed(self, slices: Slices) -> NDArray[np.floating]:
        """(slices, width), as `hear` has them."""
        return self.hear(slices).vectors

    def _probabilities(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        with told_as_one_line(self.baseline):
            if self.temperature is None:
                known = self.estimator.predict_proba(inputs)
            else:
                from scipy.special import softmax

                known = softmax(decisions(self.estimator, inputs) / self.temperature, axis=1)
        probabilities = np.zeros((len(inputs), self.n_classes))
        probabilities[:, self.estimator.classes_] = known  # a class that was never trained is never said
        return probabilities


Fitted = FittedNetwork | FittedBaseline


@contextmanager
def told_as_one_line(baseline: "Baseline") -> Iterator[None]:
    """scikit-learn says by `ValueError` that data and arguments do not go together."""
    try:
        yield
    except ValueError as error:
        raise BenchError(f"{type(baseline).__name__}: {str(error).splitlines()[0]}") from error


def decisions(estimator: "BaseEstimator", inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Decision values, (n, trained classes)."""
    scores: NDArray[np.float64] = estimator.decision_function(inputs)
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
