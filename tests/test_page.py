"""The web page of a toy experiment in a real browser: what a visitor does, sees, hears and is told."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from crnn_bench.app.limits import LARGEST_BYTES
from tests.conftest import CHROMIUM, RATE, tones
from tests.serving import Served, served, toy_place

SHOWS_WITHIN_MILLISECONDS = 60_000  # on a loaded machine; a quiet one takes a second or two
MODELS = 3
WATCH = """() => {
  const play = HTMLMediaElement.prototype.play
  HTMLMediaElement.prototype.play = function () { window.player = this; return play.call(this) }
}"""  # the player is in a shadow tree
SONG = ("Birch", "Birch 0", "song 1.wav")

__all__ = ["served", "toy_place"]  # fixtures
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium here; apt-get install chromium"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Playwright's own, as it closes
]


@pytest.fixture
def said() -> list[str]:
    """Errors of the page's console, and requests to other hosts."""
    return []


@pytest.fixture
def page(browser: Any, served: Served, said: list[str]) -> Iterator[Any]:
    """The page, as a new visitor sees it."""
    tab = opened(browser, served, said)
    yield tab
    tab.context.close()


def opened(browser: Any, served: Served, said: list[str], **options: Any) -> Any:
    tab = browser.new_context(**options).new_page()
    tab.set_default_timeout(SHOWS_WITHIN_MILLISECONDS)
    tab.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    inside = re.compile(f"{re.escape(served.url)}/|data:|blob:{re.escape(served.url)}/")
    tab.on("request", lambda request: None if inside.match(request.url) else said.append(request.url))
    tab.goto(served.url)
    tab.get_by_role("tab", name="Who is it?").wait_for()
    return tab


def give(page: Any, path: Path) -> None:
    page.locator("#song input[type=file]").set_input_files(path)


def verdict(page: Any) -> str:
    """The answer, when it is there."""
    page.locator("#answer .verdict").wait_for()
    return str(page.locator("#answer .verdict").inner_text())


def choose(page: Any, label: str, option: str | re.Pattern[str]) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option).first.click()


def overflows(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def test_an_uploaded_song_gets_answer_table_and_picture_and_nothing_is_asked_elsewhere(
    page: Any, music: Path, said: list[str]
) -> None:
    give(page, music.joinpath(*SONG))
    assert verdict(page).split()[0] in ("Alder", "Birch", "Cedar", "Dogwood", "Not")
    assert "weighted F1 of" in page.locator("#answer .trust").inner_text()
    shares = [text.split()[0] for text in page.locator("#answer .bars .value").all_inner_texts()]
    assert sum(map(float, shares)) == pytest.approx(100, abs=2)
    page.locator("#picture img").wait_for()
    rows = page.locator("#features tbody tr").all_inner_texts()
    assert len(rows) == 29
    assert any(row.startswith("Tempo") for row in rows)
    assert page.locator("#picture img").evaluate("picture => picture.naturalWidth") > 300
    assert page.locator("#picture img").get_attribute("alt").startswith("Spectrogram of song 1")
    page.locator("#similar audio").first.evaluate("player => player.play()")
    page.wait_for_function("document.querySelector('#similar audio').currentTime > 0.2")
    assert said == []


def test_the_song_plays_and_pauses(page: Any, music: Path) -> None:
    page.evaluate(WATCH)
    give(page, music.joinpath(*SONG))
    page.locator("#song").get_by_text("0:04").wait_for()
    page.locator("#song").get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("window.player && window.player.currentTime > 0.2")
    page.locator("#song").get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_function("window.player.paused")


def test_each_model_answers_and_all_are_compared(page: Any, served: Served, music: Path, said: list[str]) -> None:
    give(page, music.joinpath(*SONG))
    verdict(page)
    answers = {}
    titles = [model["title"] for model in page.request.get(f"{served.url}/api/models").json()]
    assert len(titles) == MODELS
    for title in titles:
        choose(page, "Model", title)
        page.locator("#answer .trust", has_text=title).wait_for()
        answers[title] = page.locator("#answer .chosen .value").inner_text()
    choose(page, "Model", "Compare all models")
    page.locator("#course table").wait_for()
    for title in titles:
        row = page.locator("#course tbody tr", has_text=title)
        assert answers[title] in row.inner_text()
    assert re.fullmatch(rf"\d of {MODELS} models say \w+|Not like anything .*", verdict(page))
    assert said == []


def test_an_example_is_heard(page: Any) -> None:
    choose(page, "Or an example", re.compile("composed by this program"))
    verdict(page)
    page.locator("#course .strip").first.wait_for()
    page.locator("#picture img").wait_for()


def test_the_same_example_can_be_heard_again(page: Any) -> None:
    for _ in range(2):
        choose(page, "Or an example", re.compile("composed by this program"))
        verdict(page)
        page.locator("#song").get_by_role("button", name="Clear").click()
        page.locator("#answer .verdict").wait_for(state="detached")


def test_a_corrupt_file_is_refused_in_words_and_the_next_one_is_heard(page: Any, music: Path, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.mp3"
    corrupt.write_bytes(b"this is no music " * 999)
    give(page, corrupt)
    refused = page.get_by_role("alert").filter(has_text="no audio in it")
    refused.wait_for()
    page.locator("#song").get_by_role("button", name="Clear").click()
    give(page, music.joinpath(*SONG))
    verdict(page)
    assert refused.count() == 0


def test_a_song_that_takes_the_place_of_another_gets_its_own_answer(page: Any, music: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"  # is still being measured when the next one comes
    soundfile.write(long, np.tile(tones(0, 0, 9), 60), RATE)
    give(page, long)
    verdict(page)
    assert page.locator("#course .axis").inner_text().endswith("4:00")
    page.locator("#song").get_by_role("button", name="Clear").click()
    give(page, music.joinpath(*SONG))
    page.locator("#picture img[alt*='song 1']").wait_for()
    page.locator("#answer .verdict").wait_for()
    assert page.locator("#picture img[alt*='long']").count() == 0
    assert page.locator("#course .axis").inner_text().endswith("0:03")  # the last whole slice's end


def test_a_song_that_is_not_kept_any_more_is_asked_for_again(page: Any, served: Served, music: Path) -> None:
    give(page, music.joinpath(*SONG))
    page.locator("#picture img").wait_for()
    for path in served.temporary.glob("*/page/*/song 1.wav"):
        path.unlink()
    choose(page, "Model", "Compare all models")
    page.get_by_role("alert").filter(has_text="song 1.wav is not kept any more").wait_for()


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(page: Any, served: Served, tmp_path: Path) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    with (tmp_path / "large.wav").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    give(page, tmp_path / "large.wav")
    page.get_by_role("alert").filter(has_text="large.wav is larger than 200 MB").wait_for()
    assert not [url for url in sent if "/upload" in url]


def test_two_visitors_at_once_get_their_own_answers(browser: Any, served: Served, music: Path) -> None:
    visitors = [opened(browser, served, []) for _ in range(2)]
    songs = [music / artist / f"{artist} 0" / "song 0.wav" for artist in ("Alder", "Cedar")]
    alone = []
    for song in songs:
        give(visitors[0], song)
        visitors[0].locator("#picture img[alt*='song 0']").wait_for()
        alone.append(visitors[0].locator("#answer .bars").inner_text())
        visitors[0].locator("#song").get_by_role("button", name="Clear").click()
        visitors[0].locator("#answer .verdict").wait_for(state="detached")
    for visitor, song in zip(visitors, songs, strict=True):
        give(visitor, song)
    for visitor in visitors:
        verdict(visitor)
    assert [visitor.locator("#answer .bars").inner_text() for visitor in visitors] == alone
    assert alone[0] != alone[1]
    for visitor in visitors:
        visitor.context.close()


def test_a_playlist_is_made_heard_and_saved(page: Any, said: list[str], music: Path, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Playlists").click()
    choose(page, "Songs to begin with", re.compile("Birch"))
    page.keyboard.press("Escape")
    page.locator("#files input[type=file]").set_input_files(music / "Cedar" / "Cedar 1" / "song 2.wav")
    page.locator("#files").get_by_text("song 2").wait_for()
    page.get_by_role("spinbutton", name="How many songs").fill("7")
    page.get_by_role("button", name="Make the list").click()
    page.locator("#list li").first.wait_for()
    assert page.locator("#list li").count() == 7
    page.locator("#list audio").first.evaluate("player => player.play()")
    page.wait_for_function("document.querySelector('#list audio').currentTime > 0.2")
    for ending in ("m3u8", "json"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Save as {ending.upper()}").click()
        download.value.save_as(tmp_path / f"list.{ending}")
    lines = (tmp_path / "list.m3u8").read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    told = json.loads((tmp_path / "list.json").read_text())["songs"]
    assert len(told) == len({song["track_id"] for song in told}) == 7
    assert [line for line in lines if not line.startswith("#")] == [song["path"] for song in told]
    assert page.request.get(told[0]["path"]).body() == (music / told[0]["track_id"]).read_bytes()
    assert said == []


def test_a_list_without_seeds_is_refused_in_words(page: Any) -> None:
    page.get_by_role("tab", name="Playlists").click()
    page.get_by_role("button", name="Make the list").click()
    page.get_by_role("alert").filter(has_text="needs a song to begin with").wait_for()


def test_the_keyboard_suffices(page: Any, said: list[str]) -> None:
    questions: list[str] = []
    page.on("request", lambda request: questions.append(request.url) if "/queue/join" in request.url else None)
    reach(page, "Or an example")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    verdict(page)
    page.locator("#picture img").wait_for()
    reach(page, "Model")
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.locator("#picture img").wait_for()
    reach(page, "Play")
    page.keyboard.press("Enter")
    page.locator("#song").get_by_role("button", name="Pause", exact=True).wait_for()
    asked = len(questions)
    reach(page, "Playlists")  # past the fields of example and model, which ask nothing again
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Make the list").wait_for()
    assert len(questions) == asked
    assert said == []


def reach(page: Any, name: str) -> None:
    """Moves by the tabulator to what has a name."""
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate("(e => e.getAttribute('aria-label') || e.innerText || '')(document.activeElement)")
        if focused.strip() == name:
            return
    pytest.fail(f"the tabulator never comes to {name}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(
    browser: Any, served: Served, said: list[str], scheme: str
) -> None:
    phone = opened(browser, served, said, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    choose(phone, "Or an example", re.compile("composed by this program"))
    phone.locator("#picture img").wait_for()
    assert not overflows(phone)
    choose(phone, "Model", "Compare all models")
    phone.locator("#course table").wait_for()
    assert not overflows(phone)
    phone.get_by_role("tab", name="Playlists").click()
    phone.get_by_role("button", name="Make the list").wait_for()
    assert not overflows(phone)
    text, ground = (phone.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    light, dark = (text, ground) if scheme == "dark" else (ground, text)
    assert brightness(light) > 200 > 60 > brightness(dark)
    assert said == []
    phone.context.close()


def brightness(colour: str) -> float:
    """Of `rgb(…)`, 0 to 255."""
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_titles_of_songs_are_text_and_never_code() -> None:
    from crnn_bench.app import page_views

    hostile = {"track_id": "x", "title": "<img src=x onerror=alert(1)> ${alert(1)} {{value}}", "artist": '"><b>'}
    html = page_views.song(hostile, "reason", 'x" onplay="alert(1)')
    assert "<img" not in html
    assert "<b>" not in html
    assert 'onplay="' not in html
    assert not re.search(r"[${}]", html)


def test_an_unfamiliar_song_is_called_so_before_any_label() -> None:
    from crnn_bench.app import page_views

    known = {"title": "KNN", "label": "Alder", "probabilities": {"Alder": 0.9, "Birch": 0.1}, "score": None}
    stranger = {**known, "familiar": {"known": False, "distance": 3.0, "threshold": 2.0}}
    html = page_views.answer(stranger, None)
    assert html.index("Not like anything that I know") < html.index("Alder")
    assert "Not like anything" not in page_views.answer({**known, "familiar": None}, None)
    assert "1 of 2 models say Alder" in page_views.agreement([stranger, {**known, "familiar": None}], None)
    assert "is not heard" in page_views.agreement([stranger], "It is not heard by all.")
