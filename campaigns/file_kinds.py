"""What may go along with a mail, by name and content: a name that is safe anywhere, a type that the content bears out.

Checked: that the name's ending is none that mail servers refuse (programs, scripts, disk images), also inside a ZIP;
that the content does not begin like a program or a script, whatever it is called; and, for the endings in the table
below, that it begins as such files do. Not checked: whether anything harmful is in it. That is for a virus scanner.
"""

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator

MAX_NAME_BYTES = 200

_FORBIDDEN_ON_DISKS = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")

# What Gmail and Outlook take no mail with.
# fmt: off
REFUSED_ENDINGS = frozenset({
    "ade", "adp", "apk", "app", "application", "appref-ms", "appx", "appxbundle", "asp", "aspx", "bas", "bat", "cab",
    "cer", "chm", "cmd", "cnt", "com", "cpl", "csh", "diagcab", "dll", "dmg", "ex", "ex_", "exe", "fxp", "gadget",
    "grp", "hlp", "hpj", "hta", "img", "inf", "ins", "iso", "isp", "jar", "jnlp", "js", "jse", "ksh", "lib", "lnk",
    "mcf", "mda", "mdb", "mde", "mjs", "mof", "msc", "msh", "msi", "msix", "msixbundle", "msp", "mst", "msu", "nsh",
    "ops", "osd", "pcd", "pif", "pkg", "plg", "prf", "prg", "ps1", "ps1xml", "ps2", "psc1", "psm1", "pst", "py", "pyc",
    "pyo", "pyw", "reg", "scf", "scr", "sct", "sh", "shb", "shs", "sys", "theme", "tmp", "udl", "url", "vb", "vbe",
    "vbp", "vbs", "vhd", "vhdx", "vsmacros", "vxd", "website", "ws", "wsb", "wsc", "wsf", "wsh", "xbap", "xll",
})
# fmt: on

_WINDOWS_PROGRAM = b"MZ"
_PROGRAMS = (b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe")

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
_TEXT: tuple[bytes, ...] = ()

# By ending: the type, and what such a file begins with (nothing: it is text). None: not looked at.
_KINDS: dict[str, tuple[str, tuple[bytes, ...] | None]] = {
    "pdf": ("application/pdf", (b"%PDF-",)),
    "png": ("image/png", (b"\x89PNG\r\n\x1a\n",)),
    "jpg": ("image/jpeg", (b"\xff\xd8\xff",)),
    "jpeg": ("image/jpeg", (b"\xff\xd8\xff",)),
    "gif": ("image/gif", (b"GIF87a", b"GIF89a")),
    "webp": ("image/webp", (b"RIFF",)),
    "tif": ("image/tiff", (b"II*\x00", b"MM\x00*")),
    "tiff": ("image/tiff", (b"II*\x00", b"MM\x00*")),
    "zip": ("application/zip", _ZIP),
    "gz": ("application/gzip", (b"\x1f\x8b",)),
    "7z": ("application/x-7z-compressed", (b"7z\xbc\xaf\x27\x1c",)),
    "docx": (f"{_OFFICE}wordprocessingml.document", _ZIP),
    "xlsx": (f"{_OFFICE}spreadsheetml.sheet", _ZIP),
    "pptx": (f"{_OFFICE}presentationml.presentation", _ZIP),
    "odt": (f"{_OPEN}text", _ZIP),
    "ods": (f"{_OPEN}spreadsheet", _ZIP),
    "odp": (f"{_OPEN}presentation", _ZIP),
    "epub": ("application/epub+zip", _ZIP),
    "doc": ("application/msword", _OLE),
    "xls": ("application/vnd.ms-excel", _OLE),
    "ppt": ("application/vnd.ms-powerpoint", _OLE),
    "rtf": ("application/rtf", (b"{\\rtf",)),
    "mp3": ("audio/mpeg", (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")),
    "wav": ("audio/wav", (b"RIFF",)),
    "mp4": ("video/mp4", None),
    "txt": ("text/plain", _TEXT),
    "md": ("text/markdown", _TEXT),
    "csv": ("text/csv", _TEXT),
    "ics": ("text/calendar", _TEXT),
    "vcf": ("text/vcard", _TEXT),
    "htm": ("text/html", _TEXT),
    "html": ("text/html", _TEXT),
    "json": ("application/json", _TEXT),
    "xml": ("application/xml", _TEXT),
    "svg": ("image/svg+xml", _TEXT),
}
_UNKNOWN = "application/octet-stream"
_ENDING_OF = {kind: ending for ending, (kind, _) in reversed(_KINDS.items())}


def safe_name(given: str) -> str:
    """Return the name without its path and what could mislead a reader or a disk; "attachment" if nothing is left.

    Out go controls and line ends, whatever turns the reading direction (gpj.exe would read exe.jpg) or can't be seen,
    what Windows keeps for itself, and dots and blanks at the ends. At most MAX_NAME_BYTES of UTF-8, its ending kept.
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", given)[-1])
    # Everything of the categories C (controls, formats, surrogates, unassigned) and the two line separators.
    name = "".join(
        " " if unicodedata.category(c)[0] in "CZ" and c.isspace() else c
        for c in name
        if unicodedata.category(c)[0] != "C" or c.isspace()
    )
    name = _FORBIDDEN_ON_DISKS.sub("_", " ".join(name.split())).strip(" .")
    if not name:
        return "attachment"
    if _DEVICES.fullmatch(name):
        name = f"_{name}"
    return _shortened(name)


def type_of(name: str, claimed: str | None, content: bytes) -> str:
    """Return the type that goes into the mail. name is a safe one; claimed is what came with the upload.

    The name's ending says what a file is; where it says nothing, what is claimed does. Raises ValueError with a
    sentence about the file where it may not be attached, or is not what it says.
    """
    ending = _ending(name)
    if ending in REFUSED_ENDINGS:
        raise ValueError(
            f"is a program or a script by its name (.{ending}), which mail servers refuse. Offer it as a link instead"
        )
    if _is_program(content):
        raise ValueError(
            "is a program or a script by its content, which mail servers refuse. Offer it as a link instead"
        )
    if content.startswith(_ZIP):
        _look_into(content)
    if ending not in _KINDS and claimed is not None:
        ending = _ENDING_OF.get(claimed.partition(";")[0].strip().lower(), ending)
    if ending not in _KINDS:
        return _UNKNOWN
    kind, beginnings = _KINDS[ending]
    if beginnings == _TEXT:
        return f"{kind}; charset=utf-8" if _text_of(ending, content) else kind
    if beginnings is not None and not content.startswith(beginnings):
        raise ValueError(f"does not begin as a file of the type {kind} does: is its name right?")
    return kind


def _is_program(content: bytes) -> bool:
    # A text may begin with MZ.
    is_windows = content.startswith(_WINDOWS_PROGRAM) and b"\x00" in content[:64]
    return is_windows or content.startswith(_PROGRAMS)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _shortened(name: str) -> str:
    """Cut what stands before the ending, between two characters."""
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > MAX_NAME_BYTES // 4:
        stem, ending = name, ""
    room = MAX_NAME_BYTES - len(f"{dot}{ending}".encode())
    short = stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    return f"{short}.{ending}" if ending else short


def _text_of(ending: str, content: bytes) -> bool:
    """Say whether the text is UTF-8. Raises ValueError where it is none at all."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16 says so itself
        return False
    if b"\x00" in content:
        raise ValueError(f"is no text, though its name ends in .{ending}: is its name right?")
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _look_into(content: bytes) -> None:
    """Refuse an archive that holds what mail servers refuse; they look into it too."""
    for inner in _names_in(content):
        name = safe_name(inner)
        if _ending(name) in REFUSED_ENDINGS:
            raise ValueError(
                f"holds {name}, a program or a script, which mail servers refuse. Offer it as a link instead"
            )


def _names_in(content: bytes) -> Iterator[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise ValueError("is a damaged ZIP archive: nobody could open it. Make it again") from None
