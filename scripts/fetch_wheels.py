#!/usr/bin/env python3
"""Downloads wheels and goes on where it stopped: fetch_wheels.py FOLDER NAME==VERSION... Standard library only.

A wheel that lies in FOLDER is not asked for again; of one that is there in part (`.part`), only the rest is. Address and SHA-256 come from the
page of pip's index (PEP 503). Where that page does not settle it, as with an index that wants a password, `pip download` fetches the wheel:
it knows everything about indexes, and begins a broken wheel anew.
"""

import functools
import hashlib
import html
import http.client
import pathlib
import platform
import re
import shutil
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request

PIP = [sys.executable, "-m", "pip"]
USUAL_INDEX = "https://pypi.org/simple"
BLOCK_BYTES = 1 << 18
SILENCE_SECONDS = 60
RANGE_NOT_SATISFIABLE = 416


class LeftToPip(Exception):
    """Why `pip download` must fetch this wheel."""


@functools.cache
def settings():
    """pip's settings for `pip download`, from its environment and its configuration files."""
    listing = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True).stdout
    found = {}
    # Backwards in the alphabet, the scope that wins comes last: `global`, `download`, `:env:`.
    for line in sorted(listing.splitlines(), reverse=True):
        key, _, value = line.partition("=")
        scope, _, name = key.rpartition(".")
        if scope in ("global", "download", ":env:"):
            found[name] = value.strip("'")
    return found


def opened(url, **headers):
    context = ssl.create_default_context(cafile=settings().get("cert"))
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SILENCE_SECONDS, context=context)


def wheel_names(name, version):
    """Matches file names of the wheels that this Python on this machine can use."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    stem = re.escape(f"{name.replace('-', '_')}-{version}")
    return re.compile(rf"{stem}(\+[\w.]+)?-({python}-{python}{sys.abiflags}|py3-none)-[^-]*linux[^-]*_{platform.machine()}\.whl")


def find(name, names):
    """File name, URL and SHA-256 of the only wheel on the index's page that `names` matches."""
    if settings().keys() & {"no-index", "extra-index-url"}:
        raise LeftToPip("pip is configured with no index or several")
    index = settings().get("index-url", USUAL_INDEX)
    if "@" in urllib.parse.urlsplit(index).netloc:
        raise LeftToPip("the index wants a password")
    with opened(f"{index.rstrip('/')}/{name}/", Accept="text/html") as page:
        links = re.findall(r'<a\s[^>]*?href="([^"]*)"', page.read().decode())
        urls = [urllib.parse.urldefrag(urllib.parse.urljoin(page.url, html.unescape(link))) for link in links]
    wheels = [(urllib.parse.unquote(url.rsplit("/", 1)[-1]), url, fragment) for url, fragment in urls]
    fitting = [wheel for wheel in wheels if names.fullmatch(wheel[0])]
    if len(fitting) != 1:
        raise LeftToPip(f"{len(fitting)} files of {name} fit")
    file_name, url, fragment = fitting[0]
    if not fragment.startswith("sha256="):
        raise LeftToPip(f"{file_name} has no SHA-256")
    return file_name, url, fragment.removeprefix("sha256=")


def sha256_of(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def append_rest(url, part):
    """Appends to `part` what it lacks of the file at `url`, as far as the connection lasts."""
    with part.open("ab") as file:
        at = file.tell()
        with opened(url, Range=f"bytes={at}-") as response:
            if response.status != http.client.PARTIAL_CONTENT:
                file.truncate(0)  # This server sends all of it.
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
                raise LeftToPip("another range came than was asked for")
            while block := response.read1(BLOCK_BYTES):
                file.write(block)


def load(url, sha256, part):
    """Completes `part`, over as many connections as it takes, as long as each one brings something."""
    part.touch()
    at_start = had = part.stat().st_size
    if at_start:
        print(f"libtorch: going on with {part.stem} after {at_start / 1e6:.0f} MB", file=sys.stderr)
    while sha256_of(part) != sha256:
        problem = "nothing came"
        try:
            append_rest(url, part)
        except (OSError, http.client.HTTPException) as error:
            problem = error
            if getattr(error, "code", None) == RANGE_NOT_SATISFIABLE:
                part.unlink()
                raise LeftToPip("what came is as long as the wheel and has another SHA-256") from error
        before, had = had, part.stat().st_size
        if had <= before:
            if before > at_start:
                sys.exit(f"libtorch: {part.stem}: {problem}; {had / 1e6:.0f} MB of it are kept")
            raise LeftToPip(problem)


def pip_download(requirement, folder):
    # Aside at first: pip copies into its destination, and a wheel's name in `folder` means that it is complete.
    aside = folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    subprocess.run([*PIP, "download", "--quiet", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--dest", aside, requirement], check=True)
    for wheel in aside.iterdir():
        wheel.rename(folder / wheel.name)
    aside.rmdir()


def fetch(requirement, folder):
    name, version = requirement.split("==")
    names = wheel_names(name, version)
    if any(names.fullmatch(path.name) for path in folder.iterdir()):
        return
    try:
        file_name, url, sha256 = find(name, names)
        part = folder / f"{file_name}.part"
        load(url, sha256, part)
        part.rename(folder / file_name)
    except (LeftToPip, OSError, http.client.HTTPException, ValueError) as error:
        print(f"libtorch: {requirement} is left to pip: {error}", file=sys.stderr)
        pip_download(requirement, folder)


def main(folder, requirements):
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for requirement in requirements:
            fetch(requirement, folder)
    except KeyboardInterrupt:
        return 130
    except subprocess.CalledProcessError:
        return 1  # pip has said why.
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2:]))
