"""Docstrings as the API pages read them: `Example:` is the section that the parser knows as `Examples:`."""

import re

import griffe


class ExampleSections(griffe.Extension):
    """Without it, the lines of an example would be taken for nested quotations."""

    def on_object(self, *, obj, **_):
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^(\s*)Example:$", r"\1Examples:", obj.docstring.value)
