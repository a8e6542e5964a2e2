"""Files are replaced atomically: private, complete, and without leftovers."""

import stat

import pytest

from amplifier_module_provider_openai_chatgpt import files


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_and_its_missing_folder_are_created_private(tmp_path, durable):
    path = tmp_path / "new" / "folder" / "file"
    files.replace(path, b"content", durable=durable)
    assert path.read_bytes() == b"content"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_an_old_file_is_replaced_with_any_mode(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    path.chmod(0o666)
    old = path.stat().st_ino
    files.replace(path, b"new", mode=0o644)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o644)
    assert path.stat().st_ino != old


def test_a_link_is_replaced_and_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.replace(link, b"new")
    assert target.read_bytes() == b"old"
    assert (link.read_bytes(), link.is_symlink()) == (b"new", False)


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError):
        files.replace(folder, b"new")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_leftover_under_the_temporary_name_is_removed_even_if_it_is_a_link(tmp_path):
    path, temporary = tmp_path / "file", tmp_path / "file.new"
    temporary.symlink_to(tmp_path / "elsewhere")
    files.replace(path, b"new", temporary=temporary)
    assert list(tmp_path.iterdir()) == [path]


def test_staging_writes_next_to_the_file_and_changes_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with files.staged(path, b"new") as new:
        assert new.parent == path.parent
        assert (new.read_bytes(), mode(new)) == (b"new", 0o600)
        assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
