"""What a browser calls itself (User-Agent), in words that its user knows it by."""

_BROWSERS = (
    # Each also calls itself what those after it do.
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome without a window"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
_LONGEST = 40


def in_words(agent: str | None) -> str:
    """Return "Firefox on Linux"; of what is no browser that we know, the beginning of what it says."""
    if not agent:
        return "Unknown browser"
    browser = _first(_BROWSERS, agent)
    if browser is None:
        return agent if len(agent) <= _LONGEST else agent[: _LONGEST - 1] + "…"
    system = _first(_SYSTEMS, agent)
    return f"{browser} on {system}" if system else browser


def _first(known: tuple[tuple[str, str], ...], agent: str) -> str | None:
    return next((word for mark, word in known if mark in agent), None)
