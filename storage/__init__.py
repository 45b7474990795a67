"""How bytes become safe: the database, atomic files, sealed secrets, ids that are never used again."""
