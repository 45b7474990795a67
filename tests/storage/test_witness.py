"""The witness: kept outside the data directory, believed only whole, and held by one process of a machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from storage.aliveness import Counts
from storage.disk import OsDisk
from storage.witness import Witness, Witnessed

COUNTS = Counts(starts=1, leases=22, minutes=5, heartbeats=333)


def a_witness(
    folder: Path, *, data: str = "data", name: str = "a1b2", disk: OsDisk | None = None
) -> Witness:
    (folder / data).mkdir(exist_ok=True)
    disk = disk or OsDisk()
    return Witness(folder / data, disk=disk, state_dir=folder / "state", name=name)


def test_what_was_written_is_read_by_the_next_process_from_both_places(tmp_path: Path) -> None:
    witness = a_witness(tmp_path)
    assert witness.hold() is None
    witness.write(COUNTS, boot_id="boot")
    witness.release()

    said = Witnessed(counts=COUNTS, boot_id="boot", folder=str(tmp_path / "data"), was_hurt=False)
    assert a_witness(tmp_path).testimonies() == (said, said)


def test_a_shorter_record_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    witness = a_witness(tmp_path)
    witness.hold()
    witness.write(Counts(starts=10**9, leases=10**9, minutes=5, heartbeats=10**9), boot_id="b" * 60)

    witness.write(COUNTS, boot_id=None)

    outer, inner = witness.testimonies()
    assert outer is not None
    assert outer == inner
    assert outer.counts == COUNTS


@pytest.mark.parametrize("damage", [b"", b"not a record", b"00000000 {}", b"\x00" * 8192])
def test_one_that_makes_no_sense_says_nothing(tmp_path: Path, damage: bytes) -> None:
    witness = a_witness(tmp_path)
    witness.hold()
    witness.write(COUNTS, boot_id="boot")

    (tmp_path / "data" / "high_water").write_bytes(damage)

    outer, inner = witness.testimonies()
    assert outer is not None
    assert inner is None


def test_one_that_was_torn_says_nothing(tmp_path: Path) -> None:
    witness = a_witness(tmp_path)
    witness.hold()
    witness.write(COUNTS, boot_id="boot")
    file = tmp_path / "data" / "high_water"
    whole = file.read_bytes()

    for length in range(1, len(whole.rstrip())):
        file.write_bytes(whole[:length] + b"\x00" * (len(whole) - length))

        assert witness.testimonies()[1] is None


def test_one_of_another_installation_says_nothing(tmp_path: Path) -> None:
    other = a_witness(tmp_path, name="other")
    other.hold()
    other.write(COUNTS, boot_id="boot")

    assert a_witness(tmp_path, name="mine").testimonies() == (None, None)


def test_a_copy_of_the_directory_finds_it_held_and_learns_where(tmp_path: Path) -> None:
    first, copy = a_witness(tmp_path), a_witness(tmp_path, data="copy")
    first.hold()
    first.write(COUNTS, boot_id="boot")
    assert first.hold() is None

    assert copy.hold() == str(tmp_path / "data")
    first.release()
    assert copy.hold() is None


def test_that_the_disk_failed_is_kept_with_the_last_counts(tmp_path: Path) -> None:
    witness = a_witness(tmp_path)
    witness.hold()
    witness.write(COUNTS, boot_id="boot")

    witness.note_hurt()

    outer, inner = a_witness(tmp_path).testimonies()
    assert outer is not None
    assert outer == inner
    assert outer.was_hurt
    assert outer.counts == COUNTS


class WatchedDisk(OsDisk):
    """Knows which files were written in place, and which of them are durable with their names."""

    def __init__(self) -> None:
        self.written: set[Path] = set()
        self._synced: set[Path] = set()
        self.durable: set[Path] = set()

    def write_in_place(self, path: Path, data: bytes) -> None:
        super().write_in_place(path, data)
        self.written.add(path)
        self._synced.discard(path)
        self.durable.discard(path)

    def sync(self, path: Path) -> None:
        super().sync(path)
        self._synced.add(path)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.durable |= {file for file in self._synced if file.parent == path}


def test_a_new_leader_and_each_minute_are_durable_and_a_lease_waits_for_no_disk(
    tmp_path: Path,
) -> None:
    disk = WatchedDisk()
    witness = a_witness(tmp_path, disk=disk)
    witness.hold()
    for counts, is_durable in [
        (COUNTS, True),
        (replace(COUNTS, leases=23), False),
        (replace(COUNTS, leases=23, heartbeats=334), False),
        (replace(COUNTS, leases=23, minutes=6), True),
        (replace(COUNTS, leases=24, minutes=6), False),
        (replace(COUNTS, leases=24, minutes=6, starts=2), True),
    ]:
        witness.write(counts, boot_id="boot")

        assert len(disk.written) == 2
        assert disk.durable == (disk.written if is_durable else set())


def test_without_a_state_folder_it_goes_on_with_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    witness = a_witness(tmp_path)

    assert witness.hold() is None
    witness.write(COUNTS, boot_id="boot")

    outer, inner = witness.testimonies()
    assert outer is None
    assert inner is not None
    assert inner.counts == COUNTS
