"""Simple music from random numbers: what an artist plays, and how an album sounds.

A style (scale, chords, rhythm, timbres) belongs to an artist, a production (equaliser, reverb, loudness, tuning, noise)
to an album. `compose` knows nothing of productions and `produce` nothing of artists, so how strongly albums differ is
one number.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

SCALES = (
    (0, 2, 4, 5, 7, 9, 11),  # major
    (0, 2, 3, 5, 7, 8, 10),  # minor
    (0, 2, 3, 5, 7, 9, 10),  # dorian
    (0, 2, 4, 5, 7, 9, 10),  # mixolydian
    (0, 2, 3, 5, 7, 8, 11),  # harmonic minor
    (0, 1, 3, 5, 7, 8, 10),  # phrygian
)
PROGRESSIONS = ((0, 4, 5, 3), (0, 3, 4, 3), (0, 5, 3, 4), (0, 3, 0, 4), (5, 3, 0, 4), (0, 2, 3, 4), (0, 6, 5, 4))
KICKS = ("x...x...x...x...", "x.....x.x.......", "x..x..x...x.....", "x.......x.x.....")
SNARES = ("....x.......x...", "........x.......", "....x..x.x..x...", "................")
HATS = ("x.x.x.x.x.x.x.x.", "xxxxxxxxxxxxxxxx", "..x...x...x...x.", "................")
STEPS_IN_BAR = 16
RMS = 0.1
N_PARTIALS = 12
BANDS_HERTZ = np.geomspace(60, 7500, 9)


@dataclass(frozen=True)
class Timbre:
    """How a note sounds.

    Attributes:
        slope: partial n has the amplitude n ** -slope.
        odd: weight of the odd partials against the even ones, 0 to 1.
        attack_seconds, decay_seconds: rise and exponential fall.
        vibrato_cents: depth at 5.5 Hz.
    """

    slope: float
    odd: float
    attack_seconds: float
    decay_seconds: float
    vibrato_cents: float


@dataclass(frozen=True)
class Style:
    """An artist's habits.

    Attributes:
        scale: semitones above the root.
        progressions: chord roots as scale degrees, one a bar.
        bpm: beats a minute, about.
        kick, snare, hat: patterns of 16 steps.
        density: share of steps on which the melody plays.
        timbres: of lead, chords and bass.
    """

    scale: tuple[int, ...]
    progressions: tuple[tuple[int, ...], ...]
    bpm: float
    kick: str
    snare: str
    hat: str
    density: float
    timbres: tuple[Timbre, Timbre, Timbre]


@dataclass(frozen=True)
class Production:
    """An album's sound; every value is 0 where it is neutral.

    Attributes:
        gains_db: (9,) of the equaliser at `BANDS_HERTZ`.
        wet: share of reverb.
        reverb_seconds: its decay to -60 dB.
        drive: of the compression.
        gain_db: loudness.
        cents: tuning.
        noise: RMS of hiss against the music's.
        hum: slope of the noise's spectrum, 0 (white) to 1 (pink).
    """

    gains_db: NDArray[np.float64]
    wet: float
    reverb_seconds: float
    drive: float
    gain_db: float
    cents: float
    noise: float
    hum: float


def draw_style(rng: np.random.Generator) -> Style:
    """Draws an artist's habits."""
    chosen = rng.choice(len(PROGRESSIONS), 3, replace=False)
    return Style(
        scale=SCALES[rng.integers(len(SCALES))],
        progressions=tuple(PROGRESSIONS[index] for index in chosen),
        bpm=rng.uniform(80, 140),
        kick=KICKS[rng.integers(len(KICKS))],
        snare=SNARES[rng.integers(len(SNARES))],
        hat=HATS[rng.integers(len(HATS))],
        density=rng.uniform(0.25, 0.6),
        timbres=(_draw_timbre(rng), _draw_timbre(rng), _draw_timbre(rng)),
    )


def draw_production(rng: np.random.Generator, strength: float) -> Production:
    """Draws an album's sound; `strength` scales every departure from neutral, 0 leaves none."""
    return Production(
        gains_db=strength * rng.normal(0, 5, len(BANDS_HERTZ)),
        wet=min(0.8, strength * rng.uniform(0, 0.35)),
        reverb_seconds=rng.uniform(0.2, 1.2),
        drive=strength * rng.uniform(0, 2),
        gain_db=strength * rng.uniform(-6, 0),
        cents=strength * rng.normal(0, 20),
        noise=strength * 10 ** rng.uniform(-2.5, -1.2),
        hum=rng.uniform(0, 1),
    )


def compose(style: Style, rng: np.random.Generator, seconds: float, cents: float, sample_rate: int) -> Samples:
    """Composes and plays a song in a style.

    Args:
        style: the artist's.
        rng: decides key, tempo, chords, melody and shades of timbre; the same at any tuning and sample rate.
        seconds: length.
        cents: tuning of the whole song.
        sample_rate: in Hz.

    Returns:
        Samples (n,) of the root mean square `RMS`.
    """
    bpm = style.bpm * rng.uniform(0.9, 1.1)
    root = int(rng.integers(45, 57))
    step = 60 / bpm / 4
    n_bars = int(np.ceil(seconds / (step * STEPS_IN_BAR)))
    lead, chords, bass = (_vary(timbre, rng) for timbre in style.timbres)
    mix = np.zeros(int(seconds * sample_rate) + 4 * sample_rate, np.float32)
    band = _Band(mix, sample_rate, step, cents)
    sections = [style.progressions[rng.integers(len(style.progressions))] for _ in range(2)]
    motifs = [_motif(style.density, rng) for _ in range(2)]
    for bar in range(n_bars):
        section = (bar // 4) % 2  # A A A A B B B B …
        degree = sections[section][bar % len(sections[section])]
        start = bar * STEPS_IN_BAR
        for third in (0, 2, 4):
            band.play(chords, root + _pitch(style.scale, degree + third), start, STEPS_IN_BAR, 0.22)
        for beat in (0, 6, 8, 14):
            band.play(bass, root - 12 + _pitch(style.scale, degree), start + beat, 4 if beat % 8 == 0 else 2, 0.5)
        for position, walk, length in motifs[section]:
            shift = int(rng.integers(-1, 2)) if bar % 4 == 3 else 0  # a phrase ends otherwise than it began
            band.play(lead, root + 12 + _pitch(style.scale, degree + walk + shift), start + position, length, 0.4)
        for pattern, drum in ((style.kick, _kick), (style.snare, _snare), (style.hat, _hat)):
            for position in (index for index, mark in enumerate(pattern) if mark == "x" and bar > 0):
                band.add(drum(sample_rate, rng), start + position)
    song = mix[: int(seconds * sample_rate)]
    fade = np.linspace(1, 0, int(0.05 * sample_rate), dtype=np.float32)
    song[-len(fade) :] *= fade
    levelled: Samples = song * np.float32(RMS / np.sqrt(np.mean(song**2)))
    return levelled


def produce(song: Samples, production: Production, rng: np.random.Generator, sample_rate: int) -> Samples:
    """Gives a song an album's sound: equaliser and reverb, compression, noise, loudness. Peaks stay below 1."""
    length = len(song) + int(2 * sample_rate)
    spectrum = np.fft.rfft(song, length)
    hertz = np.fft.rfftfreq(length, 1 / sample_rate)
    octaves = np.log2(np.maximum(hertz, 20))
    spectrum *= 10 ** (np.interp(octaves, np.log2(BANDS_HERTZ), production.gains_db) / 20)
    if production.wet > 0:
        time = np.arange(int(2 * sample_rate)) / sample_rate
        tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / production.reverb_seconds)
        tail /= np.sqrt(np.sum(tail**2))
        spectrum *= (1 - production.wet) + production.wet * np.fft.rfft(tail, length)
    sound = np.fft.irfft(spectrum, length)[: len(song)]
    if production.drive > 0:
        sound = np.tanh(sound / RMS * production.drive / 4) * RMS * 4 / production.drive
    if production.noise > 0:
        hiss = np.fft.rfft(rng.standard_normal(length)) / np.maximum(hertz, 20) ** (production.hum / 2)
        noise = np.fft.irfft(hiss, length)[: len(song)]
        sound = sound + noise * (production.noise * RMS / np.sqrt(np.mean(noise**2)))
    sound *= 10 ** (production.gain_db / 20)
    limited: Samples = (sound / max(1.0, np.abs(sound).max() / 0.99)).astype(np.float32)
    return limited


class _Band:
    """Adds notes and drums to a mix, on a grid of steps; renders each different note once."""

    def __init__(self, mix: Samples, sample_rate: int, step_seconds: float, cents: float) -> None:
        self.mix = mix
        self.sample_rate = sample_rate
        self.step_seconds = step_seconds
        self.cents = cents
        self.rendered: dict[tuple[Timbre, int, int], Samples] = {}

    def play(self, timbre: Timbre, midi: int, step: int, n_steps: int, loudness: float) -> None:
        """Adds a note."""
        key = (timbre, midi, n_steps)
        if key not in self.rendered:
            hertz = 440 * 2 ** ((midi - 69 + self.cents / 100) / 12)
            self.rendered[key] = _note(timbre, hertz, n_steps * self.step_seconds, self.sample_rate)
        self.add(loudness * self.rendered[key], step)

    def add(self, sound: Samples, step: int) -> None:
        """Adds a sound."""
        start = int(step * self.step_seconds * self.sample_rate)
        sound = sound[: max(0, len(self.mix) - start)]
        self.mix[start : start + len(sound)] += sound


def _note(timbre: Timbre, hertz: float, seconds: float, sample_rate: int) -> Samples:
    """One note by reading a waveform of its partials below the Nyquist frequency."""
    release = 0.03
    time = np.arange(int((seconds + release) * sample_rate), dtype=np.float32) / sample_rate
    numbers = np.arange(1, min(N_PARTIALS, int(0.45 * sample_rate / hertz)) + 1)
    weights = numbers**-timbre.slope * np.where(numbers % 2 == 1, 1.0, 1 - timbre.odd)
    cycle = np.sin(2 * np.pi * np.outer(np.arange(2048) / 2048, numbers)) @ weights
    depth = timbre.vibrato_cents / 1200 * np.log(2)
    phase = hertz * (time - depth * np.cos(2 * np.pi * 5.5 * time) / (2 * np.pi * 5.5))
    envelope = np.minimum(time / timbre.attack_seconds, 1) * np.exp(-time / timbre.decay_seconds)
    envelope *= np.clip((seconds + release - time) / release, 0, 1)
    note: Samples = (cycle[(phase * 2048).astype(np.int64) % 2048] * envelope).astype(np.float32)
    return note


def _kick(sample_rate: int, rng: np.random.Generator) -> Samples:
    time = np.arange(int(0.18 * sample_rate)) / sample_rate
    sweep = np.sin(2 * np.pi * (50 * time + 3 * (1 - np.exp(-time / 0.03))))
    sound: Samples = (0.9 * sweep * np.exp(-time / 0.06)).astype(np.float32)
    return sound


def _snare(sample_rate: int, rng: np.random.Generator) -> Samples:
    time = np.arange(int(0.15 * sample_rate)) / sample_rate
    sound = 0.35 * rng.standard_normal(len(time)) + 0.4 * np.sin(2 * np.pi * 190 * time)
    return (sound * np.minimum(time / 0.002, 1) * np.exp(-time / 0.04)).astype(np.float32)


def _hat(sample_rate: int, rng: np.random.Generator) -> Samples:
    time = np.arange(int(0.06 * sample_rate)) / sample_rate
    hiss = np.diff(rng.standard_normal(len(time) + 1))
    return (0.12 * hiss * np.minimum(time / 0.001, 1) * np.exp(-time / 0.015)).astype(np.float32)


def _draw_timbre(rng: np.random.Generator) -> Timbre:
    return Timbre(
        slope=rng.uniform(0.9, 2.2),
        odd=rng.uniform(0, 0.9),
        attack_seconds=10 ** rng.uniform(-2.3, -1.1),
        decay_seconds=10 ** rng.uniform(-0.7, 0.5),
        vibrato_cents=rng.uniform(0, 25),
    )


def _vary(timbre: Timbre, rng: np.random.Generator) -> Timbre:
    """A song's shade of an artist's timbre."""
    return Timbre(
        slope=timbre.slope + rng.normal(0, 0.3),
        odd=float(np.clip(timbre.odd + rng.normal(0, 0.2), 0, 0.95)),
        attack_seconds=timbre.attack_seconds * 2 ** rng.normal(0, 0.5),
        decay_seconds=timbre.decay_seconds * 2 ** rng.normal(0, 0.6),
        vibrato_cents=timbre.vibrato_cents,
    )


def _motif(density: float, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """A bar of melody: (step, scale degrees above the chord's root, steps held)."""
    steps = np.flatnonzero(rng.random(STEPS_IN_BAR) < density)
    steps = steps if len(steps) else np.array([0])
    walk = np.cumsum(rng.choice([-2, -1, -1, 0, 1, 1, 2], len(steps))) % 8
    lengths = np.minimum(np.diff(np.append(steps, STEPS_IN_BAR)), 6)
    return [(int(step), int(degree), int(length)) for step, degree, length in zip(steps, walk, lengths, strict=True)]


def _pitch(scale: tuple[int, ...], degree: int) -> int:
    return scale[degree % len(scale)] + 12 * (degree // len(scale))
