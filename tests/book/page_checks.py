"""What a browser can find wrong with a page: each function lists faults."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NoReturn

import pytest
from browser import INSTALL, Record

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def absent(what: str) -> NoReturn:
    """Skip the test, or fail where nothing may be absent: CI=true."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@dataclass(frozen=True)
class Known:
    """A fault of the theme that stays.

    Attributes:
        rule: axe's name of the rule.
        selector: CSS selector of the elements, and no others.
        reason: why it is the theme's, and why it is not mended.
    """

    rule: str
    selector: str
    reason: str


def console(record: Record) -> list[str]:
    """Return errors of the console and exceptions."""
    return [f"console: {error}" for error in record.errors]


def requests(record: Record) -> list[str]:
    """Return failed requests and requests to other hosts."""
    return [f"failed: {request}" for request in record.failed] + [
        f"another host: {request}" for request in record.outside
    ]


# No text of the book shows a dollar or a backslash with a letter but as code.
MATH = r"""() => {
  const faults = [];
  const skip = 'script, style, pre, code, noscript, textarea, ' +
    'mjx-container, template';
  const texts = document.createTreeWalker(document.body, 4);
  while (texts.nextNode()) {
    const node = texts.currentNode;
    if (/\$|\\[a-zA-Z(\[]/.test(node.data)
        && !node.parentElement.closest(skip))
      faults.push('raw TeX: ' + node.data.trim().slice(0, 60));
  }
  for (const place of document.querySelectorAll('.math')) {
    if (!place.querySelector('mjx-container'))
      faults.push('not typeset: ' + place.textContent.trim().slice(0, 60));
  }
  const wrong = 'mjx-merror, mjx-container [data-mjx-error]';
  for (const error of document.querySelectorAll(wrong))
    faults.push('TeX error: ' + (error.getAttribute('title')
      || error.getAttribute('data-mjx-error') || error.textContent));
  // MathJax writes the name of a macro that it does not know.
  for (const word of document.querySelectorAll('mjx-assistive-mml mtext'))
    if (/^\\[a-zA-Z]/.test(word.textContent))
      faults.push('unknown macro: ' + word.textContent);
  return faults;
}"""


def mathematics(page: Any) -> list[str]:
    """Return formulas that are not typeset."""
    return page.evaluate(MATH)


OVERFLOW = """() => {
  const width = window.innerWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = e => e && e !== document.body && (
    getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
  const wide = [...document.body.querySelectorAll('*')].filter(e =>
    e.getBoundingClientRect().right > width + 0.5
    && !scrolls(e.parentElement));
  const name = e => e.tagName.toLowerCase()
    + (e.id && '#' + e.id) + [...e.classList].map(c => '.' + c).join('');
  return [document.documentElement.scrollWidth + ' px in ' + width + ': '
    + wide.slice(0, 5).map(name).join(', ')];
}"""


def overflow(page: Any) -> list[str]:
    """Return what makes the page wider than its window."""
    return [f"overflow: {fault}" for fault in page.evaluate(OVERFLOW)]


STILL = """*, *::before, *::after {
  transition: none !important; animation: none !important;
}"""
UNFOLD = """() => {
  for (const fold of document.querySelectorAll('details')) fold.open = true;
}"""
# A token of code looks like the next one of its class in such a block, an
# entry of the API or of a navigation like the next one of its kind: some of
# each are enough, and axe is several times faster. It sees neither MathJax's
# glyphs nor its MathML: a word in their place has their colour.
THIN = """() => {
  const few = (parent, entries) => {
    const seen = new Map();
    for (const entry of parent.querySelectorAll(entries)) {
      const number = 1 + (seen.get(entry.className) || 0);
      seen.set(entry.className, number);
      if (number > 5) entry.remove();
    }
  };
  few(document, 'dl.py');
  for (const list of document.querySelectorAll('nav ul'))
    few(list, ':scope > li');
  const seen = new Set();
  for (const block of document.querySelectorAll('.highlight pre')) {
    let around = '';
    for (let e = block; e; e = e.parentElement) around += e.className + ';';
    for (const token of block.querySelectorAll('span')) {
      if (token.children.length || token.id) continue;
      const look = around + token.className;
      if (seen.has(look)) token.replaceWith(token.textContent);
      else seen.add(look);
    }
    block.normalize();
  }
  for (const formula of document.querySelectorAll('mjx-container'))
    formula.textContent = 'formula';
}"""
# What is scrolled out of sight axe cannot decide: paint the backgrounds of all
# that lies around a word, then the word's colour, and compare.
AXE = """async ([rules, known]) => {
  const paper = document.createElement('canvas').getContext('2d');
  const light = () => {
    const part = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = paper.getImageData(0, 0, 1, 1).data;
    return 0.2126 * part(r / 255) + 0.7152 * part(g / 255)
      + 0.0722 * part(b / 255);
  };
  const paint = colour => {
    paper.fillStyle = colour;
    paper.fillRect(0, 0, 1, 1);
    return light();
  };
  const contrast = element => {
    const styles = [];
    for (let e = element; e; e = e.parentElement)
      styles.unshift(getComputedStyle(e));
    if (styles.some(s => s.backgroundImage !== 'none' || s.opacity < 1))
      return 0;
    paint('white');
    const back = styles.map(s => paint(s.backgroundColor)).pop();
    const fore = paint(styles[styles.length - 1].color);
    return (Math.max(back, fore) + 0.05) / (Math.min(back, fore) + 0.05);
  };
  const result = await axe.run(document, {
    runOnly: rules, preload: false, resultTypes: ['violations', 'incomplete'],
    checks: {'color-contrast': {options: {
      ignoreUnicode: false, ignoreLength: true}}},
  });
  const undecided = result.incomplete.filter(r => r.id === 'color-contrast');
  const faults = [], used = [];
  for (const rule of [...result.violations, ...undecided]) {
    for (const node of rule.nodes) {
      const path = node.target.flat();
      const element = document.querySelector(path[0]);
      const named = known.findIndex(
        ([id, selector]) => id === rule.id && element.matches(selector));
      if (undecided.includes(rule) && contrast(element) >= 4.5) continue;
      const why = [...node.any, ...node.all, ...node.none];
      if (named >= 0) used.push(named);
      else faults.push(rule.id + ': ' + path.join(' ') + ': '
        + (why.length ? why[0].message : rule.help));
    }
  }
  return [faults, used];
}"""


def axe_source() -> str:
    """Return axe-core as the package ``axe-playwright-python`` ships it."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        absent(f"no axe-core: {INSTALL}")
    package = resources.files("axe_playwright_python")
    return package.joinpath("axe.min.js").read_text(encoding="utf-8")


def prepare(page: Any) -> None:
    """Open what is folded, stop transitions, thin out, load axe-core."""
    page.add_style_tag(content=STILL)
    page.evaluate(UNFOLD)
    page.evaluate(THIN)
    page.evaluate(axe_source())


def accessibility(
    page: Any,
    known: Sequence[Known] = (),
    used: set[Known] | None = None,
    *,
    rules: Sequence[str] = (),
) -> list[str]:
    """Return what axe-core finds on a prepared page beyond ``known``.

    A contrast that axe cannot decide counts as a fault, too. ``rules`` names
    the only rules to apply; without it, all do.
    """
    named = [[entry.rule, entry.selector] for entry in known]
    wanted = {"type": "rule", "values": list(rules)} if rules else TAGS
    faults, places = page.evaluate(AXE, [wanted, named])
    if used is not None:
        used.update(known[place] for place in places)
    return faults
