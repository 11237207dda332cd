"""Masks along frequency."""

from crnn_bench.augmentations.time_mask import TimeMask


class FrequencyMask(TimeMask):
    """Hides some bands of bins behind the slice's mean (SpecAugment, Park et al. 2019).

    As `TimeMask`, along the other axis; Park et al. hide up to 27 of 80 mel bins, twice.

    Args:
        width: of the widest mask, a share of the bins.
        number: of masks.
    """

    axis = 1
