"""A report's sections and tables → a page, Markdown and LaTeX."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from crnn_bench.blocks import Section, escaped, texts

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "×": r"$\times$",
    }
)  # fmt: skip


def page(name: str, question: str, sections: Sequence[Section], facts: Mapping[str, Any]) -> str:
    """One HTML file that needs no other.

    Args:
        name: of the experiment.
        question: that it asks; blank where it is not told.
        sections: in their order.
        facts: what the foot says: `cells`, `finished`.
    """
    import jinja2

    folder = jinja2.PackageLoader("crnn_bench", "templates")
    environment = jinja2.Environment(
        loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("report.html.j2")
    written: str = template.render(name=name, question=question, sections=sections, **facts)
    return written


def markdown(name: str, question: str, sections: Sequence[Section]) -> str:
    """The same as GitHub reads it; pictures are links to the files in `figures/`."""
    lead = [f"# {escaped(name)}", *([f"> {escaped(question)}"] if question else [])]
    return "\n\n".join([*lead, *(section.markdown for section in sections)]) + "\n"


def latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    r"""A table for a paper (`\usepackage{booktabs}`), intervals in the column of their number."""
    told = texts(frame)
    rows = [
        " & ".join(_tex(value) for value in line) + r" \\" for line in [list(told.columns), *told.to_numpy().tolist()]
    ]
    columns = "".join("r" if re.match(r"[−\d.]", str(told[name].iloc[0])) else "l" for name in told)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(caption)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex(text: Any) -> str:
    return str(text).translate(LATEX)
