"""Tests that files are complete or absent, and reading JSON that users edited."""

from __future__ import annotations

import pytest

from zoo import files
from zoo.errors import UserError


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), files.replacing(path) as beside:
        beside.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def check(content):
    files.check_texts(content, "name")
    files.check_numbers(content["sizes"], *range(len(content["sizes"])), whole=True)
    files.check_numbers(content, "seconds")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON: "),
        ("[" * 100_000, "cannot be read as JSON: "),
        ('{"name": "\\ud800"}', "cannot be read as JSON: "),
        ("[]", "has been edited: it must be a JSON object."),
        ("{}", "has been edited: 'name' is missing."),
        ('{"name": 1}', "has been edited: name must be text. Received: 1."),
        ('{"name": "a", "sizes": [1.5]}', "0 must be a whole number. Received: 1.5."),
        ('{"name": "a", "sizes": [true]}', "must be a whole number. Received: True."),
        ('{"name": "a", "sizes": [], "seconds": 1e300}', "seconds is out of range."),
        ('{"name": "a", "sizes": [], "seconds": NaN}', "seconds is out of range."),
    ],
)
def test_edited_json_gets_one_line_that_names_the_file(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"file\.json ") as caught:
        files.read_json(path, check)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_json_that_is_as_it_was_written_is_returned(tmp_path):
    content = {"name": "a", "sizes": [1, 2], "seconds": 1.5, "more": None}
    files.write_json(tmp_path / "file.json", content)
    assert files.read_json(tmp_path / "file.json", check) == content
    with pytest.raises(UserError, match="is missing. Is .* a run?"):
        files.read_json(tmp_path / "none.json", check)
