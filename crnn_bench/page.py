"""Material → the report's sections: the answer first, then what it rests on, then how to do it again."""

from collections.abc import Sequence

import pandas as pd

from crnn_bench import answer, commands, evidence
from crnn_bench.blocks import Command, Picture, Section, Table, texts, with_interval, written
from crnn_bench.drawing import picture
from crnn_bench.material import MOST_OPEN_ROWS, Material, short
from crnn_bench.wording import amount, count, printable

LEFT_IN_THE_FILE = ("n_", "f1_macro", "f1_song_mean", "f1_song_product", "f1_song_vote", "run_id", "mflop", "predict_")


def sections(material: Material) -> list[Section]:
    """Those that have something to tell."""
    found = [
        _answer(material),
        _scores(material),
        _comparisons(material),
        _published(material),
        *evidence.sections(material),
        _costs(material),
        _audit(material),
        _again(material),
        _cells(material),
    ]
    return [section for section in found if section.words or section.blocks]


def files(found: Sequence[Section]) -> list[str]:
    """The pictures of sections, below the results folder."""
    return [block.file for section in found for block in section.blocks if isinstance(block, Picture)]


def _answer(material: Material) -> Section:
    from crnn_bench.figures import score_bars

    noted, tables = material.noted, material.tables
    missing = len(noted["cells"]) - len(material.cells)
    words = [f"{missing} of {len(noted['cells'])} cells are not finished; the numbers may change."] if missing else []
    verdict, sentences = _verdict(material), answer.sentences(material.candidates, tables)
    leaks = material.audit and any(finding["severity"] == "leak" for finding in material.audit["findings"])
    words += [*verdict, *sentences] if leaks else [*sentences, *verdict]  # what qualifies all the rest comes first
    top = {place: some for place, some in answer.best(material.candidates).items() if some}
    rows = [
        {
            "tested on": place,
            "best by validation": one.model,
            "validation F1": written(one.validation),
            "test F1 per song": with_interval(one.test, one.low, one.high),
            "guessing": written(one.chance),
            "test songs": one.songs,
        }
        for place, some in top.items()
        for one in some[:2]
    ]
    caption = "Best per split by weighted F1 of the validation songs; its test score with a 95% interval"
    blocks = [Table(pd.DataFrame(rows), caption, len(rows) > MOST_OPEN_ROWS)] if rows else []
    points = _points(material)
    chance = sum(one.chance for one in material.candidates) / len(material.candidates)
    told = "; ".join(f"{row.group} {row.mean:.3f}" for row in points[points["level"] == "song"].itertuples())
    figure = picture(score_bars.draw(points, chance), material.figure("scores"), f"Weighted F1 per song: {told}")
    return Section("Answer", words, [*blocks, figure])


def _points(material: Material) -> pd.DataFrame:
    """`group, level, mean, low, high` of weighted F1."""
    scores = material.tables["scores"]
    f1 = scores[scores["metric"] == answer.METRIC.name]
    rows = [
        answer.rows_of(f1, group).assign(group=label)
        for group, label in zip(material.groups, material.labels, strict=True)
    ]
    return pd.concat(rows)[["group", "level", "mean", "low", "high"]]


def _scores(material: Material) -> Section:
    words = [
        "Weighted F1 on test songs, mean [95% interval] over seeds; with k folds, the predictions of all folds are "
        "scored as one. Song scores compile a song's slices by the vote of Nasrullah & Zhao (2019)."
    ]
    summary, by_rule = material.tables["summary"], material.tables["aggregations"]
    blocks = [short(_spoken(printable(summary)[0]), "Mean [95% interval] by split, level and model", False)]
    if len(by_rule):
        caption = (
            "From slices to songs: mean [95% interval] by the rule that compiles a song's slices: the mean of "
            "their probabilities, their normalised product, one vote a slice, or the vote of those alone that are "
            "surer than 0.5 (used above)"
        )
        blocks.append(short(_spoken(printable(by_rule)[0]), caption, True))
    scores = material.tables["scores"]
    scores = scores[[*(n for n in scores if n not in ("mean", "std", "low", "high")), "mean", "low", "high", "std"]]
    blocks.append(short(texts(scores), "Every metric, with its 95% interval and its deviation over seeds", True))
    return Section("Scores", words, blocks)


def _comparisons(material: Material) -> Section:
    caption = (
        "Differences of weighted F1 on the same test songs, with 95% intervals, p by permutation, alone and after "
        "Holm's correction; and how many songs only one of the two has right"
    )
    blocks = material.table("comparisons", caption)
    words = [
        "The interval tells how far the difference may lie elsewhere, with other songs and another training; p asks "
        "only whether these trained models' answers could have been each other's, and is high where few songs tell "
        "them apart."
    ]
    return Section("Which differences are real", words if blocks else [], blocks)


def _published(material: Material) -> Section:
    blocks = material.table("published", "Published numbers of this dataset and protocol beside ours")
    return Section("Published numbers", [], blocks)


def _costs(material: Material) -> Section:
    rows = []
    for group, label in zip(material.groups, material.labels, strict=True):
        mean = pd.DataFrame([cell.record for cell in group.cells]).mean(numeric_only=True)
        learning = [epoch.get("slices_per_second") for cell in group.cells for epoch in cell.record.get("history", [])]
        speed = pd.Series(learning, dtype=float).mean() if learning else mean.get("slices_per_second")
        row = {"group": label, "cells": str(len(group.cells)), "fit, s": _number(mean.get("fit_seconds"))}
        row |= {"epochs": _number(mean.get("epochs")), "training slices/s": _number(speed)}
        row["test slices/s"] = _number(mean.get("predict_slices_per_second"))
        sizes = mean.get("n_parameters"), mean.get("n_learned")
        row["parameters"] = "" if pd.isna(sizes[0]) else count(sizes[0])
        row["of these learned"] = "" if pd.isna(sizes[1]) or sizes[0] == sizes[1] else count(sizes[1])
        rows.append({**row, "MFLOP a slice": _number(mean.get("mflop_per_slice"))})
    told = pd.DataFrame(rows)
    told = told.loc[:, (told.fillna("") != "").any()]
    return Section("Cost", [], [Table(told, "Means over cells, as each ran", len(rows) > MOST_OPEN_ROWS)])


def _verdict(material: Material) -> list[str]:
    """Whether the audit lets one trust the numbers, and what it could not look for."""
    if not material.audit:
        return []
    severities = [finding["severity"] for finding in material.audit["findings"]]
    leaks, warnings = severities.count("leak"), severities.count("warning")
    unseen = [name for name, found in material.audit["near_duplicates"].items() if not found["songs"]]
    but = f", but near-duplicates of {', '.join(unseen)} were not looked for" if unseen else ""
    more = f"; {warnings} {'warning is' if warnings == 1 else 'warnings are'} under Audit" if warnings else ""
    if leaks:
        word = "1 leak" if leaks == 1 else f"{leaks} leaks"
        return [
            f"The audit found {word}: what was trained on is tested, too, so the scores are too high (see Audit){but}."
        ]
    return [f"The audit found no leak between the parts{but}{more}."]


def _audit(material: Material) -> Section:
    blocks, words = [], []
    if material.audit:
        near = material.audit["near_duplicates"]
        words = [
            *_verdict(material),
            *(f"Near-duplicates in {name}: {found['in_words']}." for name, found in near.items()),
        ]
        findings = pd.DataFrame(material.audit["findings"]).map(lambda v: "; ".join(v) if isinstance(v, list) else v)
        if len(findings):
            blocks.append(short(texts(findings), "Leaks, then warnings, then notes", len(findings) > MOST_OPEN_ROWS))
        for name, rows in material.audit["labels"].items():
            blocks.append(Table(texts(pd.DataFrame(rows), 1), f"Songs of {name} by label", True))
    rejected = material.noted["rejected"]
    if rejected:
        left_out = pd.DataFrame({"track": list(rejected), "reason": list(rejected.values())})
        blocks.append(Table(left_out, f"{len(rejected)} tracks left out", len(left_out) > MOST_OPEN_ROWS))
    return Section("Audit", words, blocks)


def _again(material: Material) -> Section:
    noted = material.noted
    rows = commands.of_rows(material.groups, noted)
    blocks = [Command("The whole experiment", commands.whole(noted))]
    blocks += [Command(label, row) for label, row in zip(material.labels, rows, strict=True) if row]
    words = (
        ["Each command below runs the cells of one row, and no others, into a folder of its own."] if any(rows) else []
    )
    return Section(
        "Do it again", words, [*blocks, *_environment(material), Command("The experiment's YAML", noted["yaml"])]
    )


def _environment(material: Material) -> list[Table]:
    told = dict(material.noted.get("environment", {}))
    rows = {**told.pop("packages", {}), **told}
    if not rows:
        return []
    frame = pd.DataFrame({"what": list(rows), "value": [str(value) for value in rows.values()]})
    return [Table(frame, "Where it ran", False)]


def _cells(material: Material) -> Section:
    table = material.tables["results"]
    kept = table[[name for name in table if not name.startswith(LEFT_IN_THE_FILE)]]
    caption = "What each cell was, its scores and seconds; results.csv has more"
    return Section("Every cell", [], [short(texts(kept), caption, len(kept) > 1)])


def _spoken(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with headings as they are spoken."""
    return frame.rename(columns=lambda name: name.replace("_", " "))


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else amount(value)
