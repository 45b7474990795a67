"""Campaigns, which audiences and accounts each one uses, and the files that go along."""

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Table, Text

from storage.metadata import Instant, metadata

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("subject", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("text", Text),
    Column("from_name", String(200)),
    Column("reply_to", String(320)),
    Column("in_doubt", String(10), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

campaign_audiences = Table(
    "campaign_audiences",
    metadata,
    Column(
        "campaign_id", Integer, ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("position", Integer, primary_key=True),
    Column(
        "audience_id",
        Integer,
        ForeignKey("audiences.id", ondelete="RESTRICT"),
        nullable=False,
        index=True,
    ),
)

campaign_accounts = Table(
    "campaign_accounts",
    metadata,
    Column(
        "campaign_id", Integer, ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("position", Integer, primary_key=True),
    Column(
        "account_id",
        Integer,
        ForeignKey("accounts.id", ondelete="RESTRICT"),
        nullable=False,
        index=True,
    ),
)

attachments = Table(
    "attachments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "campaign_id",
        Integer,
        ForeignKey("campaigns.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("name", String(200), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), ForeignKey("attached_files.sha256"), nullable=False, index=True),
    sqlite_autoincrement=True,
)

attached_files = Table(
    "attached_files",
    metadata,
    # By its hash: runs name it so in what they have frozen, and copies of a campaign share it.
    Column("sha256", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# What runs have frozen: the database itself keeps these files, as long as there is the run to be sent and proved.
frozen_files = Table(
    "frozen_files",
    metadata,
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), ForeignKey("attached_files.sha256"), primary_key=True, index=True),
)
