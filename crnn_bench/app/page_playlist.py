"""The tab that makes playlists: songs that go with some that a visitor picks or gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio

from crnn_bench.app import page_views as views
from crnn_bench.app.page_hearing import ENDINGS, PROGRESS, Hearing, refuse, telling
from crnn_bench.errors import BenchError

MOST_PICKED = 2000  # songs of the library that can be picked; a browser would be slow with more
MOST_SEEDS = 10
LENGTHS = (5, 50)
NOTHING_YET = "<p class='about'>Pick a song or give one, and the list stands here.</p>"


@dataclass(frozen=True)
class Mixer:
    """The tab's answer to what a visitor wants."""

    hearing: Hearing
    address: str

    def mix(
        self,
        files: list[str] | None,
        numbers: list[int],
        length: int,
        variety: float,
        request: gradio.Request,
        progress: gradio.Progress = PROGRESS,
    ) -> tuple[str, str]:
        """What is read out, and the list or what is wrong, as HTML."""
        try:
            for path in files or []:
                refuse(path)
            if not files and not numbers:
                raise BenchError("a list needs a song to begin with; pick one, or give one of yours")
            if len(files or []) + len(numbers) > MOST_SEEDS:
                raise BenchError(f"{MOST_SEEDS} songs to begin with are enough; take some away")
            assert request.request is not None  # it is a visitor's
            places = f"{request.request.base_url}{self.address}"
            wanted = (files or [], numbers, int(length), float(variety), places)
            answer = self.hearing.ask("playlist", *wanted, tell=telling(progress))
        except BenchError as error:
            return "", views.fault(str(error))
        return views.status(f"A list of {len(answer['songs'])} songs."), views.playlist(answer, self.address)


def build(mixer: Mixer, songs: Sequence[Mapping[str, Any]]) -> None:
    """Puts the tab's contents where they are wanted.

    Args:
        mixer: answers.
        songs: of the library; `number, title, artist` each.
    """
    choices = [(_named(song), song["number"]) for song in songs[:MOST_PICKED]]
    few = len(songs) > MOST_PICKED
    about = f"the first {MOST_PICKED:,} of {len(songs):,} can be picked; give others as files" if few else None
    with gradio.Row():
        with gradio.Column():
            numbers = gradio.Dropdown(
                choices, value=[], multiselect=True, label="Songs to begin with", info=about, elem_id="seeds"
            )
            files = gradio.File(
                label=f"Or songs of yours ({', '.join(ENDINGS)})",
                file_count="multiple",
                file_types=list(ENDINGS),
                height=170,
                elem_id="files",
            )
        with gradio.Column():
            length = gradio.Slider(*LENGTHS, value=20, step=1, label="How many songs", elem_id="length")
            variety = gradio.Slider(
                0, 1, value=0.3, step=0.05, label="Variety", info="0: the closest songs; 1: the most different ones"
            )
            button = gradio.Button("Make the list", variant="primary", elem_id="mix")
    status = gradio.HTML(elem_id="mixed-status")
    made = gradio.HTML(NOTHING_YET, elem_id="list")
    wanted = [files, numbers, length, variety]
    button.click(mixer.mix, wanted, [status, made], show_progress_on=made, api_visibility="private")


def _named(song: Mapping[str, Any]) -> str:
    return " – ".join(part for part in (song["artist"], song["title"] or song["track_id"]) if part)
