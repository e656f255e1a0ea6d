"""A command of cutline whose dashboard somebody opens as soon as it says where that is.

    python looked_at.py COMMAND ...

The status page and the Captions page are asked for once each, as a browser does before it follows
them. The start of this script is in what is measured.
"""

import subprocess
import sys
from http import HTTPStatus
from time import sleep
from urllib.error import HTTPError
from urllib.request import urlopen

SAID = "The dashboard is at "
PAGES = ("status", "captions")


def look(link: str) -> None:
    for name in PAGES:
        while not is_shown(link.replace("status", name)):
            sleep(0.02)  # the Captions page is there when the first stage begins


def is_shown(page: str) -> bool:
    try:
        with urlopen(page) as answer:
            return bool(answer.read())
    except HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return False


def main(command: list[str]) -> str | int:
    said = "no dashboard was to be seen"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # it is a pipe
        for line in process.stderr:
            if SAID in line:
                look(line.partition(SAID)[2].strip())
                said = ""
    return said or process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
