"""Begin a chapter: both its forms, its line in the table of contents and what it compares (`make chapter NAME=x`)."""

import argparse
import json
import re
import sys
from pathlib import Path

from tools.build import profile_parameters
from tools.notebooks import ROOT, ChapterError, parse, unparse

CHAPTERS = Path("lib", "experiments", "chapters.py")
ONLY_OF_IMAGES = ("images",)  # parameters that only the chapters on MNIST have

TEMPLATE = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
---

# {title}

What the paper claims, and in which section.

## Method

How it is tried, in three sentences.

```{{code-cell}} ipython3
:tags: [parameters, remove-input]

{parameters}
```

```{{code-cell}} ipython3
:tags: [hide-input]

from lib.book import figures, findings
from lib.book.chapter import Chapter

chapter = Chapter.open("{name}", globals())
```

## Results

```{{code-cell}} ipython3
---
mystnb:
  figure:
    caption: Thick lines are medians over seeds, thin lines single seeds, bands reach from the lowest seed to the highest.
    name: fig-{name}
  image:
    alt: A panel for each setting, of test accuracy over epochs, one curve an arm.
tags: [hide-input]
---
chapter.panels(figures.curves, legend=3)
chapter.finding(findings.times(chapter, "base", "ticket"))
```

```{{code-cell}} ipython3
:tags: [remove-input]

chapter.summary()
```

## What differs from the paper

* What, and why.

## Data and rerun

```{{code-cell}} ipython3
:tags: [remove-input]

chapter.close()
```
"""


def begin(root: Path, name: str) -> list[Path]:
    """Write a chapter that compares base and ticket of the MLP and the transformer, whose records are there already.

    Args:
        root: the repository.
        name: of the chapter's files and page, in lower case with hyphens.

    Returns:
        The files that were written or got a line.

    Raises:
        ChapterError: the name will not do, or is taken.
    """
    if not re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ChapterError(
            f"{name!r} is no name for a chapter: lower-case letters, digits and hyphens, as in weight-norm."
        )
    md, py, contents, code = root / f"book/{name}.md", root / f"book/{name}.py", root / "_toc.yml", root / CHAPTERS
    if md.exists() or py.exists() or f'\n    "{name}":' in code.read_text():
        raise ChapterError(f"There is a chapter {name} already.")
    values = {key: value for key, value in profile_parameters("paper").items() if key not in ONLY_OF_IMAGES}
    parameters = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    text = TEMPLATE.format(name=name, title=name.replace("-", " ").capitalize(), parameters=parameters)
    for path in (md, py):
        path.write_text(unparse(parse(text, md), path), encoding="utf-8")
    contents.write_text(f"{contents.read_text().rstrip()}\n      - file: book/{name}\n")
    before, entries, after = re.split(r"(\nCHAPTERS: .*?)(?=\n}\n)", code.read_text(), maxsplit=1, flags=re.DOTALL)
    code.write_text(f'{before}{entries}\n    "{name}": Chapter(both(*PAIR)),{after}')
    return [md, py, contents, code]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.chapter", description="Begin a chapter.")
    parser.add_argument("name", help="in lower case with hyphens, as in weight-norm")
    try:
        written = begin(ROOT, parser.parse_args(arguments).name)
    except ChapterError as error:
        print(error.message, file=sys.stderr)
        return 1
    print("wrote:", *(path.relative_to(ROOT) for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
