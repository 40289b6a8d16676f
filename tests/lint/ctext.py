# SPDX-License-Identifier: GPL-2.0-or-later
"""C text without comments and literals, and the functions in it."""

import re

TOKEN = re.compile(r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""",
                   re.DOTALL | re.VERBOSE)


def blank(text, keep_strings=False):
    """@text with comments and the insides of literals made blank; line ends stay."""
    def replace(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found if keep_strings else found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return TOKEN.sub(replace, text)


def without_directives(text):
    """Preprocessor lines made empty, with what they continue on."""
    def replace(match):
        return "\n" * match.group(0).count("\n")
    return re.sub(r"^[ \t]*#(?:[^\\\n]|\\.|\\\n)*", replace, text, flags=re.MULTILINE)


def split_parameters(text):
    """The parameters between the outer brackets of a parameter list."""
    parts, depth, part = [], 0, ""
    for char in text:
        depth += char in "([{"
        depth -= char in ")]}"
        if char == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    parts.append(part.strip())
    return [] if parts in ([""], ["void"]) else parts


def closing(text, at):
    """Index of the bracket that closes the one at @at, or -1."""
    pairs = {"(": ")", "{": "}"}
    opening, shut, depth = text[at], pairs[text[at]], 0
    for index in range(at, len(text)):
        depth += text[index] == opening
        depth -= text[index] == shut
        if depth == 0:
            return index
    return -1


def declarators(text):
    """(line, name, parameters, index behind the list) of what looks like a function at file level."""
    clean = without_directives(blank(text))
    depth = 0
    index = 0
    while index < len(clean):
        char = clean[index]
        depth += char == "{"
        depth -= char == "}"
        if depth == 0 and char == "(":
            end = closing(clean, index)
            name = re.search(r"([A-Za-z_]\w*)\s*$", clean[:index])
            if end < 0:
                return
            if name and name.group(1) not in ("__attribute__", "_Static_assert", "sizeof"):
                line = clean.count("\n", 0, name.start(1)) + 1
                yield line, name.group(1), split_parameters(clean[index + 1:end]), end + 1, clean
            index = end
        index += 1


def functions(text):
    """(line, name, lines, parameters) of every function defined in @text."""
    for line, name, parameters, after, clean in declarators(text):
        rest = re.match(r"\s*(?:__attribute__\s*\(\(.*?\)\)\s*)*\{", clean[after:], re.DOTALL)
        if not rest:
            continue
        begin = after + rest.end() - 1
        end = closing(clean, begin)
        last = clean.count("\n", 0, end) + 1
        yield line, name, last - line + 1, parameters
