import os

from kfacealign.data.readers import folders


def files(root):
    return sorted(os.path.relpath(os.path.join(folder, name), root) for folder, names in folders.walk(root) for name in names)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_what_begins_with_a_dot_is_passed_over(tmp_path):
    touch(tmp_path, "a.jpg", "._a.jpg", ".hidden/b.jpg", "c/d.jpg", "c/.DS_Store")
    assert files(tmp_path) == ["a.jpg", "c/d.jpg"]
    assert folders.names(tmp_path) == ["a.jpg", "c"]


def test_links_to_folders_are_followed_and_circles_end(tmp_path):
    touch(tmp_path, "elsewhere/b.jpg", "elsewhere/deep/c.jpg", "root/a.jpg")
    root = tmp_path / "root"
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root)
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    assert files(root) == ["a.jpg", "gone", "link/b.jpg", "link/deep/c.jpg"]


def test_a_folder_has_its_own_name_rather_than_a_links(tmp_path):
    touch(tmp_path, "z/a.jpg", "b/c.jpg")
    (tmp_path / "b" / "link").symlink_to(tmp_path / "z")
    assert files(tmp_path) == ["b/c.jpg", "z/a.jpg"]


def test_depth_and_order(tmp_path):
    touch(tmp_path, "b/1/x/deep", "a/2", "c")
    names = [os.path.relpath(folder, tmp_path) for folder, _ in folders.walk(tmp_path)]
    assert names == [".", "a", "b", "b/1", "b/1/x"]
    assert [os.path.relpath(folder, tmp_path) for folder, _ in folders.walk(tmp_path, depth=1)] == [".", "a", "b"]
