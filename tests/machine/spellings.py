"""HTTP methods, and unusual spellings of a path that a proxy might interpret as another path."""

from __future__ import annotations

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "get", "BREW"]
MLFLOW = "/api/2.0/mlflow/experiments/search?max_results=1"


def spellings(path: str) -> list[str]:
    """Return other spellings of a path."""
    first, rest = path[1:].split("/", 1)
    joined = [f"/{first}{between}{rest}" for between in ("//", "/./", "/x/../", "%2f", "%2F", "/%2e/", "/x/%2e%2e/")]
    joined += [
        f"/{first}{between}{rest}" for between in ("\\", "%5c", "/..;/", ";/", "/;x/", "%252f", "%c0%af", "%00/")
    ]
    prefixed = [
        f"{before}{path}"
        for before in ("/", "//", "/healthz/..", "/healthz%2f..", "/healthz/%2e%2e", "/healthz;", "/healthz/..;")
    ]
    prefixed += [
        f"{before}{path}" for before in ("/-/..", "/-/mlflow/..", "/.", "/%2e", "/minio/..", "/static-files/..")
    ]
    absolute = [f"https://localhost{path}", f"http://127.0.0.1:5000{path}", f"https://user@localhost{path}"]
    other = [path.upper(), path.title(), path + "/", path + "%20", path + "#", path + "?", path + ";", path + "%0a"]
    other += [
        path + ".html",
        path + "/../healthz/..",
        path.replace("a", "%61", 1),
        "/healthz?" + path,
        "/healthz#" + path,
    ]
    return [*joined, *prefixed, *absolute, *other, path + "x" * 7000, path + "/" * 3000]
