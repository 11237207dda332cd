"""What the page shows of an answer, as HTML: words, bars, strips, tables; everything said by others is escaped."""

import base64
import html
import math
import urllib.parse
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

MOST_LABELS = 8  # with a bar and a strip of their own
MOST_SIMILAR = 5  # songs
MOST_STEPS = 300  # of a strip; neighbouring slices are averaged
MOST_SPANS = 12  # told of a song's course in words
STRIP_HEIGHT = 28

Answer = Mapping[str, Any]


def escaped(text: object) -> str:
    """Text as HTML shows it; dollar signs and braces, too, which gradio's templates would read."""
    return html.escape(str(text)).replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")


def fault(words: str) -> str:
    """A message that screen readers read out at once."""
    sentence = f"{words[:1].upper()}{words[1:].rstrip('.')}."
    return f'<div class="fault" role="alert"><strong>That did not work.</strong> {escaped(sentence)}</div>'


def status(words: str) -> str:
    """A line that screen readers read out when they are done with what they read."""
    return f'<p class="unseen" role="status">{escaped(words)}</p>'


def percent(share: float) -> str:
    """`82 %`; `2.0 %` below ten."""
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def clock(seconds: float) -> str:
    """`4:05`; `1:04:05` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def answer(model: Answer, remark: str | None) -> str:
    """One model's answer: its label, whether it knows such music, how far to trust it, and all probabilities.

    Args:
        model: of `Analysis.analyse`.
        remark: what else a listener should know of the file.
    """
    label, probability = escaped(model["label"]), model["probabilities"][model["label"]]
    if is_unknown(model):
        head = '<p class="verdict unknown">Not like anything that I know</p>'
        head += f"<p>The nearest label is <strong>{label}</strong> ({percent(probability)}), but the song lies farther "
        head += "from the training songs than songs that the model knows do, so do not rely on it.</p>"
    else:
        head = f'<p class="verdict"><span class="label">{label}</span> <span>{percent(probability)}</span></p>'
    return f'<section aria-label="Answer">{head}{_noted(remark)}{_bars(model)}{trust(model)}</section>'


def _noted(remark: str | None) -> str:
    return f'<p class="about">{escaped(remark)}</p>' if remark else ""


def is_unknown(model: Answer) -> bool:
    """Whether the song is like nothing that the model knows, as far as it can tell."""
    return model["familiar"] is not None and not model["familiar"]["known"]


def trust(model: Answer) -> str:
    """The test score in words, on a line from 0 to 1 with its interval and the score of mere guessing."""
    score, n_classes = model["score"], len(model["probabilities"])
    if score is None:
        return '<p class="trust">How far to trust it is not known: no test scores are stored with this model.</p>'
    value, low, high = score["value"], score["low"], score["high"]
    words = f"On test songs that it had never heard, {escaped(model['title'])} reached a weighted F1 of "
    words += f"<strong>{_score(score)}</strong>, where 1 is perfect and guessing among {n_classes} labels gives about "
    words += f"{1 / n_classes:.2f}. {'' if _known(low) else 'Its interval is not known.'}"
    left, right = (low, high) if _known(low) else (value, value)
    line = '<svg class="scale" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
    line += '<rect class="rail" x="0" y="2" width="100" height="2"/>'
    line += f'<rect class="interval" x="{100 * left:.1f}" y="1" width="{100 * (right - left):.1f}" height="4"/>'
    line += f'<rect class="point" x="{100 * value - 0.4:.1f}" y="0" width="0.8" height="6"/>'
    line += f'<rect class="guess" x="{100 / n_classes:.1f}" y="0" width="0.3" height="6"/></svg>'
    return f'<div class="trust"><p>{words}</p>{line}</div>'


def _score(score: Answer) -> str:
    """`0.86 [0.71–0.95]`."""
    interval = f" [{score['low']:.2f}–{score['high']:.2f}]" if _known(score["low"]) else ""
    return f"{score['value']:.2f}{interval}"


def _known(number: float | None) -> bool:
    return number is not None and not math.isnan(number)


def _bars(model: Answer) -> str:
    ranked = sorted(model["probabilities"].items(), key=lambda item: -item[1])
    rows = "".join(_bar(name, share, name == model["label"]) for name, share in ranked[:MOST_LABELS])
    rest = len(ranked) - MOST_LABELS
    if rest > 0:
        rows += _bar(f"{rest} others together", sum(share for _, share in ranked[MOST_LABELS:]), False)
    voted = ""
    if ranked[0][0] != model["label"]:
        voted = "<p>The label has the most votes of single slices; the bars are means over them.</p>"
    return f'<ol class="bars" aria-label="Probabilities">{rows}</ol>{voted}'


def _bar(name: str, share: float, chosen: bool) -> str:
    kind = ' class="chosen"' if chosen else ""
    bar = f'<span class="bar" aria-hidden="true"><span style="width:{100 * share:.1f}%"></span></span>'
    return f'<li{kind}><span class="name">{escaped(name)}</span>{bar}<span class="value">{percent(share)}</span></li>'


def timeline(model: Answer) -> str:
    """How the most probable labels rise and fall in the course of the song: a strip each, and the same in words."""
    if len(model["timeline"]["start_seconds"]) == 1:
        return "<p class='about'>The model hears this song at once, so there is no course of it to be drawn.</p>"
    starts, seconds = model["timeline"]["start_seconds"], model["timeline"]["seconds"]
    slices, names = model["timeline"]["probabilities"], list(model["probabilities"])
    ranked = sorted(range(len(names)), key=lambda index: -model["probabilities"][names[index]])[:MOST_LABELS]
    end = starts[-1] + seconds
    rows = "".join(
        f'<div class="strip"><span class="name">{escaped(names[index])}</span>{_strip(slices, index)}</div>'
        for index in ranked
    )
    axis = (
        f'<div class="axis"><span></span><span>0:00</span><span>{clock(end / 2)}</span><span>{clock(end)}</span></div>'
    )
    words = escaped(_course(starts, seconds, slices, names))
    drawn = f'<div aria-hidden="true">{rows}{axis}</div>'
    head = f"<h3>In the course of the song</h3><p>Probability of a label in each slice of {seconds:.3g} s.</p>"
    return f"<section>{head}{drawn}<details><summary>In words</summary><p>{words}</p></details></section>"


def _strip(slices: Sequence[Sequence[float]], index: int) -> str:
    """A label's probability over the song, as an area of steps."""
    size = math.ceil(len(slices) / MOST_STEPS)
    groups = [slices[start : start + size] for start in range(0, len(slices), size)]
    heights = [sum(one[index] for one in group) / len(group) for group in groups]
    steps = "".join(f"V{STRIP_HEIGHT * (1 - height):.1f}H{at + 1}" for at, height in enumerate(heights))
    path = f"M0 {STRIP_HEIGHT}{steps}V{STRIP_HEIGHT}Z"
    return f'<svg viewBox="0 0 {len(heights)} {STRIP_HEIGHT}" preserveAspectRatio="none"><path d="{path}"/></svg>'


def _course(starts: Sequence[float], seconds: float, slices: Sequence[Sequence[float]], names: Sequence[str]) -> str:
    """`0:00–0:45 Bach; 0:45–1:00 Chopin`, by each slice's most probable label."""
    best = [max(range(len(names)), key=slice_.__getitem__) for slice_ in slices]
    spans = [(index, [at for at, _ in group]) for index, group in groupby(enumerate(best), key=lambda item: item[1])]
    told = [f"{clock(starts[at[0]])}–{clock(starts[at[-1]] + seconds)} {names[index]}" for index, at in spans]
    more = f"; and {len(told) - MOST_SPANS} more changes" if len(told) > MOST_SPANS else ""
    return "; ".join(told[:MOST_SPANS]) + more


def similar(model: Answer, address: str) -> str:
    """The songs that lie nearest, each with a player where its file is still there.

    Args:
        model: of `Analysis.analyse`.
        address: of a player's song, with the model's `key` and the song's `number` in braces.
    """
    rows, key = "", urllib.parse.quote(model["key"], safe="")
    for one in model["similar"][:MOST_SIMILAR]:
        place = address.format(key=key, number=one["number"]) if one["playable"] else None
        rows += song(one, f"similarity {one['similarity']:.2f}", place)
    return f'<section><h3>Similar songs that it knows</h3><ol class="songs">{rows}</ol></section>' if rows else ""


def song(one: Answer, reason: str, address: str | None) -> str:
    """A line of a list of songs: what it is, why it is there, and its player."""
    title = escaped(one.get("title") or one["track_id"])
    parts = [escaped(one[part]) for part in ("artist", "album") if one.get(part)]
    about = f'<span class="title">{title}</span><span class="about">{" · ".join(parts)}</span>'
    about += f'<span class="about">{escaped(reason)}</span>'
    player = '<span class="about">its file is not here</span>'
    if address is not None:
        player = f'<audio controls preload="none" src="{escaped(address)}" aria-label="Play {title}"></audio>'
    return f'<li><div class="what">{about}</div>{player}</li>'


def playlist(answer: Answer, address: str) -> str:
    """A list of songs with players and reasons, and links that save it; its files are in the page itself."""
    rows = "".join(
        song(one, one["reason"], address.format(number=one["number"]) if one["playable"] else None)
        for one in answer["songs"]
    )
    notes = "".join(f'<p class="about">{escaped(note)}.</p>' for note in answer["notes"])
    links = _saved(answer["m3u8"], "audio/x-mpegurl", "m3u8") + _saved(answer["json"], "application/json", "json")
    saved = f'<p class="saved">{links} <span class="about">Their songs play as long as this page is served.</span></p>'
    return f'<section aria-label="Playlist"><h3>Your list</h3>{saved}{notes}<ol class="songs">{rows}</ol></section>'


def _saved(text: str, kind: str, ending: str) -> str:
    source = f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
    return f'<a class="link" download="playlist.{ending}" href="{source}">Save as {ending.upper()}</a>'


def agreement(models: Sequence[Answer], remark: str | None) -> str:
    """What most models say, of those that know such music; `remark` as in `answer`."""
    labels = [model["label"] for model in models if not is_unknown(model)]
    if not labels:
        return f'<p class="verdict unknown">Not like anything that any of them knows</p>{_noted(remark)}'
    shared = max(dict.fromkeys(labels), key=labels.count)
    said = f"{labels.count(shared)} of {len(models)} models say {escaped(shared)}"
    strangers = len(models) - len(labels)
    unknown = f"<p>To {strangers} of them the song is not like anything that they know.</p>" if strangers else ""
    return f'<section aria-label="Answer"><p class="verdict">{said}</p>{_noted(remark)}{unknown}</section>'


def comparison(models: Sequence[Answer]) -> str:
    """All models' answers side by side."""
    rows = "".join(_compared(model) for model in models)
    caption = "Test F1 is the weighted F1 on songs that the model had never heard, with its 95% interval"
    table = _table(caption, ("Model", "Answer", "Probability", "Test F1", "Familiar?"), rows)
    return f"<section><h3>All models</h3>{_scrolled(table, 'All models')}</section>"


def _compared(model: Answer) -> str:
    score = "–" if model["score"] is None else _score(model["score"])
    familiar = "–" if model["familiar"] is None else "no" if is_unknown(model) else "yes"
    cells = [escaped(model["label"]), percent(model["probabilities"][model["label"]]), score, familiar]
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    kind = ' class="unknown"' if is_unknown(model) else ""
    return f'<tr{kind}><th scope="row">{escaped(model["title"])}</th>{data}</tr>'


def features(rows: Sequence[Answer]) -> str:
    """The table of features."""
    body = "".join(
        f'<tr><th scope="row">{escaped(row["feature"])}</th><td>{_number(row["mean"])}</td>'
        f"<td>{_number(row['variance'])}</td></tr>"
        for row in rows
    )
    table = _table(
        "Over the whole song, or the first two minutes of a longer one", ("Feature", "Mean", "Variance"), body
    )
    return f"<section><h3>Features of the song</h3>{_scrolled(table, 'Features of the song')}</section>"


def _table(caption: str, names: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.4f}" if abs(value) >= 0.01 else f"{value:.3g}"


def spectrogram(png: bytes, name: str) -> str:
    """The picture of a song, in the page itself, so that no file of it is left anywhere."""
    words = f"Spectrogram of {escaped(name)}: time from left to right, low to high frequencies from bottom to top; "
    words += "the brighter, the louder"
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return f'<section><h3>Spectrogram</h3><img class="spectrogram" src="{source}" alt="{words}"></section>'


def _scrolled(table: str, label: str) -> str:
    """A table that scrolls within itself where it is too wide or too long, by keyboard as well."""
    return f'<div class="scrolled" role="region" aria-label="{label}" tabindex="0">{table}</div>'
