"""The files that go along with campaigns and runs: their content by its hash, kept as long as anybody names it.

A campaign names its attachments, a run what it has frozen. Content that neither names any more goes, in the transaction
that took the last name away; while a run names it, the database refuses to let it go. So does nobody else's deletion.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sql
from sqlalchemy import exists, select

from campaigns.model import Attachment, FrozenFile
from campaigns.tables import attached_files, attachments, frozen_files
from foundation.errors import Invalid
from mail.attached import File
from storage.database import Tx, insert_into


def keep(tx: Tx, content: bytes) -> str:
    """Keep the content, once however often it is given; return its hash. What the disk has damaged is whole again."""
    sha256 = hashlib.sha256(content).hexdigest()
    tx.execute(
        insert_into(tx, attached_files)
        .values(sha256=sha256, content=content)
        .on_conflict_do_update(index_elements=[attached_files.c.sha256], set_={"content": content})
    )
    return sha256


def of_campaigns(tx: Tx, campaign_ids: Collection[int]) -> Mapping[int, tuple[Attachment, ...]]:
    """Return what is attached to these campaigns, in the order it was; one without anything is left out."""
    query = (
        select(attachments)
        .where(attachments.c.campaign_id.in_(campaign_ids))
        .order_by(attachments.c.id)
    )
    found: dict[int, tuple[Attachment, ...]] = {}
    for row in tx.execute(query):
        one = Attachment(
            id=row.id,
            name=row.name,
            content_type=row.content_type,
            size=row.size,
            sha256=row.sha256,
        )
        found[row.campaign_id] = (*found.get(row.campaign_id, ()), one)
    return found


def frozen(found: Iterable[Attachment]) -> tuple[FrozenFile, ...]:
    """Return the attachments as a run names them."""
    return tuple(
        FrozenFile(name=a.name, content_type=a.content_type, size=a.size, sha256=a.sha256)
        for a in found
    )


def copy(tx: Tx, campaign_id: int, *, to: int) -> None:
    """Let another campaign have the same attachments. Their content is shared."""
    names = ("name", "content_type", "size", "sha256")
    given = select(sql.literal(to), *(attachments.c[name] for name in names))
    given = given.where(attachments.c.campaign_id == campaign_id).order_by(attachments.c.id)
    tx.execute(sql.insert(attachments).from_select(["campaign_id", *names], given))


def keep_for_run(tx: Tx, run_id: int, files: Sequence[FrozenFile]) -> None:
    """Keep what a run has frozen for as long as there is the run."""
    rows = [{"run_id": run_id, "sha256": sha256} for sha256 in {file.sha256 for file in files}]
    if rows:
        tx.execute(sql.insert(frozen_files), rows)


def keep_as_before(tx: Tx, run_id: int, *, new_id: int) -> None:
    """Keep for a new run what an earlier one of the same content has frozen."""
    before = select(sql.literal(new_id), frozen_files.c.sha256)
    before = before.where(frozen_files.c.run_id == run_id)
    tx.execute(sql.insert(frozen_files).from_select(["run_id", "sha256"], before))


def read(tx: Tx, sha256: str) -> bytes | None:
    """Return the content; None where it is not there, or is another than it was."""
    query = select(attached_files.c.content).where(attached_files.c.sha256 == sha256)
    content: bytes | None = tx.execute(query).scalar_one_or_none()
    if content is None or hashlib.sha256(content).hexdigest() != sha256:
        return None
    return content


def contents(tx: Tx, files: Sequence[FrozenFile]) -> list[File]:
    """Return the files as a mail takes them. Raises Invalid where one is not what was frozen."""
    found = []
    for file in files:
        content = read(tx, file.sha256)
        if content is None:
            sentence = f"{file.name} is not there any more as it was attached, so nothing is sent without it."
            raise Invalid.field("attachments", sentence)
        found.append(File(name=file.name, content_type=file.content_type, content=content))
    return found


def drop_unnamed(tx: Tx, hashes: Collection[str]) -> None:
    """Delete those of the contents that no campaign and no run names any more."""
    tx.execute(
        sql.delete(attached_files).where(
            attached_files.c.sha256.in_(hashes),
            ~exists().where(attachments.c.sha256 == attached_files.c.sha256),
            ~exists().where(frozen_files.c.sha256 == attached_files.c.sha256),
        )
    )
