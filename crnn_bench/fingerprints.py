"""Which songs are the same recording: landmarks of spectral peaks, after Wang (ISMIR 2003), on stored log-mel frames.

A landmark is two neighbouring peaks: their mel bins and the frames between them. A copy that is re-encoded, trimmed,
louder or shifted shares many landmarks with its source, all at one offset in time; another song does not. How often
another one seems to is measured on the very songs that are compared: on each against the others played backwards,
which have peaks and pace of the same kind, but are surely no copies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raise it whenever the same frames give other matches
NEAR = 9  # a peak is the greatest within so many frames and mel bins on each side: some 8 peaks a second of music
FAN = 5  # following peaks with which each one is paired
MOST_APART = 63  # frames between two paired peaks
FLOOR_DB = 79.0  # below the song's loudest; there is no music, but the floor to which `top_db` clips
MOST_SHARING = 64  # songs with a landmark; one that more share tells nothing, and would cost the most
NEAREST = 8  # songs that a song is aligned with: those it shares the most landmarks with
LEAST_COMMON = 0.05  # share of common landmarks, at any time, of songs that are aligned; rare landmarks weigh more
FEWEST = 12  # aligned landmarks of a copy
LEAST_SHARE = 0.05  # of the overlap's landmarks; copies have 0.1 to 1, other songs below 0.02
LEAST_OVERLAP = 0.25  # of the sparser song's landmarks; in less of it a few would be a great share
MARGIN = 2.0  # above the share that distinct songs rarely have, where that asks for more
RARELY = 1000  # one pair in so many may have more, and one at least: the data may hold a piece played backwards
MOST_BACKWARDS = 128  # songs that are played backwards
ROWS = 256  # songs compared at a time
N_BINS = 128
N_HASHES = N_BINS * N_BINS * (MOST_APART + 1)
Peaks = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Landmarks:
    """A song's landmarks.

    Attributes:
        hashes: (n,) what each is, below `N_HASHES`, sorted.
        frames: (n,) where it begins.
        n_frames: the song's length.
    """

    hashes: NDArray[np.int64]
    frames: NDArray[np.int64]
    n_frames: int

    def among(self, telling: NDArray[np.bool_]) -> "Landmarks":
        """Those whose hash is marked in `telling`, shape (N_HASHES,)."""
        kept = telling[self.hashes]
        return Landmarks(self.hashes[kept], self.frames[kept], self.n_frames)


@dataclass(frozen=True)
class Match:
    """Two songs that have landmarks in common at one offset.

    Attributes:
        first, second: their positions.
        share: of the different landmarks that the sparser song has where both sound, 0 to 1.
        offset_frames: by which the second song is later than the first.
    """

    first: int
    second: int
    share: float
    offset_frames: int

    @property
    def odd(self) -> bool:
        """Tells two halves of all pairs apart, whatever they sound like."""
        return (self.first + self.second) % 2 == 1


@dataclass(frozen=True)
class Comparison:
    """What comparing songs with each other has found.

    Attributes:
        matches: copies, the surest first.
        backwards: songs that are as alike once the first is played backwards: really so, or a false alarm.
        threshold: share of aligned landmarks from which on songs count as copies.
        distinct_pairs: of songs with the first played backwards, in which false alarms were counted.
        false_alarms: how many of these reach the threshold.
        mute: positions of songs with too few landmarks to be compared.
    """

    matches: tuple[Match, ...] = ()
    backwards: tuple[Match, ...] = ()
    threshold: float = LEAST_SHARE
    distinct_pairs: int = 0
    false_alarms: int = 0
    mute: tuple[int, ...] = ()


def peaks(frames: NDArray[np.floating]) -> Peaks:
    """The frames and bins of a spectrogram's peaks, in the order of time.

    Args:
        frames: (frames, at most 128 bins) decibels, some 31 frames a second.
    """
    loudness = np.ascontiguousarray(frames, dtype=np.float32)
    greatest = _running_maximum(_running_maximum(loudness).T).T
    floor = max(loudness.max(initial=-np.inf) - FLOOR_DB, loudness.min(initial=np.inf))
    time, bin_ = np.nonzero((loudness == greatest) & (loudness > floor))
    return time, bin_


def _running_maximum(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maximum of the 2 NEAR + 1 rows around each row, in a few passes over doubled windows."""
    width, done = 2 * NEAR + 1, 1
    found = np.pad(values, ((NEAR, NEAR), (0, 0)), constant_values=-np.inf)
    while done < width:
        step = min(done, width - done)
        found = np.maximum(found[:-step], found[step:])
        done += step
    return found


def landmarks(found: Peaks, n_frames: int) -> Landmarks:
    """Pairs each peak with the next few that begin after it."""
    time, bin_ = found
    following = np.searchsorted(time, time, side="right")
    first = np.repeat(np.arange(len(time)), FAN)
    second = (following[:, None] + np.arange(FAN)).ravel()
    first, second = first[second < len(time)], second[second < len(time)]
    apart = time[second] - time[first]
    first, second, apart = (values[apart <= MOST_APART] for values in (first, second, apart))
    hashes = (bin_[first] * N_BINS + bin_[second]) * (MOST_APART + 1) + apart
    order = np.argsort(hashes, kind="stable")
    return Landmarks(hashes[order], time[first][order], n_frames)


def backwards(found: Peaks, n_frames: int) -> Peaks:
    """The peaks of the song played backwards."""
    time, bin_ = n_frames - 1 - found[0], found[1]
    order = np.lexsort((bin_, time))
    return time[order], bin_[order]


def compare(found: Sequence[Peaks], lengths: Sequence[int]) -> Comparison:
    """Looks for copies among songs, and for false alarms among songs of which one is played backwards.

    Half of those pairs may raise the threshold, so that false alarms are counted in the other half.

    Args:
        found: each song's peaks.
        lengths: each song's number of frames.
    """
    if len(found) < 2:
        return Comparison()
    whole = [landmarks(*song) for song in zip(found, lengths, strict=True)]
    sharing = np.zeros(N_HASHES, np.int64)
    for song in whole:
        sharing[_different(song.hashes)] += 1
    songs = [song.among(sharing <= MOST_SHARING) for song in whole]
    distinct, pairs = _against_backwards(found, lengths, songs, sharing)
    calibrating = sorted((match.share for match in distinct if match.odd), reverse=True)
    threshold = max(LEAST_SHARE, MARGIN * [*calibrating, 0.0][min(max(1, pairs[1] // RARELY), len(calibrating))])
    near = {(min(pair), max(pair)) for pair in _candidates(songs, songs, np.arange(len(songs)), sharing)}
    matches = [Match(*pair, *_align(songs[pair[0]], songs[pair[1]])) for pair in sorted(near)]
    alarms = _surest(distinct, threshold)
    return Comparison(
        _surest(matches, threshold),
        alarms,
        threshold,
        pairs[0],
        sum(not alarm.odd for alarm in alarms),
        tuple(place for place, song in enumerate(songs) if len(_different(song.hashes)) < FEWEST),
    )


def _surest(matches: Sequence[Match], threshold: float) -> tuple[Match, ...]:
    return tuple(sorted((match for match in matches if match.share >= threshold), key=lambda match: -match.share))


def _against_backwards(
    found: Sequence[Peaks], lengths: Sequence[int], songs: Sequence[Landmarks], sharing: NDArray[np.int64]
) -> tuple[list[Match], tuple[int, int]]:
    """Some songs, played backwards, against the others: what is alike, and how many pairs were even and odd.

    A pair of which both are played backwards in turn counts once.
    """
    chosen = np.unique(np.linspace(0, len(songs) - 1, min(len(songs), MOST_BACKWARDS)).astype(int))
    telling = (sharing > 0) & (sharing <= MOST_SHARING)
    turned = [landmarks(backwards(found[song], lengths[song]), lengths[song]).among(telling) for song in chosen]
    everyone = np.arange(len(songs))
    counted = (everyone > chosen[:, None]) | (~np.isin(everyone, chosen) & (everyone != chosen[:, None]))
    odd = (everyone + chosen[:, None]) % 2 == 1
    near = [pair for pair in _candidates(turned, songs, chosen, sharing) if counted[pair]]
    matches = [Match(int(chosen[row]), song, *_align(turned[row], songs[song])) for row, song in near]
    return matches, (int((counted & ~odd).sum()), int((counted & odd).sum()))


def _candidates(
    rows: Sequence[Landmarks], songs: Sequence[Landmarks], own: NDArray[np.int64], sharing: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """Of each row its `NEAREST` songs by common landmarks, whatever their time: (row, song).

    Args:
        rows, songs: what is compared with what.
        own: (rows,) the song that each row is, and is not compared with.
        sharing: (N_HASHES,) songs that have a landmark; it weighs the less.
    """
    weight = 1 / np.maximum(sharing, 1)
    ours, theirs = _presence(rows), _presence(songs)
    sizes, all_sizes = ours @ weight, theirs @ weight
    weighted = theirs.multiply(weight).T.tocsc()
    for start in range(0, len(rows), ROWS):
        common = (ours[start : start + ROWS] @ weighted).tocsr()
        for row, (first, last) in enumerate(zip(common.indptr[:-1], common.indptr[1:], strict=True), start):
            others = common.indices[first:last]
            share = common.data[first:last] / np.minimum(sizes[row], all_sizes[others])
            fit = np.flatnonzero((others != own[row]) & (share >= LEAST_COMMON))
            for place in fit[np.argsort(-share[fit], kind="stable")[:NEAREST]]:
                yield row, int(others[place])


def _presence(songs: Sequence[Landmarks]) -> Any:
    """(songs, N_HASHES) sparse: 1 where a song has a landmark."""
    from scipy.sparse import csr_array

    different = [_different(song.hashes) for song in songs]
    ends = np.cumsum([0, *map(len, different)])
    hashes = np.concatenate(different).astype(np.int32)
    return csr_array((np.ones(len(hashes), np.int32), hashes, ends), shape=(len(songs), N_HASHES))


def _align(first: Landmarks, second: Landmarks) -> tuple[float, int]:
    """The share of landmarks in common at the best offset, and this offset, in frames.

    A landmark may be a frame early or late, since a copy's frames begin elsewhere. Each different one counts once, so
    that a repeated note is not a song.
    """
    start = np.searchsorted(second.hashes, first.hashes, side="left")
    number = np.searchsorted(second.hashes, first.hashes, side="right") - start
    ours = np.repeat(np.arange(len(number)), number)
    theirs = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number - start, number)
    offsets = second.frames[theirs] - first.frames[ours]
    if not len(offsets):
        return 0.0, 0
    counts = np.append(np.bincount(offsets - offsets.min()), 0)
    place = int(np.argmax(counts[:-1] + counts[1:]))
    best = place + int(offsets.min())
    matched = _different(first.hashes[ours[(offsets == best) | (offsets == best + 1)]])
    overlap = min(_sounding(first, -best, second.n_frames - best), _sounding(second, best, first.n_frames + best))
    least = LEAST_OVERLAP * min(len(_different(first.hashes)), len(_different(second.hashes)))
    share = min(1.0, len(matched) / max(overlap, least)) if len(matched) >= FEWEST else 0.0
    return share, best + int(counts[place + 1] > counts[place])


def _sounding(song: Landmarks, begin: int, end: int) -> int:
    """How many different landmarks begin within some frames."""
    return len(_different(song.hashes[(song.frames >= begin) & (song.frames < end)]))


def _different(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """The different ones of some sorted numbers; several times as fast as `np.unique`."""
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    different: NDArray[np.int64] = ordered[first]
    return different
