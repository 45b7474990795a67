"""Campaigns, and which audiences and accounts each one uses."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text

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
