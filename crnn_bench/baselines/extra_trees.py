"""A forest of trees with random thresholds."""

from sklearn.ensemble import ExtraTreesClassifier

from crnn_bench.baselines.random_forest import RandomForest


class ExtraTrees(RandomForest):
    """Extremely randomised trees (Geurts et al. 2006): all vectors, some columns, thresholds at random."""

    forest = ExtraTreesClassifier
