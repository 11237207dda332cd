"""The tab that hears a song: whose it is by one model or by all, how sure that is, and what the song is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio

from crnn_bench.app import page_views as views
from crnn_bench.app.examples import Example
from crnn_bench.app.page_hearing import ENDINGS, PROGRESS, Hearing, Model, refuse, telling
from crnn_bench.audio import UnusableAudioError
from crnn_bench.errors import BenchError

ALL = "all"  # the choice to compare the models
NOTHING_YET = "<p class='about'>Give it a song, and the answer stands here.</p>"


@dataclass(frozen=True)
class Listener:
    """The tab's answers to what a visitor does; each returns the HTML of some places of the page."""

    models: Sequence[Model]
    hearing: Hearing
    address: str

    def start(self, path: str | None) -> tuple[str, ...]:
        """Empties what was said of another song: status, answer, course, similar songs, features, picture."""
        if path is None:
            return "", NOTHING_YET, "", "", "", ""
        return views.status(f"Listening to {_name(path)} …"), "", "", "", "", ""

    def answer(self, path: str | None, key: str, progress: gradio.Progress = PROGRESS) -> tuple[str, ...]:
        """Status, answer or what is wrong, course, similar songs."""
        if path is None:
            return "", NOTHING_YET, "", ""
        keys = [model.key for model in self.models] if key == ALL else [key]
        try:
            refuse(path)
            heard = self.hearing.ask("analyse", path, keys, tell=telling(progress))
        except BenchError as error:
            return "", views.fault(str(error)), "", ""
        if key == ALL:
            done, answers = views.status("All models have answered."), heard["models"]
            return done, views.agreement(answers, heard["remark"]), views.comparison(answers), ""
        (model,) = heard["models"]
        said = "Not like anything that the model knows." if views.is_unknown(model) else f"It says: {model['label']}."
        similar = views.similar(model, self.address)
        return views.status(said), views.answer(model, heard["remark"]), views.timeline(model), similar

    def measure(self, path: str | None, progress: gradio.Progress = PROGRESS) -> tuple[str, str]:
        """Features or why there are none, and picture; nothing where the answer has said already what is wrong."""
        if path is None:
            return "", ""
        try:
            refuse(path)
            rows = self.hearing.ask("features", path, tell=telling(progress))
            picture = self.hearing.ask("spectrogram", path)
        except UnusableAudioError:
            return "", ""
        except BenchError as error:
            return views.fault(str(error)), ""
        return views.features(rows), views.spectrogram(picture, _name(path))


def build(listener: Listener, examples: Sequence[Example]) -> None:
    """Puts the tab's contents where they are wanted."""
    with gradio.Row():
        with gradio.Column():
            song = gradio.Audio(
                label=f"Your song ({', '.join(ENDINGS)})",
                sources=["upload"],
                type="filepath",
                editable=False,
                buttons=[],
                waveform_options={"waveform_color": "#7c8db0", "waveform_progress_color": "#3b82f6"},
                elem_id="song",
            )
            gradio.HTML('<p class="about">Up to 200 MB and two hours.</p>')
            example = gradio.Dropdown(
                [(one.title, index) for index, one in enumerate(examples)],
                value=None,
                label="Or an example",
                elem_id="example",
            )
            choices = [(one.title, one.key) for one in listener.models]
            model = gradio.Dropdown(
                [*choices, ("Compare all models", ALL)], value=choices[0][1], label="Model", elem_id="model"
            )
        with gradio.Column():
            said = gradio.HTML(NOTHING_YET, elem_id="answer")
    course, similar = gradio.HTML(elem_id="course"), gradio.HTML(elem_id="similar")
    with gradio.Row():
        with gradio.Column():
            features = gradio.HTML(elem_id="features")
        with gradio.Column():
            picture = gradio.HTML(elem_id="picture")
    status = gradio.HTML(elem_id="status")
    answers = [status, said, course, similar]
    hidden: Mapping[str, Any] = {"api_visibility": "private"}
    song.change(listener.start, song, [*answers, features, picture], **hidden)
    last = {"trigger_mode": "always_last", **hidden}  # what is chosen while something else is answered is not lost
    asked = gradio.on(
        [song.change, model.change], listener.answer, [song, model], answers, show_progress_on=said, **last
    )
    measured = song.change(listener.measure, song, [features, picture], show_progress_on=features, **last)
    over = {"cancels": [asked, measured], **hidden}  # answers to the song before are not shown beside the next one
    song.clear(lambda: None, None, example, **over)
    song.upload(lambda: None, None, example, **hidden)
    # `example.input` comes also where the field is only passed by. `example.change` comes also where an upload empties
    # it, and then must not end the answer to that upload; so it counts what was picked, and the count gives the song.
    n_picked = gradio.State(0)
    example.change(lambda index, n: n + (index is not None), [example, n_picked], n_picked, **last)
    n_picked.change(lambda index: _given(examples, index), example, song, trigger_mode="always_last", **over)


def _given(examples: Sequence[Example], index: int | None) -> Any:
    """The example that was picked; the song stays where an upload has emptied the field meanwhile."""
    return gradio.skip() if index is None else str(examples[index].path)


def _name(path: str) -> str:
    return Path(path).name
