"""The report: a page that needs no other file and is true, whatever was found; and commands that do it again."""

import base64
import io
import itertools
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from crnn_bench import answer, blocks, classes, commands, config, exporting, grouping, report
from crnn_bench.blocks import Command, Section, Table
from crnn_bench.cells import Cell, Experiment
from crnn_bench.cli import main
from crnn_bench.plugins import plain
from crnn_bench.records import Predictions
from crnn_bench.results import Result
from crnn_bench.wording import question

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
VOID = {"meta", "img", "br", "hr", "input", "link"}
NASTY = ('<b>bold</b> & "quoted"', "Müller_100% $x$ #1 {~^}", "plain | pipe", "back\\slash")


class Page(HTMLParser):
    """Every element with its attributes; refuses what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def checked(path: Path) -> Page:
    """A page that parses, needs nothing outside, and can be read without seeing it."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    for _, attributes in page.found:
        for name, value in attributes.items():
            if name.rpartition(":")[2] in ("src", "href", "srcset", "data", "action"):
                assert value is not None
                assert value.startswith(("data:", "#")), value[:80]
    assert "<script" not in text
    assert not re.search(r"url\((?!#)|@import|<link", text)
    assert all((image["alt"] or "").strip() for image in page.all("img"))
    assert all(drawing.get("aria-hidden") or drawing.get("aria-label") for drawing in page.all("svg"))
    assert all(drawing.get("role") for drawing in page.all("svg"))
    assert all(sound["aria-label"] and sound["preload"] == "none" for sound in page.all("audio"))
    names = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    targets = {link["href"] for link in page.all("a")}
    assert targets <= {f"#{name}" for name in names}
    return page


def made(
    names: Sequence[str], right: float, seed: int = 0, model: str = "CRNN", clip: float | None = 3.0, **more: Any
) -> Result:
    """A finished cell of two test songs a label, told rightly with the given share; validation likewise."""
    rng = np.random.default_rng([seed, len(model)])
    tables = []
    for part in ("validation", "test"):
        truth = np.repeat(np.arange(len(names)), 2)
        said = np.where(rng.random(len(truth)) < right, truth, rng.integers(0, len(names), len(truth)))
        shares = np.full((len(truth), len(names)), 0.4 / len(names))
        shares[np.arange(len(truth)), said] += 0.6
        about = {"part": part, "track_id": [f"{part} song {i}" for i in range(len(truth))], "start_seconds": 0.0}
        columns = {f"p_{label}": shares[:, index] for index, label in enumerate(names)}
        tables.append(pd.DataFrame({**about, "seconds": 3.0, "truth": np.array(names)[truth], **columns}))
    usual = {"split": "SongSplit", "model": model, "clip_seconds": clip, "split_seed": seed, "model_seed": seed}
    record = {"name": f"{model}-{clip}-{seed}", "dataset": "music", "n_folds": 1, "parameters": usual | more}
    record |= {"classes": list(names), "fit_seconds": 1.0, "predict_slices_per_second": 100.0}
    return Result(Predictions(pd.concat(tables, ignore_index=True), tuple(names)), record, None)


def folder(out: Path, *cells: Result, text: str = "# Is it so?\nname: made up\n") -> Path:
    for cell in cells:
        cell.save(out)
    report.begin(out, Experiment("made up", (), text, (), "made_up.yaml"), [cell.name for cell in cells], {})
    return out


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy experiment of baselines on both splits, run by the command."""
    place = tmp_path_factory.mktemp("ran")
    yaml = place / "small.yaml"
    yaml.write_text(
        '# Does <i>it</i> & "that" work?\n#\n# Second: yes.\nname: small\n'
        "dataset: {class_path: Toy, init_args: {n_artists: 3, n_albums: 3, n_songs: 2, seconds: 4}}\n"
        "model: MfccSVM\nclip_seconds: 1\n"
        "grid: {split: [SongSplit, AlbumSplit], seed: [0, 1]}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRNN_BENCH_CACHE", str(place / "cache"))
        assert main(["run", str(yaml), "--out", str(place / "out")]) == 0
    return place / "out"


# The page


def test_a_run_ends_in_a_page_with_the_question_first(ran: Path) -> None:
    page = checked(ran / "report.html")
    start = page.text.index('Does <i>it</i> & "that" work? Second: yes.')
    assert start < page.text.index("Answer") < page.text.index("SongSplit:")
    headings = [heading for heading in ("Scores", "Cost", "Do it again", "Every cell") if f"{heading} " in page.text]
    assert headings == ["Scores", "Cost", "Do it again", "Every cell"]
    assert "4 of 4 cells are finished" in page.text
    noted = json.loads((ran / "experiment.json").read_text())
    assert noted["environment"]["packages"]["numpy"] == np.__version__
    assert f"numpy {np.__version__}" in page.text


def test_the_hardest_songs_can_be_heard_and_seen(ran: Path, tmp_path: Path) -> None:
    """Toy songs are composed again, from what the records tell of the dataset."""
    page = checked(ran / "report.html")
    sounds = page.all("audio")
    wrong = pd.read_csv(ran / "hardest_songs.csv")["wrong"]
    assert len(sounds) == min(8, (wrong > 0).sum()) > 0
    for sound in sounds:
        content = base64.b64decode((sound["src"] or "").partition(",")[2])
        assert len(content) <= 60_000
        samples, rate = soundfile.read(io.BytesIO(content))
        assert samples.ndim == 1
        assert 3.9 <= len(samples) / rate <= 4.2  # the whole of a song of 4 s, and an MP3's padding
        assert 0.3 < np.abs(samples).max() <= 1
    pictures = [image for image in page.all("img") if "spectrogram" in (image["alt"] or "")]
    assert len(pictures) == len(sounds)


def test_clips_can_be_left_out(ran: Path, tmp_path: Path) -> None:
    out = shutil.copytree(ran, tmp_path / "out", ignore=shutil.ignore_patterns("mlflow.db", "artifacts"))
    assert main(["report", str(out), "--no-audio"]) == 0
    page = checked(out / "report.html")
    assert page.all("audio") == []
    assert "Hardest songs" in page.text
    assert "embedded" not in page.text


def test_songs_that_are_gone_are_told(tmp_path: Path) -> None:
    songs = {"track_id": [f"test song {i}" for i in range(4)], "album": [""] * 4, "title": ["t"] * 4}
    songs |= {"path": ["/nowhere/x.wav"] * 4, "seconds": [3.0] * 4}
    one = made(("a", "b"), 0.0, seed=3, dataset="Folder", **{"dataset.root": "/nowhere"})
    one.record["songs"] = songs
    page = checked_report(folder(tmp_path, one))
    assert page.all("audio") == []
    assert re.search(r"\d of \d songs have no clip: /nowhere/x.wav: No such file", page.text)


def checked_report(out: Path) -> Page:
    report.write(out)
    return checked(out / "report.html")


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    cells = [made(NASTY, 0.5, seed, model) for seed in (0, 1) for model in ("CRNN", "mine.<Model>")]
    out = folder(tmp_path, *cells)
    page = checked_report(out)
    for name in (*NASTY, "mine.<Model>"):
        assert name in page.text
    assert not {"b", "model"} & {tag for tag, _ in page.found}
    tex = (out / "tables" / "per_class.tex").read_text()
    assert r"Müller\_100\% \$x\$ \#1 \{\textasciitilde{}\textasciicircum{}\}" in tex
    assert r"<b>bold</b> \& " in tex
    assert r"back\textbackslash{}slash" in tex
    text = (out / "report.md").read_text(encoding="utf-8")
    assert r"plain \| pipe" in text
    assert "<b>" not in text


def test_four_and_twenty_labels(tmp_path: Path) -> None:
    names = [f"artist number {index}" for index in range(24)]
    page = checked_report(folder(tmp_path, made(names, 0.6), made(names, 0.3, model="RNN")))
    assert all(name in page.text or any(name in (i["alt"] or "") for i in page.all("img")) for name in names)
    assert "Confusion matrix of" in " ".join(str(d.get("aria-label") or d.get("alt")) for _, d in page.found)


@pytest.mark.parametrize(
    "cells",
    [
        [made(("a", "b", "c"), 0.9)],
        [made(("a", "b", "c"), 0.9, clip=None)],
        [made(("a", "b"), 1.0, seed) for seed in (0, 1, 2)],
        [made(("a", "b"), 0.5, 0, f"Model{n}", clip=None) for n in range(22)],
    ],
    ids=["one", "whole songs", "all right", "many models"],
)
def test_any_experiment_has_a_page(cells: list[Result], tmp_path: Path) -> None:
    out = folder(tmp_path, *cells)
    page = checked_report(out)
    assert "Answer" in page.text
    assert "nan" not in re.findall(r"\w+", page.text.lower())
    for name in ("scores.csv", "summary.csv", "report.md", "tables/scores.tex", "figures/scores.png"):
        assert (out / name).stat().st_size > 0
    links = re.findall(r"\]\((figures/[^)]+)\)", (out / "report.md").read_text())
    assert links
    assert all((out / link).is_file() for link in links)


def test_an_older_folder_still_has_a_page(tmp_path: Path) -> None:
    """Without where its songs are, its environment, and the command it began with."""
    out = folder(tmp_path, made(("a", "b"), 0.5))
    noted = json.loads((out / "experiment.json").read_text())
    for name in ("command", "environment"):
        del noted[name]
    (out / "experiment.json").write_text(json.dumps(noted))
    page = checked_report(out)
    assert "crnn-bench run EXPERIMENT.yaml" in page.text


def test_the_audit_s_verdict_is_part_of_the_answer(tmp_path: Path) -> None:
    out = folder(tmp_path, made(("a", "b"), 0.5))
    assert "audit" not in checked_report(out).text.lower()
    near = {"music": {"songs": 0, "in_words": "not looked for"}}
    clean: dict[str, Any] = {"findings": [], "labels": {"music": [{"label": "a", "songs": 2}]}, "near_duplicates": near}
    leak = {"kind": "near-duplicate", "severity": "leak", "dataset": "music", "tracks": ["x", "y"], "labels": ["a"]}
    (out / "audit.json").write_text(json.dumps(clean))
    page = checked_report(out)
    assert "found no leak between the parts, but near-duplicates of music were not looked for" in page.text
    near["music"] = {"songs": 8, "in_words": "songs that share"}
    (out / "audit.json").write_text(json.dumps({**clean, "findings": [{**leak, "detail": "the same <song>"}]}))
    page = checked_report(out)
    assert "The audit found 1 leak: what was trained on is tested, too" in page.text
    assert "Near-duplicates in music: songs that share" in page.text
    assert "the same <song>" in page.text


# What it says


def told(*cells: Result, **tables: pd.DataFrame) -> str:
    groups = grouping.groups(cells)
    return " ".join(answer.sentences(answer.candidates(groups, classes.scores(groups)), tables))


def judged(validation: list[int], test: list[int], model: str) -> Result:
    """A cell whose songs of labels a, b are taken for these classes."""
    rows = []
    for part, said in (("validation", validation), ("test", test)):
        for number, label in enumerate(said):
            row = {"part": part, "track_id": f"{part}{number}", "start_seconds": 0.0, "seconds": 3.0}
            rows.append({**row, "truth": "ab"[number % 2], "p_a": 0.9 - 0.8 * label, "p_b": 0.1 + 0.8 * label})
    return Result(Predictions(pd.DataFrame(rows), ("a", "b")), made(("a", "b"), 1, 0, model).record, None)


RIGHT, HALF = [0, 1] * 4, [0, 1, 1, 0] * 2


def test_the_best_is_chosen_by_validation_and_never_by_the_test() -> None:
    text = told(judged(RIGHT, HALF, "Steady"), judged(HALF, RIGHT, "Lucky"))
    assert text.startswith(
        "SongSplit: Steady is the best by its validation songs (1.000); on 8 test songs it scores 0.5"
    )
    assert "Lucky is higher on the test (1.000), which nobody could know beforehand" in text
    assert "Guessing by the labels' shares would give 0.500, which the interval does not lie above" in text


def test_level_candidates_are_both_named() -> None:
    text = told(judged(RIGHT, RIGHT, "One"), judged(RIGHT, HALF, "Two"), judged(HALF, HALF, "Three"))
    assert "One and Two are level on the validation songs (1.000); on 8 test songs they score 1.000" in text


def test_a_single_model_is_not_called_the_best() -> None:
    text = told(judged(HALF, RIGHT, "Alone"))
    assert "Alone is the only classifier" in text
    assert "best" not in text


def compared(**rows: Any) -> pd.DataFrame:
    usual: dict[str, Any] = {"dataset": "music", "split": "SongSplit", "level": "song", "a": "A", "b": "B"}
    usual |= {"difference": -0.25, "low": -0.4, "high": -0.1, "p": 0.01, "p_holm": 0.03, "songs": 40}
    return pd.DataFrame([usual | {"only_a": 2.0, "only_b": 12.0} | rows])


def test_significant_differences_name_the_better_one_and_the_songs() -> None:
    two = pd.concat([compared(), compared(a="C", p=0.6, p_holm=0.6)])
    text = told(judged(RIGHT, RIGHT, "One"), comparisons=two)
    assert "1 of 2 comparisons of classifiers is significant after Holm's correction: B above A by 0.250" in text
    assert "[0.10–0.40] (p 0.03; 12 songs that it alone has right against 2)" in text


def test_a_significant_difference_whose_interval_holds_none_is_called_unsure() -> None:
    """The p-value is about these trainings, the interval about others, too."""
    words = "yet the interval holds 0"
    assert words in told(judged(RIGHT, RIGHT, "One"), comparisons=compared(low=-0.5, high=0.05))
    assert words not in told(judged(RIGHT, RIGHT, "One"), comparisons=compared())


def test_comparisons_of_several_datasets_tell_which() -> None:
    text = told(judged(RIGHT, RIGHT, "One"), comparisons=pd.concat([compared(), compared(dataset="noise", p_holm=0.5)]))
    assert "music, SongSplit: the one comparison" in text or "music, SongSplit: 1 of" in text
    assert "noise, SongSplit: the one comparison of classifiers is not significant" in text


def test_what_is_not_significant_is_said_so() -> None:
    text = told(judged(RIGHT, RIGHT, "One"), comparisons=compared(p=0.4, p_holm=0.4))
    assert "the one comparison of classifiers is not significant" in text
    assert "nor ruled out" in text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.5, "drops"), (-0.1, 0.5, "no effect is shown"), (-0.5, -0.1, "higher"), (np.nan, np.nan, "too few")],
)
def test_the_album_effect_in_words(low: float, high: float, verdict: str) -> None:
    row = {"model": "CRNN", "clip": "3 s", "level": "song", "artist": "", "kept_together": "album"}
    row |= {"song_split": 0.8, "album_split": 0.5, "effect": (low + high) / 2, "low": low, "high": high}
    assert verdict in told(judged(RIGHT, RIGHT, "CRNN"), album_effect=pd.DataFrame([row]))


def test_a_question_is_the_comment_at_the_top() -> None:
    assert question("# Is it?\n# It is.\n\n# So.\nname: x  # no\n# nor this\n") == "Is it? It is. So."
    assert question("name: x\n# not this\n") == ""


# Tables in words


def test_numbers_and_their_bounds_are_one_column() -> None:
    frame = pd.DataFrame({"model": ["b", "c"], "f1": [0.5, 1.0], "f1_low": [0.25, np.nan], "f1_high": [0.75, np.nan]})
    frame = frame.assign(effect=[-0.1, 0.2], low=[-0.2, 0.1], high=[0.05, 0.3], p_holm=[0.5, None], nothing=np.nan)
    shown = blocks.texts(frame)
    assert list(shown) == ["model", "f1", "effect", "p holm"]
    assert shown["f1"].tolist() == ["0.500 [0.25–0.75]", "1.000"]
    assert shown["effect"].tolist() == ["−0.100 [−0.20, 0.05]", "0.200 [0.10–0.30]"]
    assert shown["p holm"].tolist() == ["0.500", ""]


def test_latex_is_a_whole_table() -> None:
    text = exporting.latex(pd.DataFrame({"a_b": ["x & y"], "f1": [0.5]}), "Cap 100%", "label")
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert r"\begin{tabular}{lr}" in text
    assert "a b & f1 \\\\" in text
    assert "x \\& y & 0.500 \\\\" in text
    assert r"\caption{Cap 100\%}" in text


def test_markdown_tables_have_as_many_cells_in_each_row() -> None:
    section = Section("Head", ["a*b"], [Table(pd.DataFrame({"x|y": ["1|2"], "z": ["3"]}), "cap"), Command("do", "ls")])
    lines = [line for line in section.markdown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert r"a\*b" in section.markdown
    assert "```sh\nls\n```" in section.markdown


# Commands


def recorded(cell: Cell) -> Result:
    """What a run of a cell would tell of its parameters, once stored and loaded."""
    record = {"dataset": "music", "parameters": plain(cell.parameters), "n_folds": 1}
    empty = Predictions(pd.DataFrame({"part": [], "p_a": []}), ("a",))
    return Result(empty, json.loads(json.dumps(record)), None)


def described(cells: Sequence[Cell]) -> list[str]:
    return sorted(json.dumps(plain(cell.describe()), sort_keys=True) for cell in cells)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("demo", ()),
        ("game_music", ("grid.seed=[0]", "trainer.max_epochs=2")),
        ("game_music_classical", ("features=Mfcc",)),
        ("game_music_song_folds", ("trainer.patience=2",)),
        ("paper_quirks", ()),
        ("recurrence_ablation", ()),
        ("schedule_ablation", ("trainer.learning_rate=1e-4",)),
        ("toy_album_effect", ()),
        ("toy_clip_length", ("dataset.seconds=40",)),
        ("artist20_paper_preset", ()),
        ("fma_small_networks", ("dataset.root=o'neil's \"data\"",)),
        ("transfer_source", ()),
    ],
)
def test_a_row_s_command_gives_its_cells_and_no_others(name: str, overrides: tuple[str, ...]) -> None:
    path = EXPERIMENTS / f"{name}.yaml"
    work = config.load(path, overrides)
    results = [recorded(cell) for cell in work.cells]
    of_result = dict(zip(map(id, results), work.cells, strict=True))
    groups = grouping.groups(results)
    noted = {"name": work.name, "yaml": work.text, "set": list(overrides), "command": commands.beginning(str(path))}
    rows = commands.of_rows(groups, noted)
    for group, row in zip(groups, rows, strict=True):
        words = shlex.split(row)
        assert words[:2] == (["crnn-bench", "demo"] if name == "demo" else ["crnn-bench", "run"])
        again = config.load(path, [word for flag, word in itertools.pairwise(words) if flag == "--set"])
        assert described(again.cells) == described([of_result[id(cell)] for cell in group.cells])
    assert len(set(rows)) == len(groups)


def test_commands_of_another_time_are_left_out() -> None:
    work = config.load(EXPERIMENTS / "demo.yaml")
    groups = grouping.groups([recorded(cell) for cell in work.cells])
    noted = {"name": "demo", "set": [], "command": "crnn-bench demo"}
    assert commands.of_rows(groups, {**noted, "yaml": work.text.replace("CRNN", "Gone")}) == [""] * 4
    assert commands.of_rows(groups, {**noted, "yaml": work.text.replace("seconds: 20", "seconds: 21")}) == [""] * 4


def test_a_row_s_command_is_what_a_shell_runs(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same predictions, from the words of the page."""
    monkeypatch.chdir(tmp_path)
    page = checked(ran / "report.html")
    assert page.all("pre")
    rows = [text for text in page.texts if text.startswith("crnn-bench run") and "-row" in text]
    assert len(rows) == 2
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {rows[1]}"], capture_output=True, text=True, check=True)
    assert main(words.stdout.split("\0")[1:-1]) == 0
    again = report.stored(Path("runs/small-row2"))
    first = {cell.name: cell for cell in report.stored(ran)}
    assert len(again) == 2
    for cell in again:
        pd.testing.assert_frame_equal(cell.predictions.table, first[cell.name].predictions.table)
