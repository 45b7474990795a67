"""The calls of the API: one file per resource, named as in the URL."""
