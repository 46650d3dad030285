import subprocess
import sys

HEAVY = ("keras", "tensorflow", "jax", "torch", "scipy", "h5py", "matplotlib")
IMPORT = """
import sys
sys.modules.update(dict.fromkeys({heavy}))  # a name that is None there cannot be imported
from kfacealign.data import catalogue, load_dataset
print(len(catalogue.ENTRIES), len(load_dataset("pts", {folder!r}).train))
"""


def test_the_catalogue_and_a_reader_work_without_what_is_heavy(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.jpg").touch()
        points = "\n".join(f"{10 + i} {20 + i % 7}" for i in range(68))
        (tmp_path / part / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    code = IMPORT.format(heavy=HEAVY, folder=str(tmp_path))
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    entries, faces = printed.split()
    assert int(entries) > 15 and faces == "1"
