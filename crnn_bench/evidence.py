"""What an answer rests on: album effect, listening time, robustness, classes, songs, bottlenecks, training."""

from pathlib import Path

import numpy as np

from crnn_bench import classes, curves, maps, robustness
from crnn_bench.answer import Candidate
from crnn_bench.blocks import Block, Picture, Section, texts
from crnn_bench.drawing import picture
from crnn_bench.material import MOST_OPEN_ROWS, Material, short

MOST_GROUPS = 12  # whose pictures stand in the page; those of every cell are in figures/
MOST_CURVES = 1  # of them, with curves of their labels
MOST_MAPS = 4


def sections(material: Material) -> list[Section]:
    """In their order."""
    return [
        _album_effect(material),
        _heard(material),
        _robustness(material),
        _classes(material),
        _hardest(material),
        _maps(material),
        _training(material),
        _scatter(material),
    ]


def _album_effect(material: Material) -> Section:
    from crnn_bench.figures import album_effect

    table = material.tables["album_effect"]
    if table.empty:
        return Section("Album effect", [])
    overall = table["artist"].fillna("") == ""
    caption = "Weighted F1 by song less that by album (or artist), with 95% intervals"
    blocks: list[Block] = [short(texts(table[overall]), caption, overall.sum() > MOST_OPEN_ROWS)]
    for level in dict.fromkeys(table["level"]):
        rows = table[table["level"] == level]
        whole = rows[overall[rows.index]]["effect"]
        words = f"Album effect per {level}: {whole.min():.2f} to {whole.max():.2f}, and that of each label"
        folded = "" if level == "song" else "Per slice"
        blocks.append(picture(album_effect.draw(rows), material.figure(f"album-effect-{level}s"), words, folded))
    caption = "The same of each label: its F1 by song less that by album"
    return Section("Album effect", [], [*blocks, short(texts(table[~overall]), caption, True)])


def _heard(material: Material) -> Section:
    from crnn_bench.figures import clip_length, seconds_heard

    blocks: list[Block] = []
    table, lengths = material.tables["seconds_heard"], material.tables["clip_lengths"]
    if len(table):
        least, most = (table.groupby("group")["f1"].agg(how) for how in ("first", "last"))
        told = "; ".join(f"{group} {least[group]:.2f} to {most[group]:.2f}" for group in dict.fromkeys(table["group"]))
        words = f"Weighted F1 per song from the fewest seconds heard to whole songs: {told}"
        blocks.append(picture(seconds_heard.draw(table), material.figure("seconds-heard"), words))
    if len(lengths):
        words = f"Weighted F1 by clip length, {lengths['clip_seconds'].min():g} to {lengths['clip_seconds'].max():g} s"
        blocks.append(picture(clip_length.draw(lengths), material.figure("clip-length"), words))
    caption = "Weighted F1 per song against the seconds heard of it, at equal listening time for all clip lengths"
    more = material.table("seconds_heard", caption, True, ["group"])
    more += material.table("clip_lengths", "Weighted F1 by clip length", True, ["group"])
    return Section("Seconds heard", [], [*blocks, *more])


def _robustness(material: Material) -> Section:
    from crnn_bench.figures import robustness as figure

    table = material.tables["robustness"]
    if table.empty:
        return Section("Robustness", [])
    blocks: list[Block] = []
    for level in ("song", "slice"):
        found = robustness.curves(table, material.groups, level)
        if len(found):
            words = (
                f"Weighted F1 per {level} on deformed test songs, {found['f1'].min():.2f} to {found['f1'].max():.2f}"
            )
            folded = "" if level == "song" else "Per slice"
            blocks.append(picture(figure.draw(found), material.figure(f"robustness-{level}s"), words, folded))
    caption = "Weighted F1 on deformed test songs, with 95% intervals, and its difference to the songs as they are"
    return Section("Robustness", [], [*blocks, *material.table("robustness", caption, True)])


def _classes(material: Material) -> Section:
    blocks: list[Block] = []
    for place, one in enumerate(material.ranked[:MOST_GROUPS]):
        number = material.candidates.index(one) + 1
        blocks.append(_confusion(one, material.figure(f"confusion-{number}"), place > 0))
        if place < MOST_CURVES:
            blocks += _curves(one, material, number, place > 0)
    words = [
        "In a confusion matrix rows are what songs are, columns what they were taken for, all seeds and folds "
        "together, and the shade is the share of the row. Of the groups, the best by its validation songs comes first."
    ]
    caption = "Each label: precision, recall, F1 with its interval, average precision, ROC AUC"
    confused = material.table("hardest_classes", "Labels that are taken for one another most often")
    return Section("Classes", words, [*blocks, *confused, *material.table("per_class", caption, True)])


def _confusion(one: Candidate, path: Path, folded: bool) -> Picture:
    from crnn_bench.figures import confusion_matrix

    names, counts = classes.class_names(one.group), classes.confusion(one.group, "song")
    wrong = counts - np.diag(np.diag(counts))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    most = f"; most often {names[row]} is taken for {names[column]}, {wrong.max()} times" if wrong.any() else ""
    right = f"{np.trace(counts) / counts.sum():.0%} of {counts.sum()} answers for test songs are right"
    figure = confusion_matrix.draw(counts, names, f"Test songs (vote): {one.label}")
    words = f"Confusion matrix of {one.label}: {right}{most}"
    return picture(figure, path, words, f"Confusion of {one.label}" if folded else "")


def _curves(one: Candidate, material: Material, number: int, folded: bool) -> list[Picture]:
    """Precision by recall, true by false positives, and how sure answers are, per slice and per song."""
    from crnn_bench.figures import precision_recall, reliability, roc

    levels = classes.levels(one.group)
    drawn = (
        (
            "precision-recall",
            "Precision by recall",
            curves.precision_recall,
            precision_recall.draw,
            "average precision",
        ),
        ("roc", "ROC curves", curves.roc, roc.draw, "area"),
    )
    found = []
    for name, what, of, draw, area in drawn:
        told = {f"per {level}": of(one.group, level) for level in levels}
        told = {title: both for title, both in told.items() if both[0]}
        if told:
            areas = "; ".join(f"{k} {title} {c[2]:.2f}" for title, (_, both) in told.items() for k, c in both.items())
            words = f"{what} of {one.label}; {area}: {areas}"
            is_folded = folded or name == "roc"
            path = material.figure(f"{name}-{number}")
            found.append(picture(draw(told), path, words, f"{what} of {one.label}" if is_folded else ""))
    sure = {f"per {level}": classes.reliability(one.group, level) for level in levels}
    words = f"How often answers of {one.label} are right, by how sure they are"
    path = material.figure(f"reliability-{number}")
    return [*found, picture(reliability.draw(sure), path, words, f"Sureness of {one.label}")]


def _hardest(material: Material) -> Section:
    clips, fault = material.clips
    table = material.tables["hardest_songs"]
    never = len(table) and not table["wrong"].any()
    words = [fault] if fault else ["No song was taken for another label's by any classifier."] if never else []
    if any(clip.sound for clip in clips):
        words.append(
            "Six seconds from the middle of each song are embedded in this page, made as loud as can be; before it is "
            "shown to others, mind the music's licence: “crnn-bench report DIR --no-audio” leaves them out."
        )
    caption = "Songs by how many of the classifiers that were tested on them took them for another label's"
    return Section("Hardest songs", words, [*clips, *material.table("hardest_songs", caption, None, ["dataset"])])


def _maps(material: Material) -> Section:
    blocks: list[Block] = []
    drawn = 0
    for one in material.ranked:
        cells = [cell for cell in one.group.cells if cell.embeddings is not None]
        if cells and drawn < MOST_MAPS:
            best = min(cells, key=lambda cell: cell.record.get("best_validation_loss", np.inf))
            blocks += maps.of_cell(best, material.names, one.label)
            drawn += 1
    words = [
        "The network's last numbers but one (32 of the CRNN), averaged over each song's slices, in two dimensions: of "
        "each network the seed or fold of the least validation loss. Point at a mark to see its song; ringed ones test."
    ]
    return Section("Bottleneck", words if blocks else [], blocks)


def _training(material: Material) -> Section:
    from crnn_bench.figures import learning as learning_figure
    from crnn_bench.figures import training_curves

    blocks: list[Block] = []
    accuracy = material.tables["learning"]
    if accuracy["group"].nunique() > 1:
        words = "Curves: validation accuracy by epoch, a line for each kind of network"
        blocks.append(picture(learning_figure.draw(accuracy), material.figure("learning"), words))
    told = [one for one in material.ranked if any("history" in cell.record for cell in one.group.cells)]
    for place, one in enumerate(told[:MOST_GROUPS]):
        runs = [(c.record["history"], c.record["best_epoch"]) for c in one.group.cells if "history" in c.record]
        last = np.mean([history[-1]["validation_loss"] for history, _ in runs])
        words = f"Losses of {one.label} by epoch, {len(runs)} runs; the last validation loss is {last:.2f} nats (mean)"
        name = f"training-{material.candidates.index(one) + 1}"
        figure = training_curves.draw(runs, one.label)
        blocks.append(picture(figure, material.figure(name), words, f"Losses of {one.label}" if place else ""))
    return Section("Training", [], blocks)


def _scatter(material: Material) -> Section:
    caption = "How much of the scatter over seeds is the split's, and how much the initialisation's"
    return Section("Scatter", [], material.table("scatter", caption))
