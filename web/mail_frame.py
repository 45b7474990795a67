"""An e-mail's HTML as an answer of its own, for a sandboxed frame: no script runs in it, nothing is fetched for it.

It is never put into a page of ours (srcdoc would inherit our Content-Security-Policy, and lose the mail's styles).
"""

from flask import Response

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src {images}; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)

# A link leads to a window of its own, as in a mail program: in the frame no other page may be shown.
_IN_A_WINDOW = '<base target="_blank">'


def framed(html: str, *, remote_images: bool) -> Response:
    """Return the HTML as a mail program shows it; remote_images: fetch those too, which tells their host."""
    answer = Response(_IN_A_WINDOW + html, mimetype="text/html")
    images = "data: https:" if remote_images else "data:"
    answer.headers["Content-Security-Policy"] = _POLICY.format(images=images)
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer


def framed_text(text: str) -> Response:
    """Return a plain text for the same frame."""
    answer = Response(text, mimetype="text/plain")
    answer.headers["Content-Security-Policy"] = _POLICY.format(images="'none'")
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer
