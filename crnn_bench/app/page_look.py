"""How the page looks: the system's own fonts, light and dark, from a phone's width on; nothing from another host."""

from typing import Any

import gradio
from gradio.themes.utils import fonts

from crnn_bench.app.limits import LARGEST_BYTES

SANS = [fonts.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")]
MONO = [fonts.Font(name) for name in ("ui-monospace", "Consolas", "monospace")]
CSS = """
.gradio-container { width: 100%; max-width: 1100px !important; margin: 0 auto !important; }
.gradio-container main { padding-inline: clamp(.4rem, 2vw, 2rem) !important; }
.gradio-container h1 { font-size: 1.7rem; line-height: 1.25; margin: .2em 0; overflow-wrap: anywhere; }
.gradio-container h2, .gradio-container h3 { font-size: 1.1rem; margin: .8em 0 .3em; }
.column { min-width: min(320px, 100%) !important; }
.controls button, .timestamps time { color: var(--body-text-color-subdued) !important; }
.secondary-wrap input { text-overflow: ellipsis; padding-right: 1.8em !important; }
.intro p { color: var(--body-text-color-subdued); max-width: 75ch; }
.verdict { font-size: 1.35rem; font-weight: 600; margin: .1em 0 .4em; overflow-wrap: anywhere; }
.verdict.unknown, tr.unknown td, tr.unknown th { color: var(--warn); }
.verdict .label { margin-right: .5em; }
.fault { border: 2px solid var(--warn); border-radius: 6px; }
.fault { padding: .7em 1em; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.fault { overflow-wrap: anywhere; }
.bars, .songs { list-style: none; padding: 0; margin: .4em 0; }
.bars li, .strip, .axis { display: grid; gap: .6em; align-items: center; }
.bars li { grid-template-columns: minmax(5em, 11em) 1fr 3.6em; margin: .25em 0; }
.strip, .axis { grid-template-columns: minmax(5em, 11em) 1fr; margin: .2em 0; }
.axis { grid-template-columns: minmax(5em, 11em) 1fr 1fr 1fr; color: var(--body-text-color-subdued); }
.axis span:nth-child(3) { text-align: center; }
.axis span:nth-child(4), .value { text-align: right; font-variant-numeric: tabular-nums; }
.name { overflow-wrap: anywhere; }
.bar { display: block; height: .8em; border-radius: .4em; background: var(--rail); overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--quiet); }
.chosen .bar span, .strip:first-child path, .point { background: var(--strong); fill: var(--strong); }
.chosen { font-weight: 600; }
.strip svg { display: block; width: 100%; height: 28px; background: var(--rail); border-radius: 4px; }
.strip path { fill: var(--quiet); }
.trust { margin-top: .9em; }
.scale { display: block; width: 100%; height: 14px; }
.scale .rail { fill: var(--rail); }
.scale .interval { fill: var(--quiet); }
.scale .point { fill: var(--strong); }
.scale .guess { fill: var(--warn); }
.songs li { display: grid; grid-template-columns: 1fr minmax(200px, 320px); gap: .3em 1em; align-items: center; }
.songs li { padding: .45em 0; border-top: 1px solid var(--border-color-primary); }
.dark audio { color-scheme: dark; }
.saved { display: flex; flex-wrap: wrap; gap: .6em 1em; align-items: baseline; }
.link { border: 1px solid var(--border-color-primary); border-radius: 6px; padding: .35em .8em; }
.songs audio { width: 100%; height: 40px; }
.what span { display: block; overflow-wrap: anywhere; }
.title { font-weight: 600; }
.about { color: var(--body-text-color-subdued); font-size: .92em; }
.scrolled { overflow: auto; max-height: 30rem; }
.scrolled table { width: 100%; border: 0 !important; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.scrolled th, .scrolled td { border: 0 !important; background: none; }
.scrolled caption { text-align: left; color: var(--body-text-color-subdued); padding-bottom: .3em; }
.scrolled th, .scrolled td { text-align: left; padding: .35em .7em .35em 0 !important; }
.scrolled tbody th { font-weight: 400; }
.scrolled tr { border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.scrolled thead th { position: sticky; top: 0; background: var(--body-background-fill); }
.spectrogram { width: 100%; border-radius: 6px; }
.gradio-container { --rail: #e4e4e7; --quiet: #93a5c4; --strong: #1d4ed8; --warn: #b45309; }
.dark .gradio-container, .gradio-container.dark {
  --rail: #3f3f46; --quiet: #64789c; --strong: #7aa2ff; --warn: #fbbf24; }
:focus-visible { outline: 3px solid var(--strong) !important; outline-offset: 2px; }
@media (max-width: 640px) {
  .songs li { grid-template-columns: 1fr; }
  .bars li { grid-template-columns: 6.5em 1fr 3.4em; }
  .strip { grid-template-columns: 6.5em 1fr; }
  .axis { grid-template-columns: 6.5em 1fr 1fr 1fr; }
}
"""

HEAD = """<script>
function refuseLarge(event) {
  const files = [...(event.dataTransfer ?? event.target).files ?? []];
  const large = files.find(file => file.size > LARGEST_BYTES), words = document.getElementById("too-large");
  if (!files.length || !words) return;
  words.className = large ? "fault" : "";
  words.textContent = large ? `${large.name} is larger than LARGEST_MB MB; give a shorter or a compressed file.` : "";
  if (large) { event.preventDefault(); event.stopImmediatePropagation(); event.target.value = ""; }
}
for (const kind of ["change", "drop"]) document.addEventListener(kind, refuseLarge, true);
</script>"""  # gradio says it, too, but in words for programmers, and after a request


def look() -> dict[str, Any]:
    """What `gradio.mount_gradio_app` has to know of the page's looks."""
    theme = gradio.themes.Default(
        primary_hue="blue", secondary_hue="slate", neutral_hue="zinc", font=SANS, font_mono=MONO
    )
    theme.set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400")
    head = HEAD.replace("LARGEST_BYTES", str(LARGEST_BYTES)).replace("LARGEST_MB", str(LARGEST_BYTES // 10**6))
    return {"theme": theme, "css": CSS, "head": head, "footer_links": [], "run_history": False}
