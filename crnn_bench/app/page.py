"""The web page of an experiment: whose song is it, and what to hear next."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio

from crnn_bench.app import page_listen, page_playlist
from crnn_bench.app.examples import Example
from crnn_bench.app.page_hearing import Hearing, Model
from crnn_bench.app.page_listen import Listener
from crnn_bench.app.page_look import look as look
from crnn_bench.app.page_playlist import Mixer
from crnn_bench.app.page_views import escaped

SONG = "api/songs/{key}/{number}"
LIBRARY = "api/library/{number}"


def build(
    name: str,
    question: str,
    models: Sequence[Model],
    hearing: Hearing,
    examples: Sequence[Example],
    library: Sequence[Mapping[str, Any]],
    n_at_once: int,
    n_waiting: int,
) -> gradio.Blocks:
    """Builds the page; `gradio.mount_gradio_app(…, **look())` mounts it.

    Args:
        name: the experiment's; its underscores are shown as spaces.
        question: what it asks, in a sentence or two; may be empty.
        models: those to choose among, the best first.
        hearing: does the work.
        examples: songs that come with the page.
        library: songs that playlists may begin with; `number, title, artist, track_id` each.
        n_at_once: visitors that are served at a time.
        n_waiting: visitors that may wait.
    """
    listener, mixer = Listener(models, hearing, SONG), Mixer(hearing, LIBRARY)
    name = name.replace("_", " ")
    blocks = gradio.Blocks(title=name, analytics_enabled=False)
    with blocks:
        gradio.HTML(_head(name, question), elem_classes="intro")
        with gradio.Tabs():
            with gradio.Tab("Who is it?"):
                page_listen.build(listener, examples)
            with gradio.Tab("Playlists"):
                page_playlist.build(mixer, library)
        gradio.HTML('<p class="about"><a href="docs">The same over HTTP</a></p>')
    blocks.queue(max_size=n_waiting, default_concurrency_limit=n_at_once, api_open=False)
    return blocks


def _head(name: str, question: str) -> str:
    asked = f"<p>{escaped(question)}</p>" if question else ""
    return f'<h1>{escaped(name)}</h1>{asked}<div id="too-large" role="alert"></div>'
