import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.errors import DatasetError
from annotools.formats.photo_places import (
    PhotoFolder,
    choose_folder,
    describe_folder,
    is_there,
    plain_name,
)


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("listed", "plain"),
    [
        ("a.jpg", "a.jpg"),
        ("sub dir/ü 9.png", "sub dir/ü 9.png"),
        ("images\\a.jpg", "images/a.jpg"),
        ("images\\1/90fbb0c7-a.jpg", "images/1/90fbb0c7-a.jpg"),
        ("..\\..\\media\\upload\\4\\cb0618f6-a.png", "media/upload/4/cb0618f6-a.png"),
        ("../imgs/a.jpg", "imgs/a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("C:\\Users\\me\\a.jpg", "Users/me/a.jpg"),
        ("C:a.jpg", "a.jpg"),
        ("\\\\server\\share\\a.jpg", "server/share/a.jpg"),
        ("/home/me/a.jpg", "home/me/a.jpg"),
        ("file:///C:/Users/a%20b.jpg", "Users/a b.jpg"),
        ("/data/upload/3/abcdef12-a.jpg", "data/upload/3/abcdef12-a.jpg"),
        ("/data/local-files/?d=set/a%20b.jpg", "set/a b.jpg"),
        ("/data/local-files/?d=C%3A%5Cset%5Ca.jpg", "set/a.jpg"),
        ("data/local-files/?d=set\\a.jpg", "set/a.jpg"),
        ("https://host.org/x/a%20b.jpg?token=1/2&q=%3D", "host.org/x/a b.jpg"),
        ("s3://bucket/x/a.jpg", "bucket/x/a.jpg"),
        # A question mark, a percent sign or two points may be in a name.
        ("what?.jpg", "what?.jpg"),
        ("100%25.jpg", "100%25.jpg"),
        ("a..b.jpg", "a..b.jpg"),
        ("", ""),
        (".", ""),
        ("/", ""),
        ("..\\..", ""),
        ("C:\\", ""),
        ("\0", ""),
    ],
)
def test_a_plain_name_is_relative_and_has_slashes(listed: str, plain: str) -> None:
    assert plain_name(listed) == plain


@given(st.text(st.sampled_from("aC:/\\.?%20d=\0é "), max_size=20))
def test_a_plain_name_never_leaves_its_folder(name: str) -> None:
    plain = plain_name(name)
    parts = plain.split("/")
    assert not plain.startswith("/")
    assert "\\" not in plain
    assert "\0" not in plain
    assert ".." not in parts


@pytest.mark.parametrize(
    ("there", "listed"),
    [
        ("a.jpg", "a.jpg"),
        ("images/a.jpg", "images\\a.jpg"),
        ("90fbb0c7-a.jpg", "images\\1/90fbb0c7-a.jpg"),
        ("a.jpg", "/data/upload/3/abcdef12-a.jpg"),
        ("abcdef12-a.jpg", "/data/upload/3/abcdef12-a.jpg"),
        ("a b.jpg", "/data/local-files/?d=set/a%20b.jpg"),
        ("set/a b.jpg", "/data/local-files/?d=set/a%20b.jpg"),
        ("a b.jpg", "a%20b.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("what?.jpg", "what?.jpg"),
        ("a.jpg", "/bucket/a.jpg?X-Amz-Date=1"),
        ("a b.jpg", "https://host.org/x/a%20b.jpg?token=1/2"),
        ("x/a.jpg", "/home/me/x/a.jpg"),
        ("a.jpg", "C:\\Users\\me\\a.jpg"),
        ("a.JPG", "a.jpg"),
        ("a.jpg", "x/a.JPG"),
        (unicodedata.normalize("NFD", "ü.jpg"), unicodedata.normalize("NFC", "ü.jpg")),
        (unicodedata.normalize("NFC", "x/ü.jpg"), unicodedata.normalize("NFD", "x/ü.jpg")),
        ("bonn/bonn_000001_000019_leftImg8bit.png", "bonn_000001_000019_gtFine_leftImg8bit.png"),
        ("a_jpg.rf.0a1b.jpg", "a_jpg.rf.0a1b.jpg"),
    ],
)
def test_a_photo_is_found_by_the_names_that_tools_give_it(
    tmp_path: Path, there: str, listed: str
) -> None:
    touch(tmp_path, there)
    found = choose_folder([tmp_path / "train", tmp_path], [listed], None)
    assert found.folder == tmp_path
    assert found.find(listed) == tmp_path / there


def test_a_name_as_it_is_comes_first(tmp_path: Path) -> None:
    touch(tmp_path, "a%20b.jpg", "a b.jpg", "x/c.jpg", "c.jpg")
    found = PhotoFolder(folder=tmp_path)
    assert found.find("a%20b.jpg") == tmp_path / "a%20b.jpg"
    assert found.find("x\\c.jpg") == tmp_path / "x/c.jpg"


def test_a_photo_that_is_missing_has_the_place_where_it_would_be(tmp_path: Path) -> None:
    found = PhotoFolder(folder=tmp_path)
    assert found.find("images\\a.jpg") == tmp_path / "images" / "a.jpg"
    assert PhotoFolder(folder=None).find("a.jpg") is None


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "a\0.jpg", "a" * 5000])
def test_a_name_that_no_file_can_have_is_not_there(tmp_path: Path, name: str) -> None:
    assert not is_there(tmp_path / name)
    assert choose_folder([tmp_path], [name], None).folder == tmp_path


def test_the_folder_with_most_photos_is_chosen_and_the_first_of_these(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "b/2.jpg", "c/1.jpg", "c/2.jpg")
    folders = [tmp_path / name for name in ("none", "a", "b", "c")]
    assert choose_folder(folders, ["1.jpg", "2.jpg", "3.jpg"], None).folder == tmp_path / "b"


def test_some_names_decide_which_are_spread_over_the_list(tmp_path: Path) -> None:
    touch(tmp_path, *(f"b/{i}.jpg" for i in range(50, 100)))
    names = [f"{i}.jpg" for i in range(100)]
    assert choose_folder([tmp_path / "a", tmp_path / "b"], names, None).folder == tmp_path / "b"


def test_without_a_photo_the_format_s_own_folder_counts_if_it_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "train/z.jpg", "images/z.jpg")
    own, other = tmp_path / "train", tmp_path / "images"
    assert choose_folder([own, other], ["a.jpg"], None).folder == own
    found = choose_folder([tmp_path / "val", other], ["a.jpg"], None)
    assert (found.folder, found.looked_in) == (None, (tmp_path / "val", other))
    assert choose_folder([own], [], None).folder == own


def test_a_given_folder_counts_alone(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.jpg", "mine/b.jpg")
    assert choose_folder([tmp_path / "train"], ["a.jpg"], tmp_path / "mine").folder == (
        tmp_path / "mine"
    )
    with pytest.raises(DatasetError, match="nowhere: no such folder: give --photos"):
        choose_folder([], ["a.jpg"], tmp_path / "nowhere")


def test_a_folder_is_described_by_its_first_entries(tmp_path: Path) -> None:
    assert describe_folder(tmp_path) == "nothing"
    assert describe_folder(tmp_path / "nowhere") == "nothing"
    touch(tmp_path, ".hidden", ".hidden2", "b.jpg", "a/1.jpg", "c.json")
    assert describe_folder(tmp_path) == "a/, b.jpg, c.json"
    assert describe_folder(tmp_path, most=2) == "a/, b.jpg, ..."
    assert describe_folder(tmp_path, "*.json") == "c.json"
