"""The vote of Nasrullah & Zhao (2019)."""

from crnn_bench.aggregations.vote import Vote


class SureVote(Vote):
    """Only slices with a probability above 0.5 vote, unless none is that sure."""

    name = "vote@0.5"
    threshold = 0.5
