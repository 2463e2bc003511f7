"""Write protocols.md, the reference of what authors of parts implement, are given and may call.

    python docs/protocols.py

All that it says stands in the code: signatures, fields and docstrings. Say it better there.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCS = Path(__file__).parent
ROOT, PAGE = DOCS.parent, DOCS / "protocols.md"
Node: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign
SECTION = re.compile(r"^(Args|Returns|Raises):\n((?: .*\n?|\n)+)", re.MULTILINE)
PARTS, TYPES = "core/vlmad/parts.py", "core/vlmad/types.py"
FIVE = ("Backbone", "Attention", "Prompts", "Extractor", "Scorer")
OTHERS = {
    "Dataset": "core/vlmad/datasets.py",
    "Format": "plugins/vlmad_formats/stored_values.py",
    "Engine": "plugins/vlmad_run/kinds.py",
    "Cluster": "plugins/vlmad_run/kinds.py",
    "Runnable": "plugins/vlmad_run/kinds.py",
    "ImageFinder": "plugins/vlmad_run/kinds.py",
    "Supplement": "plugins/vlmad_run/supplements.py",
    "Steadier": "plugins/vlmad_video/steadiers.py",
    "Defect": "plugins/vlmad_synthesis/synthetic.py",
}
HELPERS = (
    "core/vlmad/regions.py",
    "core/vlmad/text.py",
    "plugins/vlmad_attribution/attribution.py",
    "core/vlmad/images.py",
    "core/vlmad/resizing.py",
    "core/vlmad/options.py",
    "core/vlmad/files.py",
    "core/vlmad/console.py",
    "core/vlmad/watching.py",
    "plugins/vlmad_openclip/vision.py",
    "plugins/vlmad_openclip/language.py",
    "plugins/vlmad_openclip/devices.py",
    "plugins/vlmad_openclip/text_cache.py",
    "plugins/vlmad_conformance/authors.py",
)
"""Modules for authors; the last is what `vlmad.testing` has."""
BEGINNING = """# The protocols

What an author implements, is given, and may call, written by [protocols.py](protocols.py) from
docstrings. How parts are registered, and what they can rely on: [the hooks](hooks.md). One made
step by step: [writing a plugin](writing-a-plugin.md). Whole ones to copy: the
[cookbook](cookbook.md). What is listed is imported from the module that its link leads to, such
as `vlmad_run.kinds`; the five kinds and most of what flows also from `vlmad` itself.

In shapes b is images, p patches, r regions, n sentences, d dimensions of an embedding, w the width
of a transformer, h x w pixels, gh x gw cells.
"""


class Described(NamedTuple):
    """A definition in a file, and what it says of itself."""

    name: str
    node: Node
    doc: str
    path: str

    @property
    def pointer(self) -> str:
        """A link to the line where it is defined."""
        return f"[`{self.name}`](../{self.path}#L{self.node.lineno})"


def described(path: str, within: ast.ClassDef | None = None) -> Iterator[Described]:
    """Yield the public definitions of a file or class in their order."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body if not within else within.body
    for node, follows in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            name, doc = node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name, doc = ast.unparse(target), _text_of(follows)
        else:
            continue
        if not name.startswith("_") or name == "__call__":
            yield Described(name, node, doc, path)


def _text_of(node: ast.stmt | None) -> str:
    """Return the text that follows a definition and says what it is."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return ""


def signature(node: ast.FunctionDef) -> str:
    """Return what a function takes and gives, in one line, with all types."""
    own = ast.unparse(node.args)
    own = re.sub(r"^(self|cls)(, )?", "", own)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({own}){returns}"


def in_markdown(doc: str) -> str:
    """Return a docstring in one paragraph, each of its arguments and errors in a line below."""
    doc = doc.partition("\n>>>")[0]
    lines = []
    for title, body in SECTION.findall(f"{doc}\n"):
        entries = re.findall(r"^(\w+): (.*(?:\n +.*)*)", inspect.cleandoc(body), re.MULTILINE)
        known = [f"`{name}`: {_one_line(text)}" for name, text in entries]
        shown = known or [_one_line(body)]
        lines += [f"  - {'' if title == 'Args' else f'{title.lower()} '}{line}" for line in shown]
    first = _one_line(SECTION.sub("", f"{doc}\n"))
    return "\n".join([first, *lines])


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def member(each: Described) -> str:
    """Return a method, property or field of a class as an entry of a list."""
    node = each.node
    if isinstance(node, ast.FunctionDef):
        is_property = any(ast.unparse(d) == "property" for d in node.decorator_list)
        returns = ast.unparse(node.returns) if node.returns else ""
        name = "" if node.name == "__call__" else node.name
        shown = f"{name}: {returns}" if is_property else f"{name}{signature(node)}"
    else:
        shown = ast.unparse(node)
    says = in_markdown(each.doc)
    return f"- `{shown}`: {says}" if says else f"- `{shown}`"


def a_class(each: Described) -> str:
    """Return a protocol or dataclass with all of its members."""
    assert isinstance(each.node, ast.ClassDef)
    members = [member(own) for own in described(each.path, each.node)]
    says = [in_markdown(paragraph) for paragraph in each.doc.split("\n\n")]
    return "\n\n".join([f"### {each.pointer}", *says, "\n".join(members)])


def flows() -> Iterator[str]:
    """Yield the types of what flows, in their order."""
    for each in described(TYPES):
        if isinstance(each.node, ast.ClassDef):
            yield a_class(each)
        elif isinstance(each.node, ast.AnnAssign):
            value = ast.unparse(each.node.value) if each.node.value else ""
            yield f"### {each.pointer}\n\n`{value}`: {in_markdown(each.doc)}"


def offered() -> Iterator[str]:
    """Yield all protocols that are looked for where they are used, those of the core first."""
    for top in ("core", "plugins"):
        for file in sorted((ROOT / top).rglob("[!_]*.py")):
            for each in described(str(file.relative_to(ROOT))):
                decorators = getattr(each.node, "decorator_list", ())
                if any(ast.unparse(word) == "runtime_checkable" for word in decorators):
                    yield a_class(each)


def words() -> str:
    """Return a table of the words in which parts say what they need and give."""
    lines = [module_doc(PARTS).rpartition("\n\n")[2], ""]
    lines += ["| word | in `vlmad.parts` | who gives it |", "|---|---|---|"]
    for each in described(PARTS):
        if isinstance(each.node, ast.Assign):
            word = ast.literal_eval(each.node.value)
            lines.append(f"| {word} | `{each.name}` | {_one_line(each.doc)} |")
    return "\n".join(lines)


def errors() -> str:
    """Return a table of what is raised for what."""
    lines = ["| error | for what |", "|---|---|"]
    for each in described("core/vlmad/errors.py"):
        if isinstance(each.node, ast.ClassDef) and each.name.endswith("Error"):
            lines.append(f"| {each.pointer} | {_one_line(each.doc.partition('Args:')[0])} |")
    return "\n".join(lines)


def module_doc(path: str) -> str:
    """Return what a module says of itself, but for its first line."""
    doc = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[2].strip().replace("``", "`")


def helpers() -> Iterator[str]:
    """Yield a table of what each module has that is for authors."""
    for path in HELPERS:
        module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        first = (ast.get_docstring(module) or "").splitlines()[0]
        name = path.partition("/")[2].removesuffix(".py").replace("/", ".")
        name = "vlmad.testing" if name == "vlmad_conformance.authors" else name
        lines = [f"### `{name}`", "", first, "", "| | |", "|---|---|"]
        for each in described(path):
            if isinstance(each.node, ast.FunctionDef | ast.ClassDef):
                node, says = each.node, _one_line(each.doc.partition("\n\n")[0])
                takes = f" `{signature(node)}`" if isinstance(node, ast.FunctionDef) else ""
                lines.append(f"| {each.pointer}{_cell(takes)} | {_cell(says)} |")
        yield "\n".join(lines)


def page() -> str:
    """Return the whole page."""
    parts = {each.name: each for each in described(PARTS)}
    others = {n: {each.name: each for each in described(path)}[n] for n, path in OTHERS.items()}
    sections: dict[str, Sequence[str]] = {
        "The five kinds": [a_class(parts[name]) for name in FIVE],
        "What flows": [*flows()],
        "Words": [words()],
        "Options": [module_doc("core/vlmad/options.py")],
        "What is raised": [module_doc("core/vlmad/errors.py").rpartition("\n\n")[2], errors()],
        "What a part may offer besides": [*offered()],
        "Other kinds": [a_class(each) for each in others.values()],
        "Helpers": [*helpers()],
    }
    texts = ["\n\n".join([f"## {title}", *each]) for title, each in sections.items()]
    return "\n\n".join([BEGINNING.strip(), *texts]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
