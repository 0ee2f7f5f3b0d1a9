r"""From the book's Markdown to Markdown that Colab renders.

Colab knows neither directives and roles nor labels of equations, shows
comments of MyST, and starts no path at the notebook's folder. What has no
plain form is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
      ^(?P<margin>[ ]*)(?P<marks>`{3,}|:{3,}|~{3,})\{(?P<directive>[\w:-]+)\}
          [ \t]*(?P<argument>[^\n]*)\n(?P<body>.*?)^[ ]*(?P=marks)[ \t]*$
    | (?P<fence>^[ ]*(?P<ticks>`{3,}|~{3,}).*?^[ ]*(?P=ticks)[ \t]*$)
    | (?P<comment><!--.*?-->)
    | \{(?P<role>[\w:+.-]+)\}(?P<tick>`+)(?P<text>.+?)(?P=tick)
    | (?P<code>(?P<quote>`+)(?!`).*?(?<!`)(?P=quote)(?!`))
    | \$\$(?P<formula>.+?)\$\$(?:[ \t]*\((?P<label>[\w:.-]+)\))?
    | (?P<inline>(?<![\\$])\$(?!\$)(?:\\.|[^$\\])+?\$)
    | (?P<myst>^\([\w:.-]+\)=[ \t]*\n|^%[^\n]*\n?|^\+\+\+[^\n]*\n?)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
LINK = re.compile(
    r"(?P<bang>!?)\[(?P<words>(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)\]"
    r"\(\s*(?:<(?P<angle>[^>\n]*)>|(?P<target>(?:[^()\s]|\([^()\s]*\))*))"
    r"(?P<title>\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
DEFINITION = re.compile(r"^( {0,3}\[[^\]^]+\]:[ \t]*)(\S+)", re.MULTILINE)
TAG = re.compile(r"<(?P<name>[a-z]+)\b[^<>]*>", re.IGNORECASE)
ATTRIBUTE = re.compile(r"\b(src|href)=([\"'])(.*?)\2", re.IGNORECASE)
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)\n?")
HELD = re.compile("\ue000(\\d+)\ue001")
# Quotes and lists, in which a block may begin.
BLOCK = r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*"
FORMULA = re.compile(
    r"(?<!\\)\$\$.+?\$\$|(?<![\\$])\$(?:\\.|[^$\\])+?\$", re.DOTALL
)
# What MyST makes something of and Colab shows as it stands.
MYST = {
    "directive": re.compile(
        rf"^{BLOCK}(?:`{{3,}}|~{{3,}})\s*\{{|^{BLOCK}:{{3,}}", re.MULTILINE
    ),
    "role": re.compile(r"\{[\w:.+-]+\}`"),
    "substitution": re.compile(r"\{\{.*?\}\}"),
    "footnote": re.compile(r"\[\^[^\]\s]+\]"),
    "definition list": re.compile(
        rf"\S[ \t]*\n(?:[ \t>]*\n)?{BLOCK}:[ \t]+\S", re.MULTILINE
    ),
    "attributes": re.compile(
        r"[\])`]\{(?![\w:.+-]+\}`)[^{}\n]+\}|\{[.#][\w-]+[^{}\n]*\}"
    ),
}
BOXES = {
    *("admonition", "attention", "caution", "danger", "error", "hint"),
    *("important", "note", "seealso", "tip", "warning", "dropdown"),
}
CODE_ROLES = re.compile(r"py:\w+|code|kbd|func|class|meth|mod|attr|data")


class Refused(ValueError):
    """Something has no plain form."""


@dataclass(frozen=True)
class Plain:
    """Converts Markdown.

    Args:
        equation: label -> its number, and the address of another notebook
            if it stands there; None if there is no such equation.
        address: a relative target, whether it is a picture -> its address;
            None if there is no such file.
    """

    equation: Callable[[str], tuple[str, str | None] | None]
    address: Callable[[str, bool], str | None]

    def convert(self, text: str) -> str:
        """Return ``text`` as plain Markdown."""
        held: list[str] = []

        def hold(match: re.Match[str]) -> str:
            held.append(self._token(match))
            return f"\ue000{len(held) - 1}\ue001"

        text = TOKEN.sub(hold, text)
        text = self._links(text)
        return HELD.sub(lambda m: held[int(m[1])], text)

    def _token(self, match: re.Match[str]) -> str:
        if match["directive"]:
            text = self._directive(
                match["directive"], match["argument"].strip(), match["body"]
            )
            return re.sub(r"^(?=.)", match["margin"], text, flags=re.M)
        if match["role"]:
            return self._role(match["role"], match["text"])
        if match["formula"]:
            return self._formula(match["formula"], match["label"])
        return match["fence"] or match["code"] or match["inline"] or ""

    def _formula(self, formula: str, label: str | None) -> str:
        if label is None:
            return f"$${formula}$$"
        return rf"$$ {formula.strip()} \tag{{{self._number(label)[0]}}} $$"

    def _number(self, label: str) -> tuple[str, str | None]:
        if (found := self.equation(label)) is None:
            raise Refused(f"no equation has the label {label}")
        return found

    def _reference(self, words: str, label: str) -> str:
        number, address = self._number(label)
        text = f"{words} ({number})".strip()
        return text if address is None else f"[{text}]({address})"

    def _directive(self, name: str, argument: str, body: str) -> str:
        options = {}
        while match := OPTION.match(body):
            options[match[1]] = match[2].strip()
            body = body[match.end() :]
        body = body.strip("\n")
        if name == "math":
            return self._formula(body or argument, options.get("label"))
        if name in ("code", "code-block"):
            return f"```{argument}\n{body}\n```"
        if name in ("image", "figure"):
            picture = f"![{options.get('alt', '')}]({argument})"
            return self.convert(f"{picture}\n\n{body}".strip())
        if name not in BOXES:
            raise Refused(f"directive {{{name}}} has no plain form")
        if name not in ("admonition", "dropdown") and argument:
            body, argument = f"{argument}\n{body}".strip(), ""
        title = argument or name.replace("seealso", "see also").capitalize()
        if name == "dropdown" or "dropdown" in options.get("class", ""):
            top = f"<details><summary>{title}</summary>"
            return f"{top}\n\n{self.convert(body)}\n\n</details>"
        text = f"**{title}**\n\n{self.convert(body)}"
        return re.sub(r"^(?:(?=.)|$)", "> ", text, flags=re.M)

    def _role(self, name: str, text: str) -> str:
        words = re.fullmatch(r"(.+?)\s*<([^<>]+)>", text, re.DOTALL)
        if name == "eq":
            return self._reference("", text.strip())
        if name == "math":
            return f"${text}$"
        if name == "term" or (name in ("ref", "doc", "numref") and words):
            return words[1] if words else text
        if CODE_ROLES.fullmatch(name):
            shown = words[1] if words else text
            short = shown.rpartition(".")[2] if shown[:1] in "~." else shown
            return f"`{short}`"
        raise Refused(f"role {{{name}}}`{text}` has no plain form")

    def _links(self, text: str) -> str:
        text = LINK.sub(self._link, text)
        text = DEFINITION.sub(lambda m: m[1] + self._found(m[2], False), text)
        return TAG.sub(self._html, text)

    def _link(self, match: re.Match[str]) -> str:
        words = self._links(match["words"])
        target = match["angle"] or match["target"] or ""
        if not match["bang"] and (hit := re.search(r"#(eq-[\w-]+)$", target)):
            return self._reference(words, hit[1])
        if target.startswith("#"):
            return words
        address = self._found(target, bool(match["bang"]))
        return f"{match['bang']}[{words}]({address}{match['title'] or ''})"

    def _html(self, match: re.Match[str]) -> str:
        picture = match["name"].lower() in ("img", "source")
        return ATTRIBUTE.sub(
            lambda m: f"{m[1]}={m[2]}{self._found(m[3], picture)}{m[2]}",
            match[0],
        )

    def _found(self, target: str, picture: bool) -> str:
        if re.match(r"[a-z]+:", target):
            return target
        address = self.address(target, picture)
        if address is None:
            raise Refused(f"{target} leads to no file of the book")
        return address
