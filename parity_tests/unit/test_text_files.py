"""Lists, labels and tables in their usual forms are read; otherwise the error names the first bad line."""

import hashlib
import locale
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankiqa.data.image_lists import read_list
from rankiqa.data.text_files import number, read_lines, read_table, read_text
from rankiqa.ranked_sets.pristine_selection import read_labels

LINES = ["im/i00.bmp   0.50", "im/i01.bmp  -2.25", "im/i02.bmp  1e1"]
PATHS, LABELS = ("im/i00.bmp", "im/i01.bmp", "im/i02.bmp"), [0.5, -2.25, 10.0]


@pytest.fixture
def write(tmp_path):
    """Return write(content) -> the path of a file with this content."""

    def make(content, name="list.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def test_upstreams_lists_are_read_as_ever(write):
    text = "".join(f"/data/{n:05}.bmp {n / 7:6.2f}\n" for n in range(300))
    images = read_list(write(text))
    plain = [line.split() for line in text.splitlines()]
    assert images.paths == tuple(path for path, _ in plain)
    assert images.labels.dtype == np.float64 and images.labels.tolist() == [float(label) for _, label in plain]
    assert images.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert read_list(write(text.replace("\n", "\r\n"))).sha256 == images.sha256
    assert read_list(write(text), "/root/of").paths[0] == "/data/00000.bmp"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("form", ["{0} {1}", "{0}\t{1}", "{0},{1}", "{0}; {1}", "'{0}' {1}", '"{0}",{1}', "{0},{1},,"])
@pytest.mark.parametrize("name", ["é/图 1.bmp", "a.bmp"])
def test_forms_of_a_list(write, encoding, end, form, name):
    lines = ["# a comment", "", *(form.format(name.replace("a", f"a{n}"), f"{n}.25") for n in range(3)), "  "]
    images = read_list(write(end.join(lines).encode(encoding)))
    assert images.paths == tuple(name.replace("a", f"a{n}") for n in range(3))
    assert images.labels.tolist() == [0.25, 1.25, 2.25]


def test_backslashes_comments_and_headers(write, tmp_path):
    images = read_list(write("image,mos\nim\\a.bmp,3\n#c.bmp 4\nb.bmp 5  # good\n"), "root")
    assert images.paths == ("root/im/a.bmp", "root/b.bmp") and images.labels.tolist() == [3, 5]
    for name in ("#c.bmp", "im\\a.bmp"):  # existing files with these names
        (tmp_path / name).touch()
    images = read_list(write("im\\a.bmp,3\n#c.bmp 4\n"), tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in images.paths] == ["im\\a.bmp", "#c.bmp"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("b.bmp", "expected `path label`"),
        ("b.bmp x", "expected `path label`"),
        ("b.bmp 1_0", "expected `path label`"),
        ("b.bmp 3,5", "expected `path label`"),
        ("b.bmp;3,5", "expected `path label`"),
        ("3", "expected `path label`"),
        ("b.bmp 1 2", "expected two fields, `path label`, got three"),
        ("b.bmp,1,2", "expected two fields, `path label`, got three"),
        ("my b.bmp\t1\t2", "expected two fields, `path label`, got three"),
        ("b.bmp nan", "expected a finite number"),
        ("b.bmp -inf", "expected a finite number"),
        ("b.bmp 1e999", "expected a finite number"),
        ("C:\\data\\b.bmp 3", "expected a path of this machine, got Windows'"),
        ("\\\\server\\b.bmp 3", "expected a path of this machine, got Windows'"),
        ("mos image", "expected `path label`"),
        (b"caf\xe9.bmp 3", "in UTF-8, got the bytes b'\\xe9.bmp 3' after 'caf'"),
        (b"\xd6\xd0\xce\xc4.bmp 3", "in UTF-8, got the bytes"),
        (b"b.bmp\0 3", "got a NUL character"),
    ],
)
def test_the_first_bad_line_is_named(write, line, message):
    good = b"# comment\n\na.bmp 1\n"
    path = write(good + (line if isinstance(line, bytes) else line.encode()) + b"\na.bmp x\n")
    with pytest.raises(ValueError) as error:
        read_list(path)
    assert str(error.value).startswith(f"{path} line 4: expected ") and message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_lists(write, tmp_path):
    for content in ("", "\n\n", "# nothing\n", "image mos\n", b"\xef\xbb\xbf"):
        with pytest.raises(ValueError, match="expected `path label` lines, got an empty file"):
            read_list(write(content))
    for path in (tmp_path, tmp_path / "none", tmp_path / "a\0b"):
        with pytest.raises(ValueError, match="expected a list of `path label` lines, got: "):
            read_list(path)
    with pytest.raises(ValueError, match="line 1: expected a text file, got a NUL character"):
        read_text(write("a.bmp 3\n".encode("utf-16-le")))
    with pytest.raises(ValueError, match="line 1: expected a text file in UTF-16-LE"):
        read_text(write(b"\xff\xfea"))
    with pytest.raises(ValueError, match="of at most 3 bytes, got a larger one"):
        read_text(write("abcd"), max_bytes=3)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_on_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "list.txt"
    path.write_bytes(data)
    for reader in (read_list, read_table, read_lines, read_labels):
        try:
            reader(path)
        except ValueError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="#\"',;\\"), min_size=1)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.integers(-999, 999)), min_size=1, max_size=5), st.sampled_from([" ", "\t", ",", ";"])
)
def test_what_is_written_is_read(tmp_path_factory, rows, separator):
    path = tmp_path_factory.mktemp("any") / "list.txt"
    path.write_text("".join(f"my {name}.bmp{separator}{label / 8}\n" for name, label in rows), encoding="utf-8")
    images = read_list(path)
    assert images.paths == tuple(f"my {name}.bmp" for name, _ in rows)
    assert images.labels.tolist() == [label / 8 for _, label in rows]


def test_a_locale_that_is_not_utf8(write):
    code = "import sys; from rankiqa.data.image_lists import read_list; print(ascii(read_list(sys.argv[1]).paths))"
    environment = os.environ | {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(write("é.bmp 3\n"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == ascii(("é.bmp",)), done.stderr
    assert locale.getpreferredencoding(False)  # this process's locale is unchanged


TABLE = [("image", "mos", "note"), ("a b.png", "1.5", 'x "y"'), ("c.png", "2", "é, ;\nz")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables(write, delimiter, encoding):
    quoted = [[f'"{cell}"' for cell in (cell.replace('"', '""') for cell in row)] for row in TABLE]
    text = "# mine\n\n" + "\r\n".join(delimiter.join(row) for row in quoted) + "\r\n\r\n"
    columns, rows = read_table(write(text.encode(encoding), "t.csv"))
    assert columns == list(TABLE[0])
    assert [tuple(row.values()) for _, row in rows] == TABLE[1:]
    assert [where.split()[-1] for where, _ in rows] == ["4", "5"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,2\n3\n", "line 3: expected 2 columns as in the header, got 1"),
        ("a,b\n1,2,3\n", "line 2: expected 2 columns as in the header, got 3"),
        ("a, b ,b\n", "line 1: expected each column once, got 'b'"),
        ('a,b\n"1,2\n', "expected comma-separated values, got"),
        ("a,b\n" + "x" * 200_000 + ",1\n", "line 2: expected comma-separated values, got"),
    ],
)
def test_tables_that_are_none(write, text, message):
    with pytest.raises(ValueError) as error:
        read_table(write(text))
    assert message in str(error.value) and "\n" not in str(error.value)
    assert read_table(write(" a , b \n1,2,,\n"))[1][0][1] == {"a": "1", "b": "2"}  # empty columns of a spreadsheet


@pytest.mark.parametrize("text", ["1_0", "0x10", "", " ", "1,5", "nan", "inf", "1e999", "٣", None, True, "1 2"])
def test_numbers_that_are_none(text):
    with pytest.raises(ValueError, match=r"^here: expected a (finite )?number, got "):
        number(text, "here")
    assert number(" -1.5e2 ", "here") == -150 and number(3, "here") == 3.0
